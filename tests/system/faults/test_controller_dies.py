"""The controller is killed: at every call, between two calls, and while it writes."""

import itertools
import json
import os
import random
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from reconciler.model.status import SandboxStatus
from reconciler.report.store import Store
from tests.busybox_image import make_image
from tests.private_engine import PrivateEngine
from tests.system.conftest import Operator
from tests.system.faults.proxy import Fault, Proxy, cut_after, cut_before, passed_on, then

ANY = ".*"
CHANGING = "(POST|DELETE) .*"
IMAGE = "sandbox:volume"

Keys = Mapping[str, Any]
SCENARIOS: dict[str, tuple[Keys | None, Keys | None, Mapping[str, int]]] = {
    "create": (None, {"pids_limit": 50}, {"dockerd": 3, "podman": 4}),
    "replace": ({"pids_limit": 50}, {"pids_limit": 60}, {"dockerd": 4, "podman": 6}),
    "remove": ({"pids_limit": 50}, None, {"dockerd": 2, "podman": 3}),
}
"""What `web` says before and when the controller is killed, None without a file, and how many changes that takes.

They are: create the network, create, start; create, stop the old one, start, remove the old one; stop, remove. Podman
creates and removes a network with each container.
"""


@pytest.fixture(autouse=True)
def _image(private_engine: PrivateEngine) -> None:
    """Each container of it has a volume of its own, which must go with it."""
    make_image(private_engine.host, IMAGE, ["VOLUME /data"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_fault_01_killed_after_every_change(operator: Operator, proxy: Proxy, scenario: str) -> None:
    """Whichever change the controller could not hear of any more, the next one goes on from what is there."""
    changes = SCENARIOS[scenario][2][operator.engine.program.name]
    assert kill_at_each(CHANGING, cut_after, operator, proxy, scenario) == changes


@pytest.mark.slow
@pytest.mark.parametrize("fault", [cut_before, cut_after])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_fault_01_killed_at_every_call(operator: Operator, proxy: Proxy, scenario: str, fault: Fault) -> None:
    """The same before and after each single call, those that only read among them."""
    changes = SCENARIOS[scenario][2][operator.engine.program.name]
    assert kill_at_each(ANY, fault, operator, proxy, scenario) > changes


def test_fault_02_killed_between_create_and_start(operator: Operator, proxy: Proxy) -> None:
    """The container that was never started is started by the next controller, and is the only one."""
    operator.declare("web", image=IMAGE)
    assert killed("POST /containers/ID/start", cut_before, operator, proxy, command="run")
    (created,) = operator.containers()
    assert created["State"] == "created"
    with operator.run():
        operator.until_phase(web="Running")
    assert [row["Id"] for row in operator.containers()] == [operator.container("web")] == [created["Id"]]


def test_fault_02_what_was_changed_before_the_start_is_never_started(operator: Operator, proxy: Proxy) -> None:
    """Nobody vouches for a container that waited while there was no controller: it is verified again."""
    operator.declare("web", image=IMAGE)
    assert killed("POST /containers/ID/start", cut_before, operator, proxy, command="run")
    (created,) = operator.containers()
    operator.api("POST", f"/containers/{created['Id']}/update", body={"Memory": 1 << 30, "MemorySwap": 1 << 30})
    with operator.run():
        operator.until_phase(web="Running")
    assert [row["Id"] for row in operator.containers()] == [operator.container("web")] != [created["Id"]]


@pytest.mark.parametrize("wanted", [50, 60])
def test_fault_03_killed_between_stop_old_and_start_new(operator: Operator, proxy: Proxy, wanted: int) -> None:
    """Both containers are still there, and whichever of them is declared by then is the one that runs on."""
    operator.declare("web", image=IMAGE, pids_limit=50)
    operator.reconciler("apply", code=0)
    operator.declare("web", image=IMAGE, pids_limit=60)
    assert killed("POST /containers/ID/stop", cut_after, operator, proxy, command="run")
    assert sorted(row["State"] for row in operator.containers()) == ["created", "exited"]
    both = {inspection["HostConfig"]["PidsLimit"]: inspection["Id"] for inspection in inspections(operator)}
    operator.declare("web", image=IMAGE, pids_limit=wanted)
    with operator.run():
        operator.until(lambda: [row["Id"] for row in operator.containers()] == [both[wanted]])
        operator.until_phase(web="Running")
    assert operator.container("web") == both[wanted]


def test_fault_03_a_broken_file_loses_neither(operator: Operator, proxy: Proxy) -> None:
    """A file that breaks while a replacement is half done leaves both containers, until it is good again."""
    operator.declare("web", image=IMAGE, pids_limit=50)
    operator.reconciler("apply", code=0)
    operator.declare("web", image=IMAGE, pids_limit=60)
    assert killed("POST /containers/ID/stop", cut_after, operator, proxy, command="run")
    both = {row["Id"] for row in operator.containers()}
    operator.write("web.yaml", "image: [")
    with operator.run():
        operator.until_reason(web="InvalidFile")
        assert {row["Id"] for row in operator.containers()} == both
        operator.declare("web", image=IMAGE, pids_limit=60)
        operator.until_phase(web="Running")
        operator.until(lambda: len(operator.containers()) == 1)


@pytest.mark.parametrize("kills", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_fault_04_killed_again_and_again_while_it_writes(tmp_path: Path, kills: int) -> None:
    """After every kill the status file is whole: the last one that was told of, or a newer one."""
    store = Store(tmp_path)
    (tmp_path / "status").mkdir()
    store.write_status(big_status(0))
    chance = random.Random(kills)  # noqa: S311 - the moments of the kills
    written = 0
    for _ in range(kills):
        write_and_be_killed(store, written + 1, chance.uniform(0.0005, 0.01))
        found = SandboxStatus.model_validate_json((tmp_path / "status" / "big.json").read_bytes())
        assert found == big_status(found.restarts)
        assert found.restarts >= written
        written = found.restarts
    assert written
    assert half_written(tmp_path), "no kill ever hit a write"


def test_fault_04_what_was_half_written_is_cleared_away(tmp_path: Path) -> None:
    """Temporary files of killed writers do not pile up: the next controller begins without them."""
    store = Store(tmp_path)
    (tmp_path / "status").mkdir()
    for number in itertools.count(1):
        write_and_be_killed(store, number, 0.005)
        if half_written(tmp_path):
            break
    store.lock()
    store.release()
    assert half_written(tmp_path) == set()


def test_fault_04_the_command_killed_while_it_writes(operator: Operator) -> None:
    """A dozen controllers are killed on the sight of a half-written file, and leave whole ones only."""
    hit = 0
    for number in range(12):
        operator.declare("web", suspend=f"reason {number}")
        before = half_written(operator.state)
        process = subprocess.Popen(operator.command("run"), stderr=subprocess.DEVNULL)
        wait_for_a_write(operator.state, before)
        process.kill()
        process.wait()
        hit += half_written(operator.state) > before
        for file in operator.state.rglob("[!.]*.json"):
            json.loads(file.read_text())
    assert hit, "no kill ever hit a write"
    with operator.run():
        operator.until(lambda: operator.status("web")["message"] == "reason 11")


def big_status(number: int) -> SandboxStatus:
    return SandboxStatus(name="big", restarts=number, message=f"{number} " * 50_000)


def write_and_be_killed(store: Store, number: int, seconds: float) -> None:
    """A child does nothing but write, until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            for following in itertools.count(number):
                store.write_status(big_status(following))
        finally:
            os._exit(1)
    time.sleep(seconds)
    os.kill(child, SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -SIGKILL


def wait_for_a_write(state: Path, before: set[Path]) -> None:
    """A write is short: this looks more often than `Operator.until`."""
    deadline = time.monotonic() + 30
    while half_written(state) == before:
        assert time.monotonic() < deadline, "nothing was ever written"
        time.sleep(0.0002)


def half_written(state: Path) -> set[Path]:
    """Temporary files, of a write under way or of one that never came to its end."""
    return set(state.rglob(".*.json.*"))


def kill_at_each(call: str, fault: Fault, operator: Operator, proxy: Proxy, scenario: str) -> int:
    """Kills the controller at each such call in turn, lets another one go on, and tells how many calls there were."""
    before, after, _ = SCENARIOS[scenario]
    elsewhere = volumes(operator)
    operator.declare("neighbour", network_mode="none", ports=[])
    begin(operator, before)
    neighbour = untouched(operator)
    for number in itertools.count(1):
        declare(operator, after)
        before_it = len(proxy.calls)
        if not killed(call, fault, operator, proxy, number):
            return number - 1
        if all(heard.startswith("GET ") for heard in proxy.calls[before_it:]):
            continue  # nothing has changed yet: the next one begins where this one began
        operator.reconciler("apply", code=0)
        check_the_world(operator, after, elsewhere)
        assert untouched(operator) == neighbour
        begin(operator, before)
    raise AssertionError("there is an end to the calls")


def declare(operator: Operator, keys: Keys | None) -> None:
    if keys is not None:
        operator.declare("web", image=IMAGE, **keys)
    elif (operator.directory / "web.yaml").exists():
        operator.remove("web")


def begin(operator: Operator, before: Keys | None) -> None:
    """Everything is as it was before, without a network where there is nobody to use it."""
    declare(operator, before)
    operator.reconciler("apply", code=0)
    if before is None and networks(operator):
        operator.api("DELETE", f"/networks/reconciler.{operator.instance}")


def killed(call: str, fault: Fault, operator: Operator, proxy: Proxy, number: int = 1, command: str = "apply") -> bool:
    """Whether the command was killed at that call, or else came to its end without it."""
    proxy.on(call, passed_on, number - 1)
    proxy.on(call, then(lambda: process.kill(), fault))  # noqa: PLW0108 - it is not there yet
    with (operator.root / "run.log").open("a") as log:
        process = subprocess.Popen(operator.command(command), stdout=log, stderr=log, text=True)
    operator.running.append(process)
    code = process.wait(60)
    proxy.heal()
    assert code in {-SIGKILL, 0}, operator.log
    return code == -SIGKILL


def check_the_world(operator: Operator, keys: Keys | None, elsewhere: set[str]) -> None:
    """Exactly what is declared, nothing left over, and nothing to do; `elsewhere` are volumes of other tests."""
    found = inspections(operator)
    limits = {one["Config"]["Labels"]["reconciler.sandbox"]: one["HostConfig"]["PidsLimit"] for one in found}
    assert len(found) == len(limits)
    assert limits == {"neighbour": 100} | ({"web": keys["pids_limit"]} if keys else {})
    assert all(one["State"]["Running"] for one in found)
    assert volumes(operator) - elsewhere == {mount["Name"] for one in found for mount in one["Mounts"]}
    assert len(networks(operator)) == 1
    again = operator.reconciler("apply", code=0).stdout.splitlines()
    assert len(again) == len(limits)
    assert all("nothing done" in line for line in again)


def inspections(operator: Operator) -> list[dict[str, Any]]:
    return [operator.api("GET", f"/containers/{row['Id']}/json") for row in operator.containers()]


def untouched(operator: Operator) -> tuple[str, str]:
    """What stays as it is while nobody touches the neighbour."""
    found = operator.inspect("neighbour")
    return found["Id"], found["State"]["StartedAt"]


def networks(operator: Operator) -> list[str]:
    """Those of the instance, but for the ones that Podman has for each sandbox."""
    labelled = [(row["Name"], row["Labels"] or {}) for row in operator.api("GET", "/networks")]
    return [
        name
        for name, labels in labelled
        if labels.get("reconciler.instance") == operator.instance and "reconciler.sandbox" not in labels
    ]


def volumes(operator: Operator) -> set[str]:
    return {row["Name"] for row in operator.api("GET", "/volumes")["Volumes"] or []}
