"""What is looked at from outside while the soak lasts: what must never be, and what must not grow."""

import json
import logging
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from reconciler.model import labels
from tests.engine_api import ask
from tests.floor import outside_the_floor
from tests.system.conftest import Operator

LIMIT = 20
"""So many sandboxes are declared, and no more may run."""

LOOK_SECONDS = 0.5
SAMPLE_SECONDS = 5.0
START_SECONDS = 60

log = logging.getLogger("soak")


@dataclass(frozen=True)
class Sample:
    """What can be counted of the controller and of what it keeps; `at` is in monotonic seconds."""

    at: float
    values: dict[str, float]


class Watch:
    """Looks at the engine and at the controller until `over` is set.

    Whoever takes the engine away holds `engine_there` until all is as it was. The containers of `inspected` were found
    to be within the floor: what comes to be of them later is not the controller's doing.
    """

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._strangers: dict[str, str] = {}
        self._running: set[str] = set()
        self._sample_at = 0.0
        self.journal = Journal(operator.state / "journal.jsonl")
        self.engine_there = threading.Lock()
        self.over = threading.Event()
        self.inspected: set[str] = set()
        self.violations: list[str] = []
        self.samples: list[Sample] = []
        self.looks = self.missed = 0

    def run(self) -> None:
        try:
            while not self.over.wait(LOOK_SECONDS):
                with self.engine_there:
                    self._try_to_look()
        finally:
            self.over.set()

    def _try_to_look(self) -> None:
        try:
            self._look()
            if time.monotonic() >= self._sample_at:
                self._sample_at = time.monotonic() + SAMPLE_SECONDS
                self._sample()
        except (OSError, RuntimeError) as error:
            self.missed += 1
            log.info("missed a look: %s", error)

    def violation(self, text: str) -> None:
        """Each is told once."""
        if text not in self.violations:
            self.violations.append(text)
            log.error("VIOLATION: %s", text)

    def guard(self, *strangers: str) -> None:
        """From now on, these containers must stay as they are."""
        self._strangers = {stranger: self._said(stranger) for stranger in strangers}

    def start_strangers(self) -> None:
        """After the engine was away; nobody else may."""
        for stranger in self._strangers:
            ask(self._operator.engine.host, "POST", f"/containers/{stranger}/start", seconds=START_SECONDS)
        self.guard(*self._strangers)

    def containers(self, *, running: bool = False) -> list[dict[str, Any]]:
        """Those with the instance's label, but for the stranger's."""
        rows = self._operator.containers(running=running)
        return [row for row in rows if row["Id"] not in self._strangers]

    # --- what must never be --------------------------------------------------------------------------------------

    def _look(self) -> None:
        rows = self.containers(running=True)
        self.looks += 1
        if len(rows) > LIMIT:
            self.violation(f"{len(rows)} containers run at once")
        for name, count in Counter(row["Labels"][labels.SANDBOX] for row in rows).items():
            if count > 1:
                self.violation(f"{count} containers run at once for {name}")
        before, self._running = self._running, {row["Id"] for row in rows}
        for container in (before & self._running) - self.inspected:
            self._inspect(container)
        for stranger, was in self._strangers.items():
            if (said := self._said(stranger)) != was:
                self.violation(f"a stranger's container was touched; it was {was}; now {said}")

    def _inspect(self, container: str) -> None:
        try:
            raw = self._operator.api("GET", f"/containers/{container}/json")
        except RuntimeError as error:
            log.info("gone before it was inspected: %s", error)
            return
        for what in outside_the_floor(raw):
            self.violation(f"{raw['Name']} ({container[:12]}) runs with {what}")
        self.inspected.add(container)

    def _said(self, container: str) -> str:
        """What changes when somebody touches the container."""
        try:
            raw = self._operator.api("GET", f"/containers/{container}/json")
        except RuntimeError as error:
            return str(error)
        state, networks = raw["State"], sorted(raw["NetworkSettings"]["Networks"])
        return f"{raw['Name']} {container[:12]} {state['Status']} since {state['StartedAt']} in {networks}"

    # --- what must not grow --------------------------------------------------------------------------------------

    def _sample(self) -> None:
        self.journal.read()
        try:
            process = _process(self._operator.running[-1].pid)
        except (OSError, LookupError):  # it is not there just now
            return
        sizes = {path: _bytes(path) for path in self._operator.state.rglob("*")}
        journal = sum(size for path, size in sizes.items() if path.name.startswith("journal"))
        values = {
            **process,
            "containers": len(self.containers()),
            **things(self._operator),
            "state kB": (sum(sizes.values()) - journal) / 1024,
            "journal kB": journal / 1024,
        }
        self.samples.append(Sample(time.monotonic(), values))
        log.info("sample %s", self.samples[-1])


class Journal:
    """Counts the actions of a journal by kind, while it is written and rotated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self.actions: Counter[str] = Counter()
        self.failed = 0

    def read(self) -> None:
        """What is new; of a file that has been rotated, the rest first."""
        try:
            current = self._path.stat().st_ino
        except FileNotFoundError:  # not there yet, or rotated just now
            return
        if self._file is not None:
            self._count(self._file)
            if os.fstat(self._file.fileno()).st_ino == current:
                return
            self._file.close()
        self._file = self._path.open("rb")
        self._count(self._file)

    def _count(self, file: BinaryIO) -> None:
        position = file.tell()
        while (line := file.readline()).endswith(b"\n"):
            position = file.tell()
            entry = json.loads(line)
            if entry["action"]:
                self.actions[entry["action"].split()[0]] += 1
                self.failed += entry["result"] != "ok"
        file.seek(position)  # a line that is not whole yet is read again


def things(operator: Operator) -> dict[str, int]:
    """How many there are of what containers leave behind."""
    ours = json.dumps({"label": [f"{labels.INSTANCE}={operator.instance}"]})
    return {
        "volumes": len(operator.api("GET", "/volumes")["Volumes"] or ()),
        "networks": len(operator.api("GET", "/networks", {"filters": ours})),
    }


def _process(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return {
        "VmRSS kB": int(status["VmRSS"].split()[0]),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(status["Threads"]),
    }


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # renamed or removed just now
        return 0
