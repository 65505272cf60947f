"""What sandboxes say reaches their log: all of it, once, whoever dies or is replaced, and never at the host's cost."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from reconciler.report.sandbox_log import BYTES_MAX, KEPT
from tests.system.conftest import Operator, version

COUNTING = ["sh", "-c", "i=0; while true; do echo $HOSTNAME $i; i=$((i+1)); sleep 0.01; done"]
"""Says who it is, and counts."""

FLOOD = ["sh", "-c", "echo begin; yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678"]


def said(operator: Operator, *arguments: str) -> list[str]:
    return operator.reconciler("logs", "web", "--raw", *arguments, code=0).stdout.splitlines()


def runs(lines: list[str]) -> dict[str, list[int]]:
    """What each container counted."""
    found: dict[str, list[int]] = {}
    for line in lines:
        container, _, number = line.partition(" ")
        found.setdefault(container, []).append(int(number))
    return found


def test_nothing_is_lost_or_said_twice(operator: Operator) -> None:
    """Over kills of the controller, of the sandbox, and a replacement, each line is there once and in its order."""
    operator.declare("web", command=COUNTING)
    for _ in range(3):
        with suppress(AssertionError), operator.run() as controller:
            until_more(operator)
            controller.kill()
    with operator.run():
        operator.until_phase(web="Running")
        operator.api("POST", f"/containers/{operator.container('web')}/kill")
        operator.until(lambda: operator.status("web")["restarts"] == 1)
        until_more(operator)
        operator.declare("web", command=COUNTING, **version(2))
        operator.until(lambda: len(runs(said(operator))) == 2)
        operator.remove("web")
        operator.until(lambda: not operator.containers())
    first, second = runs(said(operator)).values()
    restarted = first.index(0, 1)
    for counted in (first[:restarted], first[restarted:], second):
        assert counted == list(range(len(counted)))
        assert len(counted) > 10


def until_more(operator: Operator) -> None:
    before = len(known(operator))
    operator.until(lambda: len(known(operator)) > before + 50)


def known(operator: Operator) -> list[str]:
    return said(operator) if (operator.state / "logs" / "web.log").exists() else []


def test_a_crash_leaves_its_last_words(operator: Operator) -> None:
    """The status of what keeps crashing holds what it said last, until it runs well again."""
    operator.declare("web", command=["sh", "-c", "for i in $(seq 60); do echo line $i; done; echo why; exit 3"])
    with operator.run():
        operator.until(lambda: operator.status("web").get("last_output"))
        status = operator.status("web")
    assert status["exit_code"] == 3
    assert status["last_output"] == [*(f"line {number}" for number in range(12, 61)), "why"]


def test_what_says_nothing(operator: Operator) -> None:
    """A sandbox that has said nothing yet is no error, and who follows it waits."""
    operator.declare("web", command=["sleep", "1000"])
    operator.reconciler("apply", code=0)
    assert operator.reconciler("logs", "web", code=0).stderr == "web has no output yet\n"


def test_reading(operator: Operator) -> None:
    """A log can be read by its end, from a moment on, with the times, and while it grows."""
    operator.declare("web", command=["sh", "-c", "echo one; printf '\\033[31mtwo\\n'; sleep 3; echo three; sleep 1000"])
    with operator.run():
        operator.until(lambda: len(known(operator)) == 3)
    assert said(operator) == ["one", "\x1b[31mtwo", "three"]
    assert said(operator, "--tail", "1") == ["three"]
    shown = operator.reconciler("logs", "web", code=0).stdout.splitlines()
    assert shown[1].endswith("Z \\x1b[31mtwo")
    since = shown[2].split()[0]
    assert said(operator, "--since", since) == ["three"]
    assert said(operator, "--since", "1h") == ["one", "\x1b[31mtwo", "three"]
    assert "--since" in operator.reconciler("logs", "web", "--since", "yesterday", code=1).stderr
    assert "known: web" in operator.reconciler("logs", "wep", code=1).stderr


def test_what_the_engine_dropped_unread_is_marked(operator: Operator) -> None:
    """While no controller reads, a sandbox says more than the engine keeps."""
    flood = f"yes {'0123456789' * 8} | head -c 50000000"
    script = f"echo first; until test -e /tmp/go; do sleep 0.1; done; {flood}; touch /tmp/said; sleep 1000"
    operator.decree(limits={"log_rate": "1g"})
    operator.declare("web", command=["sh", "-c", script])
    with operator.run():
        operator.until(lambda: known(operator) == ["first"])
    operator.inside("web", "touch /tmp/go; until test -e /tmp/said; do sleep 0.1; done")
    with operator.run():
        log = operator.state / "logs" / "web.log"
        operator.until(lambda: b" gap F output is missing here: " in log.read_bytes()[:1000])


@pytest.mark.slow
def test_a_flood_harms_nobody(operator: Operator) -> None:
    """Beside one that writes all it can, the disk is bounded, the controller answers, and the others are heard."""
    operator.decree(sandboxes_max=20, limits={"cpus": 1})
    quiet = [f"quiet-{number}" for number in range(19)]
    for name in quiet:
        operator.declare(name, command=["sh", "-c", "while true; do echo $HOSTNAME; sleep 1; done"], mem_limit="16m")
    operator.declare("flood", command=FLOOD, mem_limit="16m")
    with operator.run():
        operator.until_phase(flood="Running", **dict.fromkeys(quiet, "Running"))
        logs = operator.state / "logs"
        operator.until((logs / "flood.log.1").exists, 60)
        for name in quiet:
            path = logs / f"{name}.log"
            operator.until(partial(longer, path, path.stat().st_size), 10)
        operator.declare("quiet-0", command=["sleep", "1000"], mem_limit="16m", **version(2))
        operator.until(lambda: operator.versions().get("quiet-0") == "2")
        assert total(logs, "flood.log*") <= (KEPT + 1) * BYTES_MAX


def longer(path: Path, size: int) -> bool:
    return path.stat().st_size > size


def total(directory: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in directory.glob(pattern))
