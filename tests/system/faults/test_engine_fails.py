"""The engine stands still, dies, loses answers, falls silent, or never stops talking."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import IMAGE
from tests.engine_api import answers
from tests.private_engine import PrivateEngine
from tests.system.conftest import Operator, version
from tests.system.faults.proxy import (
    Exchange,
    Fault,
    Proxy,
    cut_after,
    cut_before,
    delayed,
    duplicated,
    halved,
    late,
    passed_on,
    refused,
    repeated,
    swallowed,
    then,
    truncated,
)

MINUTE = 60
RESYNC_SECONDS = 90
"""In which what no event tells of is noticed, with room to spare."""

NETWORK, CREATE, START = "POST /networks/create", "POST /containers/create", "POST /containers/ID/start"
STOP, REMOVE = "POST /containers/ID/stop", "DELETE /containers/ID"
EVENTS = "GET /events"

LOST: dict[str, Fault] = {
    "never heard of": cut_before,
    "reply lost": cut_after,
    "reply lost, and it happens late": late(1.5),
    "done twice": duplicated,
    "refused": refused(500, "something is wrong"),
    "truncated in the head": truncated(10),
    "truncated in the body": halved,
    "slow": delayed(0.5),
}

FLOOD = 10_000


# --- the engine stands still ---------------------------------------------------------------------------------------


@contextmanager
def going_on(engine: PrivateEngine) -> Iterator[None]:
    """Whatever happens in the block, the engine goes on after it."""
    try:
        yield
    finally:
        os.kill(engine.pid, signal.SIGCONT)


def standing_still(engine: PrivateEngine, fault: Fault) -> Fault:
    def both(exchange: Exchange) -> None:
        os.kill(engine.pid, signal.SIGSTOP)
        fault(exchange)

    return both


def test_fault_05_a_create_that_happens_late(operator: Operator, private_engine: PrivateEngine, proxy: Proxy) -> None:
    """The engine stands still with a create in flight; when it goes on, that create has no double."""
    proxy.on(CREATE, standing_still(private_engine, late(0)))
    operator.declare("web", **version(1))
    with going_on(private_engine), operator.run():
        operator.until(lambda: asked_again(proxy))
        os.kill(private_engine.pid, signal.SIGCONT)
        until_only(operator, web=1)


def asked_again(proxy: Proxy) -> bool:
    """Whether the controller looks for what became of its create."""
    calls = list(proxy.calls)
    return CREATE in calls and not {*calls[calls.index(CREATE) :]} <= {CREATE, EVENTS}


@pytest.mark.slow
def test_fault_05_a_minute_without_an_answer(operator: Operator, private_engine: PrivateEngine, proxy: Proxy) -> None:
    """It is reported; the edits of that minute are taken up after it, and a create that timed out has no double."""
    operator.declare("changed", **version(1))
    operator.declare("removed", **version(1))
    with going_on(private_engine), operator.run():
        until_only(operator, changed=1, removed=1)
        proxy.on(CREATE, standing_still(private_engine, passed_on))
        operator.declare("created", **version(1))
        operator.until(lambda: not proxy.unmet)
        operator.declare("changed", **version(2))
        operator.until(lambda: not operator.controller()["available"])
        operator.remove("removed")
        operator.declare("another", **version(1))
        time.sleep(MINUTE)
        assert not operator.controller()["available"]
        os.kill(private_engine.pid, signal.SIGCONT)
        until_only(operator, another=1, changed=2, created=1)


# --- answers are lost ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", LOST)
def test_fault_06_a_change_goes_wrong(operator: Operator, proxy: Proxy, fault: str) -> None:
    """Whatever happens to any one of the changing calls, there is one container in the end, and it is the right one."""
    with operator.run():
        for number, call in enumerate((NETWORK, CREATE, START, STOP, REMOVE)):
            proxy.on(call, LOST[fault])
            operator.declare("web", **version(number))
            until_only(operator, web=number)
            assert proxy.unmet == []
        proxy.on(STOP, LOST[fault])
        proxy.on(REMOVE, LOST[fault])
        operator.remove("web")
        operator.until(lambda: present(operator) == [] and not operator.phases())
    assert proxy.unmet == []


@pytest.mark.parametrize("call", [CREATE, START, STOP, REMOVE])
def test_fault_06_a_refusal_that_lasts(operator: Operator, proxy: Proxy, call: str) -> None:
    """What the engine refuses again and again is asked for less and less often."""
    operator.declare("web", **version(1))
    with operator.run():
        until_only(operator, web=1)
        proxy.on(call, refused(500, "not now"), times=1000)
        operator.declare("web", **version(2))
        operator.until(lambda: len(refusals(operator)) >= 3)
    first, second, third = refusals(operator)[:3]
    assert second - first >= 1
    assert third - second >= 2


def refusals(operator: Operator) -> list[float]:
    return [line["at"] for line in operator.journal() if line["action"] and "not now" in line["message"]]


def test_fault_06_a_create_that_happens_after_its_file_is_gone(operator: Operator, proxy: Proxy) -> None:
    """Nobody waits for the container any more: it is removed as soon as it is there, and never started."""
    held: list[Exchange] = []
    proxy.on(CREATE, held.append)
    proxy.on(CREATE, cut_before, times=100)
    operator.declare("web", **version(1))
    with operator.run():
        operator.until(lambda: held)
        operator.remove("web")
        operator.until(lambda: not operator.phases())
        cut_after(held.pop())
        operator.until(lambda: present(operator) == [] and not operator.phases())
    assert REMOVE in proxy.calls
    assert START not in proxy.calls


def test_fault_06_a_start_that_happens_late(operator: Operator, proxy: Proxy) -> None:
    """A start of what has been replaced meanwhile makes no second container run beside the one that is declared."""
    keys = {"ports": [], "command": ["sleep", "1000"]}
    held: list[Exchange] = []
    running: list[int] = []

    def happen(exchange: Exchange) -> None:
        for start in held:
            cut_after(start)
        running.append(len(operator.containers(running=True)))
        passed_on(exchange)

    operator.declare("web", **keys, **version(1))
    with operator.run():
        until_only(operator, web=1)
        proxy.on(START, held.append, times=1000)
        operator.declare("web", **keys, **version(2))
        operator.until(lambda: held)
        proxy.on(REMOVE, happen)
        operator.declare("web", **keys, **version(3))
        operator.until(lambda: running)
        proxy.heal()
        until_only(operator, web=3)
    assert running == [1]


# --- the engine dies -----------------------------------------------------------------------------------------------


@contextmanager
def alive_again(engine: PrivateEngine) -> Iterator[None]:
    """Whatever happens in the block, the engine answers after it as it did before."""
    try:
        yield
    finally:
        if not answers(engine.host):
            engine.start()


def test_fault_07_the_engine_is_killed(operator: Operator, private_engine: PrivateEngine) -> None:
    """What it took down is started again, in the same containers; what was declared meanwhile comes too."""
    operator.declare("a", **version(1))
    operator.declare("b", **version(1))
    with alive_again(private_engine), operator.run():
        until_only(operator, a=1, b=1)
        before = {name: operator.container(name) for name in "ab"}
        private_engine.kill()
        operator.until(lambda: not operator.controller()["available"])
        operator.declare("c", **version(1))
        private_engine.start()
        until_only(operator, a=1, b=1, c=1)
        assert {name: operator.container(name) for name in "ab"} == before


@pytest.mark.parametrize("call", [CREATE, START, STOP, REMOVE])
def test_fault_07_killed_in_the_middle_of_a_change(
    operator: Operator, private_engine: PrivateEngine, proxy: Proxy, call: str
) -> None:
    """However far the engine came with it, the replacement comes to its end."""
    operator.declare("web", **version(1))
    with alive_again(private_engine), operator.run():
        until_only(operator, web=1)
        proxy.on(call, then(private_engine.kill, late(0)))
        operator.declare("web", **version(2))
        operator.until(lambda: not operator.controller()["available"])
        private_engine.start()
        until_only(operator, web=2)


def test_fault_08_live_restore(operator: Operator, private_engine: PrivateEngine) -> None:
    """Containers that outlive their engine are found as they were: nothing is done, and they run on."""
    operator.declare("a", **version(1))
    operator.declare("b", **version(1))
    flags = ["--live-restore"] if private_engine.program.name == "dockerd" else []  # Podman's always do
    private_engine.restart(*flags)
    try:
        with operator.run() as process:
            until_only(operator, a=1, b=1)
            before, told = started(operator), len(operator.journal())
            for end in (private_engine.stop, private_engine.kill):
                end()
                operator.until(lambda: not operator.controller()["available"])
                private_engine.start(*flags)
                operator.until(lambda: operator.controller()["available"])
            for _ in range(2):
                look_at_all(operator, process.pid)
        assert [line for line in operator.journal()[told:] if line["action"]] == []
        assert started(operator) == before
    finally:
        private_engine.restart()


def started(operator: Operator) -> list[tuple[str, str]]:
    found = (operator.api("GET", f"/containers/{row['Id']}/json") for row in operator.containers())
    return sorted((container["Id"], container["State"]["StartedAt"]) for container in found)


def look_at_all(operator: Operator, pid: int) -> None:
    """Lets the controller look at everything once more."""
    passes = operator.controller()["passes"]
    os.kill(pid, signal.SIGHUP)
    operator.until(lambda: operator.controller()["passes"] > passes)


# --- the engine's events -------------------------------------------------------------------------------------------


def test_fault_10_edits_under_a_half_open_stream(operator: Operator, proxy: Proxy) -> None:
    """Files need no events: an edit is taken up at once though the engine seems to say nothing any more."""
    proxy.on(EVENTS, swallowed)
    with operator.run():
        operator.until(lambda: EVENTS in proxy.calls)
        for number in range(3):
            operator.declare("web", **version(number))
            until_only(operator, web=number)
    assert proxy.calls.count(EVENTS) == 1


@pytest.mark.slow
def test_fault_10_what_a_half_open_stream_kept_back(operator: Operator, proxy: Proxy) -> None:
    """What happens to a container is noticed without a word: the controller looks for itself."""
    proxy.on(EVENTS, swallowed)
    operator.declare("web", **version(1))
    with operator.run():
        operator.until_phase(web="Running")
        operator.until(lambda: is_quiet(operator))
        operator.api("POST", f"/containers/{operator.container('web')}/kill")
        operator.until(lambda: operator.status("web")["restarts"] == 1, RESYNC_SECONDS)
        operator.until_phase(web="Running")
    assert proxy.calls.count(EVENTS) == 1


def is_quiet(operator: Operator) -> bool:
    """Whether the controller waits for something to happen."""
    passes = operator.controller()["passes"]
    time.sleep(1)
    return bool(operator.controller()["passes"] == passes)


def test_fault_10_a_stream_that_breaks_again_and_again(operator: Operator, proxy: Proxy) -> None:
    """Each stream ends in the middle of its first event; what happens is noticed all the same."""
    proxy.on(EVENTS, halved, times=1000)
    operator.declare("web", **version(1))
    with operator.run():
        operator.until_phase(web="Running")
        before = operator.container("web")
        for pauses in range(1, 6):
            operator.api("POST", f"/containers/{before}/pause")
            operator.until(partial(unpaused, operator, pauses))
        operator.until(lambda: operator.inspect("web")["State"]["Status"] == "running")
        assert operator.container("web") == before
    assert proxy.calls.count(EVENTS) > 5


def unpaused(operator: Operator, times: int) -> bool:
    told = [line for line in operator.journal() if line["action"].startswith("unpause") and line["result"] == "ok"]
    return len(told) == times


def test_fault_11_ten_thousand_events_at_once(operator: Operator, proxy: Proxy) -> None:
    """One event, told ten thousand times in one breath while a file is edited: a few looks, and all is well."""
    stranger = labelled(operator, 0)
    operator.declare("web", **version(1))
    operator.reconciler("apply", code=0)
    proxy.on(EVENTS, repeated(FLOOD))
    with operator.run() as process, bounded(operator, process.pid, passes=100):
        operator.until(lambda: EVENTS in proxy.calls)
        update(operator, stranger)
        operator.declare("web", **version(2))
        until_only(operator, web=2)
        operator.api("POST", f"/containers/{operator.container('web')}/kill")
        operator.until(lambda: operator.status("web")["restarts"] == 1)
        operator.until_phase(web="Running")


@pytest.mark.slow
def test_fault_11_ten_thousand_real_events(operator: Operator) -> None:
    """The engine is kept busy with strangers that carry our label, and what it says of them is heard to the end."""
    strangers = [labelled(operator, number) for number in range(8)]
    operator.declare("web", **version(1))
    with operator.run() as process, bounded(operator, process.pid, passes=FLOOD // 4):
        operator.until_phase(web="Running")
        with ThreadPoolExecutor(len(strangers)) as pool:
            made = pool.map(update, [operator] * FLOOD, strangers * (FLOOD // len(strangers)))
            operator.declare("web", **version(2))
            until_only(operator, web=2)
            assert len(list(made)) == FLOOD
        until_only(operator, web=2)


def labelled(operator: Operator, number: int) -> str:
    """A stranger's container that carries our label and never ran."""
    body = {"Image": IMAGE, "Labels": {"reconciler.instance": operator.instance}}
    return str(operator.api("POST", "/containers/create", {"name": f"{operator.instance}-{number}"}, body)["Id"])


