"""Faults of the sandboxes themselves: what does not start, what does not stay up, and what does not end."""

import io
import tarfile
import time
from typing import Any

import pytest

from tests.engine_api import import_image
from tests.system.conftest import STUBBORN, Operator, version

NO_PROGRAM = "sandbox:no-program"
"""An image whose program is for no machine."""

LONG_SECONDS = 10
"""So long a failure must rest at least, for an edit to come before the next attempt."""

FAILING: dict[str, dict[str, Any]] = {
    "crashing": {"command": ["sh", "-c", "exit 3"]},
    "missing": {"command": ["no-such-program"]},
    "alien": {"image": NO_PROGRAM, "command": ["/program"]},
    "hindered": {"tmpfs": ["/etc/passwd"]},
}
"""A program that ends at once, two that the init process cannot start, and a container that the engine cannot."""


def make_image_for_no_machine(host: str) -> None:
    buffer = io.BytesIO()
    program = b"\x7fELF" + bytes(60)
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("program")
        member.mode, member.size = 0o755, len(program)
        tar.addfile(member, io.BytesIO(program))
    import_image(host, NO_PROGRAM, buffer.getvalue(), [])


@pytest.mark.slow
def test_fault_20_sandboxes_that_do_not_stay_up(operator: Operator) -> None:
    """Each rests longer after each failure, with few words, and harms no neighbour; an edit mends it at once."""
    make_image_for_no_machine(operator.engine.host)
    for name, keys in FAILING.items():
        operator.declare(name, **keys)
    operator.declare("web")
    is_in_backoff: dict[str, dict[int, float]] = {name: {} for name in FAILING}

    def all_rest_long() -> bool:
        statuses = [operator.status(name) for name in FAILING]
        for status in statuses:
            if failure := status.get("failure"):
                is_in_backoff[status["name"]][status["failures"]] = status["retry_at"] - failure["at"]
        later = time.time() + LONG_SECONDS
        return all(status.get("phase") == "Backoff" and status["retry_at"] > later for status in statuses)

    with operator.run():
        operator.until_phase(web="Running")
        neighbour = operator.container("web")
        operator.until(all_rest_long, 120)
        due = {name: operator.status(name)["retry_at"] for name in FAILING}
        for name, rest in is_in_backoff.items():
            assert len(rest) > 2
            assert [rest[failures] for failures in sorted(rest)] == sorted(set(rest.values()))
            assert sum(line["sandbox"] == name for line in operator.journal()) <= 3 * (max(rest) + 1)
        for name in FAILING:
            operator.declare(name)
        operator.until_phase(**dict.fromkeys(FAILING, "Running"))
        for name, again_at in due.items():
            assert operator.status(name)["failures"] == 0
            edited = [line for line in operator.journal() if line["sandbox"] == name and line["verdict"] == "REPLACE"]
            assert edited[0]["at"] < again_at
        assert (operator.container("web"), operator.status("web")["restarts"]) == (neighbour, 0)


def test_fault_21_eight_files_under_a_limit_of_five(operator: Operator) -> None:
    """Five run, three wait and are told for whom; deleting one starts exactly one."""
    for name in "abcdefgh":
        operator.declare(name)
    with operator.run():
        operator.until_phase(**dict.fromkeys("abcde", "Running"), **dict.fromkeys("fgh", "Waiting"))
        assert set(operator.versions()) == set("abcde")
        waiting = operator.status("f")
        assert waiting["reason"] == "LimitExceeded"
        assert waiting["message"].endswith("; used by a, b, c, d, e")
        operator.remove("b")
        operator.until_phase(f="Running")
        operator.until(lambda: set(operator.versions()) == set("acdef"))
        assert operator.phase("g") == operator.phase("h") == "Waiting"


def test_fault_22_a_slow_stop_delays_no_other(operator: Operator) -> None:
    """While one sandbox is being stopped, its neighbours are changed, made and removed."""
    operator.declare("slow", command=STUBBORN, stop_grace_period="20s")
    operator.declare("edited")
    operator.declare("removed")
    with operator.run():
        operator.until_phase(slow="Running", edited="Running", removed="Running")
        slow = operator.container("slow")
        operator.declare("slow", **version("2"))
        operator.until_phase(slow="Updating")
        operator.declare("edited", **version("2"))
        operator.declare("added")
        operator.remove("removed")
        operator.until(lambda: operator.versions() == {"slow": "", "edited": "2", "added": ""})
        assert (operator.phase("slow"), operator.container("slow")) == ("Updating", slow)
        operator.api("POST", f"/containers/{slow}/kill")
        operator.until(lambda: operator.versions() == {"slow": "2", "edited": "2", "added": ""})
        operator.until_phase(slow="Running")


def test_fault_22_what_ignores_its_stop_is_killed(operator: Operator) -> None:
    """A sandbox that does not end when it is asked to ends when its grace is over."""
    operator.declare("web", command=STUBBORN, stop_grace_period="1s")
    operator.reconciler("apply", code=0)
    operator.remove("web")
    operator.reconciler("apply", code=0)
    assert operator.containers() == []
