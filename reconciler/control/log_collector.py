"""Copies the output of the sandboxes to their log files."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import NamedTuple

from reconciler.control.messages import LogRateExceeded, OutputEnded, Tell
from reconciler.engine.protocol import EngineReader
from reconciler.model.errors import EngineRefused, EngineUnavailable
from reconciler.model.output import GAP, Output
from reconciler.model.world import Observed
from reconciler.report.sandbox_log import Position, SandboxLog
from reconciler.spec.units import SIZE_MAX

log = logging.getLogger(__name__)

BYTES_PER_SECOND = 4 * 1024 * 1024
"""For all sandboxes together; faster output waits in the engine's own log, which is bounded."""

BURST_SECONDS = 4.0
LINE_BYTES = 256
"""Counted for each line besides its text."""

RATE_SECONDS = 30
"""A silent sandbox may save up so many seconds of its rate for a burst."""

FINISH_SECONDS = 10.0
"""How long a removal waits for the last output."""

RETRY_SECONDS = 5.0
"""Between two attempts to write to a disk that is full."""

LAST_OUTPUT_LINES = 50

DROPPED = Output(b"", GAP, b"output is missing here: the engine had dropped it before it was read\n")


class _Reading(NamedTuple):
    """The output of one container: while it runs (`ended_at` is 0), or up to its end."""

    sandbox: str
    container: str
    ended_at: float


def _reading(container: Observed) -> _Reading:
    return _Reading(container.sandbox, container.id, 0 if container.up else container.inspection.finished_at)


class Budget:
    """Delays its callers so that together they stay within `BYTES_PER_SECOND`, after a burst."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent_until = 0.0

    def spend(self, cost_bytes: int) -> None:
        """Returns when so many bytes may be spent, which may take a while."""
        with self._lock:
            now = time.monotonic()
            self._spent_until = max(self._spent_until, now) + cost_bytes / BYTES_PER_SECOND
            ahead = self._spent_until - now - BURST_SECONDS
        if ahead > 0:
            time.sleep(ahead)


class Excess:
    """How far a container's output exceeds its rate, by the engine's timestamps, whenever it is read."""

    def __init__(self) -> None:
        self._bytes = self._at = 0.0

    def of(self, outputs: list[Output], rate: float) -> float:
        """In bytes, after these outputs; silence lowers it."""
        at = max(self._at, _epoch(outputs[-1].at))
        self._bytes = max(0.0, self._bytes - (at - self._at) * rate) + _cost(outputs)
        self._at = at
        return self._bytes


def _epoch(at: bytes) -> float:
    """In seconds: the time of an `Output`."""
    return datetime.fromisoformat(f"{at[:19].decode()}+00:00").timestamp() + float(at[19:29])


def _cost(outputs: list[Output]) -> int:
    return sum(len(output.text) + LINE_BYTES for output in outputs)


class LogCollector:
    """One thread for each container. How far it has read is in the log file itself: see `SandboxLog`."""

    def __init__(self, engine: EngineReader, directory: Path) -> None:
        self._engine, self._directory = engine, directory
        self._budget = Budget()
        self._rate: float = SIZE_MAX
        self._lock = threading.Lock()
        self._under_way: dict[_Reading, threading.Event] = {}
        self._done: set[_Reading] = set()
        self._logs: dict[str, tuple[SandboxLog, threading.Lock]] = {}

    def follow(self, containers: Iterable[Observed], tell: Tell, rate: float = SIZE_MAX) -> None:
        """Follows those that run, and reads what is left of those that have ended since; reports their last output.

        Sends `LogRateExceeded`, repeatedly, for those that exceed `rate` bytes a second.
        """
        self._rate = rate
        began = (one for one in containers if one.up or one.inspection.finished_at)
        readings = [_reading(container) for container in sorted(began, key=lambda one: one.created_at)]
        with self._lock:
            self._done.intersection_update(readings)
            due = [reading for reading in readings if reading not in self._done]
            known = {reading.sandbox for reading in (*readings, *self._under_way)}
            self._logs = {sandbox: said for sandbox, said in self._logs.items() if sandbox in known}
        for reading in due:
            self._begin(reading, tell)

    def finish(self, sandbox: str, container: str) -> None:
        """Returns when the last output of a stopped container is written, or after `FINISH_SECONDS`."""
        if not self._begin(_Reading(sandbox, container, time.time())).wait(FINISH_SECONDS):
            log.warning("%s: the last output of %s may be lost", sandbox, container[:12])

    def _begin(self, reading: _Reading, tell: Tell = lambda _: None) -> threading.Event:
        with self._lock:
            if reading not in self._under_way:
                self._under_way[reading] = threading.Event()
                said, turn = self._log_of(reading.sandbox)
                name = f"follow-{reading.sandbox}"
                threading.Thread(target=self._work, args=(reading, said, turn, tell), name=name, daemon=True).start()
            return self._under_way[reading]

    def _log_of(self, sandbox: str) -> tuple[SandboxLog, threading.Lock]:
        """With a lock that lets the previous container finish writing first."""
        if sandbox not in self._logs:
            self._logs[sandbox] = SandboxLog(self._directory / f"{sandbox}.log"), threading.Lock()
        return self._logs[sandbox]

    def _work(self, reading: _Reading, said: SandboxLog, turn: threading.Lock, tell: Tell) -> None:
        sandbox, container, ended_at = reading
        with turn:
            try:
                self._copy(reading, said, tell)
                if ended_at:
                    tell(OutputEnded(sandbox, container, said.last_output(container, LAST_OUTPUT_LINES)))
                    with self._lock:
                        self._done.add(reading)
            except (EngineUnavailable, EngineRefused, OSError) as error:
                log.debug("%s: the output of %s ended: %s", sandbox, container[:12], error)
            finally:
                with self._lock:
                    self._under_way.pop(reading).set()

    def _copy(self, reading: _Reading, said: SandboxLog, tell: Tell) -> None:
        container, excess = reading.container, Excess()
        position = said.position(container)
        for outputs in _after(position, self._engine.output(container, position.at)):
            if excess.of(outputs, self._rate) > self._rate * RATE_SECONDS:
                excess = Excess()
                tell(LogRateExceeded(reading.sandbox, container, _epoch(outputs[-1].at)))
            self._budget.spend(_cost(outputs))
            _append(said, container, outputs)


def _append(said: SandboxLog, container: str, outputs: list[Output]) -> None:
    """Tries until it succeeds: meanwhile the engine keeps the output."""
    for attempt in count():
        try:
            said.append(container, outputs)
        except OSError as error:
            if attempt == 0:
                log.warning("cannot write the output of %s: %s", container[:12], error.strerror)
            time.sleep(RETRY_SECONDS)
        else:
            return


def _after(position: Position, outputs: Iterable[list[Output]]) -> Iterator[list[Output]]:
    """Without the lines that are already written; behind `DROPPED` where the engine has lost the last of these."""
    at, written = position
    for number, some in enumerate(filter(None, outputs)):
        gap = [DROPPED._replace(at=at)] if number == 0 and at and at != some[0].at else []
        known = 0
        while known < len(some) and written and some[known].at == at:
            known += 1
            written -= 1
        if fresh := [*gap, *some[known:]]:
            yield fresh
