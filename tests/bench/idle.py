"""Rows 5, 7 and part of 11: what it costs to have nothing to do.

A pass is provoked by a hidden file in the watched directory, which declares nothing: it is a pass that reads the files
again too, the dearest kind of those that find nothing. Its time is the controller's own `last_pass_seconds`, which ends
before `controller.json` and `metrics.prom` are written.
"""

import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.control.schedule import RESYNC_SECONDS
from tests.bench.measure import Sample, alternate, seconds, until
from tests.bench.place import Place
from tests.bench.table import Goal, Line
from tests.system.conftest import Operator
from tests.system.faults.proxy import Proxy

REST_SECONDS = 2.5
"""Enough for what a start or a signal has caused to be over."""


# --- a pass ----------------------------------------------------------------------------------------------------------


def passes(place: Place, wanted: int, rounds: int, *, row: int = 5, composed: bool = True) -> Iterator[Line]:
    """Row 5. Compose's processes are fewer, and come in the same turns."""
    operator, _ = place.crowd(wanted)
    compose = place.composed_crowd(wanted) if composed else None
    with operator.run():
        settle(operator)
        ours, listed, *up = alternate(
            rounds,
            lambda: idle_pass(operator),
            lambda: seconds(lambda: place.floor.rows(operator.instance)),
            *([lambda: compose.run("up", "-d")] if compose else []),
        )
    figure = f"pass with nothing to do, {wanted} sandboxes"
    yield Line(row, figure, ours, "one list call", listed, Goal(2))
    if composed:
        yield Line(row, figure, ours, "Compose `up -d`", up[0] if up else None, Goal(0.15))


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

    SIGHUP sets the time of the next resync, a minute later; the minute here begins when what it caused is over.
    """
    operator, _ = place.crowd(wanted)
    with Proxy(place.engine.host, place.root / "proxy.sock") as proxy:
        operator.host = proxy.host
        with operator.run() as process:
            settle(operator)
            process.send_signal(signal.SIGHUP)
            resync_at = time.monotonic() + RESYNC_SECONDS
            time.sleep(REST_SECONDS)
            settle(operator)
            begun = time.monotonic()
            before = Spent.by(process.pid, proxy)
            time.sleep(resync_at - REST_SECONDS - begun)
            quiet_seconds = time.monotonic() - begun
            quiet = Spent.by(process.pid, proxy).since(before)
            time.sleep(begun + RESYNC_SECONDS - time.monotonic())
            whole = Spent.by(process.pid, proxy).since(before)
        operator.host = ""
    cpu = Sample((100 * quiet.cpu_seconds / quiet_seconds,), "%")
    between = f"{wanted} idle, {quiet_seconds:.0f} s without resync"
    said = ", ".join(proxy.calls[before.calls : before.calls + quiet.calls])
    yield Line(7, f"{between}: CPU", cpu, goal=Goal(plus=0.1))
    yield Line(7, f"{between}: engine calls", Sample((quiet.calls,), ""), goal=Goal(), note=said)
    yield Line(7, f"{between}: switches", Sample((quiet.switches,), ""))
    with_resync = f"{wanted} idle, {RESYNC_SECONDS:.0f} s with resync"
    yield Line(7, f"{with_resync}: CPU", Sample((100 * whole.cpu_seconds / RESYNC_SECONDS,), "%"))
    yield Line(7, f"{with_resync}: engine calls", Sample((whole.calls,), ""))
    yield Line(7, f"{with_resync}: switches", Sample((whole.switches,), ""))