def update(operator: Operator, container: str) -> None:
    """The cheapest event that the controller listens to."""
    operator.api("POST", f"/containers/{container}/update", body={"Memory": 64 << 20, "MemorySwap": 64 << 20})


@contextmanager
def bounded(operator: Operator, pid: int, passes: int) -> Iterator[None]:
    """In the block the controller grows by no more than 64 MiB, and makes no more than so many passes."""
    made, before = operator.controller()["passes"], resident_kib(pid)
    yield
    assert resident_kib(pid) < before + 64 * 1024
    assert operator.controller()["passes"] < made + passes


def resident_kib(pid: int) -> int:
    (found,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found)


# --- what there is -------------------------------------------------------------------------------------------------


def until_only(operator: Operator, **versions: int) -> None:
    """Waits until there is one container for each of the sandboxes, of that version, and it runs."""
    wanted = [(name, str(number), "running") for name, number in sorted(versions.items())]
    operator.until(lambda: present(operator) == wanted)
    operator.until_phase(**dict.fromkeys(versions, "Running"))


def present(operator: Operator) -> list[tuple[str, str, str]]:
    rows = [row for row in operator.containers() if "reconciler.sandbox" in row["Labels"]]
    return sorted((row["Labels"]["reconciler.sandbox"], row["Labels"]["version"], row["State"]) for row in rows)
