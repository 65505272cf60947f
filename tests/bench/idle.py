"""Rows 5, 7, 8 and the rest of 11: what it costs to have nothing to do.

A pass is provoked by a hidden file in the watched directory, which declares nothing: it is a pass that reads the files
again too, the dearest kind of those that find nothing. Its time is the controller's own `last_pass_seconds`.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import Sample, alternate, seconds, until
from tests.bench.place import Place, terminate
from tests.bench.table import MB, Goal, Line
from tests.system.conftest import Operator
from tests.system.faults.proxy import Proxy

REST_SECONDS = 2.5
"""Enough for what a start or a signal has caused to be over."""

QUIET_SECONDS = 52
MINUTE_SECONDS = 60

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


# --- a pass ----------------------------------------------------------------------------------------------------------


def passes(place: Place, wanted: int, rounds: int, *, row: int = 5, composed: bool = True) -> Iterator[Line]:
    """Row 5. Compose's processes are fewer, and come in the same turns."""
    operator, _ = place.crowd(wanted)
    compose = place.composed_crowd(wanted) if composed else None
    with operator.run():
        settle(operator)
        taken = alternate(
            rounds,
            lambda: idle_pass(operator),
            lambda: seconds(lambda: place.floor.rows(operator.instance)),
            *([lambda: compose.run("up", "-d")] if compose else []),
        )
    figure = f"pass with nothing to do, {wanted} sandboxes"
    yield Line(row, figure, taken[0], "one list call", taken[1], Goal(2))
    if composed:
        yield Line(row, figure, taken[0], "Compose `up -d`", taken[2] if compose else None, Goal(0.15))


def idle_pass(operator: Operator) -> float:
    """What one pass says of itself, to 0.1 ms."""
    before = operator.controller()["passes"]
    tick(operator)
    until(lambda: operator.controller()["passes"] > before)
    time.sleep(0.2)
    return float(operator.controller()["last_pass_seconds"])


def tick(operator: Operator) -> None:
    (operator.root / "tick").write_text("")
    (operator.root / "tick").replace(operator.directory / ".tick")


def settle(operator: Operator) -> None:
    """Until no pass has come for a while."""
    passes = -1
    while passes != (passes := operator.controller()["passes"]):
        time.sleep(REST_SECONDS)


# --- a minute --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spent:
    """What a process has used up so far, all of its threads."""

    cpu_seconds: float
    switches: int
    calls: int

    @classmethod
    def by(cls, pid: int, proxy: Proxy) -> "Spent":
        cpu_clock = (~pid << 3) | 2  # what clock_getcpuclockid(3) gives for the pid
        tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/status")]
        switches = sum(int(count) for task in tasks for count in re.findall(r"ctxt_switches:\s+(\d+)", task))
        return cls(time.clock_gettime(cpu_clock), switches, len(proxy.calls))

    def since(self, before: "Spent") -> "Spent":
        return Spent(self.cpu_seconds - before.cpu_seconds, self.switches - before.switches, self.calls - before.calls)


def minute(place: Place, wanted: int) -> Iterator[Line]:
    """Row 7: CPU in percent of one core, engine calls and context switches, between two resyncs and over a minute.

    SIGHUP sets the time of the next resync, 60 s later: the minute begins when what it caused is over.
    """
    operator, _ = place.crowd(wanted)
    with Proxy(place.engine.host, place.root / "proxy.sock") as proxy:
        operator.host = proxy.host
        with operator.run() as process:
            settle(operator)
            process.send_signal(signal.SIGHUP)
            time.sleep(REST_SECONDS)
            settle(operator)
            begun = time.monotonic()
            before = Spent.by(process.pid, proxy)
            time.sleep(QUIET_SECONDS - 2 * REST_SECONDS)
            quiet_seconds = time.monotonic() - begun
            quiet = Spent.by(process.pid, proxy).since(before)
            time.sleep(begun + MINUTE_SECONDS - time.monotonic())
            whole = Spent.by(process.pid, proxy).since(before)
        operator.host = ""
    cpu = Sample((100 * quiet.cpu_seconds / quiet_seconds,), "%")
    between = f"{wanted} idle, {quiet_seconds:.0f} s without resync"
    said = ", ".join(proxy.calls[before.calls : before.calls + quiet.calls])
    yield Line(7, f"{between}: CPU", cpu, goal=Goal(plus=0.1))
    yield Line(7, f"{between}: engine calls", Sample((quiet.calls,), ""), goal=Goal(), note=said)
    yield Line(7, f"{between}: switches", Sample((quiet.switches,), ""))
    with_resync = f"{wanted} idle, {MINUTE_SECONDS} s with resync"
    yield Line(7, f"{with_resync}: CPU", Sample((100 * whole.cpu_seconds / MINUTE_SECONDS,), "%"))
    yield Line(7, f"{with_resync}: engine calls", Sample((whole.calls,), ""))
    yield Line(7, f"{with_resync}: switches", Sample((whole.switches,), ""))


# --- memory ----------------------------------------------------------------------------------------------------------


class Memory:
    """Row 8: a new process each time, after its first passes and one full resync, when every log is followed.

    The imports are those that the process itself has made, as it told when it was asked to.
    """

    def __init__(self) -> None:
        self._medians: dict[int, float] = {}

    def with_crowd(self, place: Place, wanted: int, rounds: int, *, row: int = 8) -> Iterator[Line]:
        operator, _ = place.crowd(wanted)
        names = imports_of_run(operator)
        ours, imports = alternate(rounds, lambda: running(operator, wanted), lambda: bare(names), unit="MB")
        self._medians[wanted] = ours.median
        goal = Goal(1.5) if wanted >= 100 else None
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
        megabytes = resident(process.pid)
        terminate(process)
    return megabytes


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
