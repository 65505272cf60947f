"""Row 8 and part of 11: VmRSS of the controller, beside a process that has only imported the same modules, and sleeps.

A new process each time, after its first passes and one full resync, when every log is followed. The modules are those
that it has really imported, as it told when it was asked to.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.idle import REST_SECONDS, settle
from tests.bench.measure import Sample, alternate, until
from tests.bench.place import Place
from tests.bench.table import MB, Goal, Line
from tests.system.conftest import Operator

IMPORTS_TOLD = ("env", "PYTHONPROFILEIMPORTTIME=1")
IMPORT = re.compile(r"^import time:.*\| +(\S+)$", re.MULTILINE)
IMPORT_ALL = """
import contextlib, importlib, sys, time
for name in sys.stdin.read().split():
    with contextlib.suppress(Exception):
        importlib.import_module(name)
print("imported", flush=True)
time.sleep(3600)
"""


class Memory:
    """Remembers what it measured, for the growth from one crowd to the next."""

    def __init__(self) -> None:
        self._medians: dict[int, float] = {}

    def with_crowd(self, place: Place, wanted: int, rounds: int, *, row: int = 8) -> Iterator[Line]:
        operator, _ = place.crowd(wanted)
        names = imports_of_run(operator)
        ours, imports = alternate(rounds, lambda: running(operator, wanted), lambda: bare(names), unit="MB")
        self._medians[wanted] = ours.median
        goal = Goal(1.5) if wanted == 100 or row == 11 else None
        yield Line(row, f"memory with {wanted} sandboxes", ours, "its imports", imports, goal)

    def growth(self, _: Place) -> Iterator[Line]:
        """Between the two largest crowds that were measured."""
        (fewer, less), (more, most) = sorted(self._medians.items())[-2:]
        grown = Sample(((most - less) / (more - fewer) * 1000,), "kB")
        yield Line(8, f"memory for each sandbox, from {fewer} to {more}", grown)


def running(operator: Operator, wanted: int) -> float:
    """The megabytes of a controller with so many sandboxes."""
    with operator.run() as process:
        until(lambda: followed(process.pid) >= wanted)
        process.send_signal(signal.SIGHUP)
        time.sleep(REST_SECONDS)
        settle(operator)
        return resident(process.pid)


def bare(names: list[str]) -> float:
    """The megabytes of a process that has imported what `run` imports, and sleeps."""
    command = [sys.executable, "-c", IMPORT_ALL]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n".join(names))
        process.stdin.close()
        process.stdout.readline()
        try:
            return resident(process.pid)
        finally:
            process.kill()


def imports_of_run(operator: Operator) -> list[str]:
    log = operator.root / "run.log"
    log.unlink(missing_ok=True)
    operator.before = IMPORTS_TOLD
    with operator.run():
        settle(operator)
    operator.before = ()
    return IMPORT.findall(operator.log)


def followed(pid: int) -> int:
    """How many logs may be followed: each has a connection to the engine."""
    return sum(str(file.readlink()).startswith("socket:") for file in Path(f"/proc/{pid}/fd").iterdir())


def resident(pid: int) -> float:
    """VmRSS."""
    (kilobytes,) = re.findall(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024 / MB
