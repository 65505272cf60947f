"""Rows 2, 3 and 4: from what happens to the container running, told by the engine's own event for both sides.

An event comes just before the call that caused it returns. The controller is at rest each time; the file is moved into
place as one change, and the clock starts just before.
"""

import json
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from reconciler.model import labels
from reconciler.model.rendered import Rendered
from tests.bench.floor import Floor, rendered
from tests.bench.measure import alternate
from tests.bench.place import USUAL, Place
from tests.bench.table import Goal, Line
from tests.conftest import IMAGE
from tests.system.conftest import Operator, version

REST_SECONDS = 1.5
"""After what was done, and before the next: longer than the controller's longest pause between two passes."""

PATIENCE_SECONDS = 60


class Ear:
    """Hears from the engine when containers start."""

    def __init__(self, floor: Floor) -> None:
        self._client = floor.new_client(timeout=600)
        self._heard: queue.SimpleQueue[tuple[float, dict[str, str]]] = queue.SimpleQueue()
        self._events = self._client.events(decode=True, filters={"type": "container", "event": "start"})
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for event in self._events:
            self._heard.put((time.monotonic(), event["Actor"]["Attributes"]))

    def seconds_to_start(self, instance: str, sandbox: str, since: float) -> float:
        """From the monotonic time `since` to the next start of the sandbox's container."""
        while True:
            at, told = self._heard.get(timeout=PATIENCE_SECONDS)
            if at >= since and (told.get(labels.INSTANCE), told.get(labels.SANDBOX)) == (instance, sandbox):
                return at - since

    def close(self) -> None:
        self._events.close()


@contextmanager
def listening(place: Place) -> Iterator[Ear]:
    """Afterwards nothing is left on the engine."""
    place.clear()
    place.floor.network("floor")
    ear = Ear(place.floor)
    try:
        yield ear
    finally:
        ear.close()
        place.clear()


def save(operator: Operator, name: str, **keys: Any) -> float:
    """Puts the file in its place, and says when."""
    ready = operator.root / "ready"
    ready.write_text(json.dumps({"image": IMAGE, **keys}))
    at = time.monotonic()
    ready.replace(operator.directory / f"{name}.yaml")
    return at


def edit(place: Place, rounds: int) -> Iterator[Line]:
    """Row 2. The floor creates the new one, stops the old one, starts the new one."""
    operator, numbers = place.operator(), iter(range(rounds))
    with listening(place) as ear:
        floor = place.floor
        old = floor.create(_numbered(0))
        floor.start(old)
        operator.declare("s0", **USUAL)

        def ours() -> float:
            operator.until_phase(s0="Running")
            time.sleep(REST_SECONDS)
            at = save(operator, "s0", **USUAL, **version(next(numbers)))
            return ear.seconds_to_start(operator.instance, "s0", at)

        def directly() -> float:
            nonlocal old
            time.sleep(REST_SECONDS)
            one = _numbered(0, **version(time.monotonic_ns()))
            begun = time.monotonic()
            new = floor.create(one)
            floor.client.stop(old)
            floor.start(new)
            took = ear.seconds_to_start("floor", "s0", begun)
            floor.client.remove_container(old, v=True)
            old = new
            return took

        with operator.run():
            operator.until_phase(s0="Running")
            taken = alternate(rounds, ours, directly)
            operator.until_phase(s0="Running")
    yield Line(2, "saved file to its new container", taken[0], "create, stop, start", taken[1], Goal(1, 0.1))


def new_file(place: Place, rounds: int) -> Iterator[Line]:
    """Row 3. All of them stay."""
    operator = place.operator()
    ours_numbers, floor_numbers = iter(range(1, rounds + 1)), iter(range(1, rounds + 1))
    with listening(place) as ear:
        floor = place.floor

        def ours() -> float:
            time.sleep(REST_SECONDS)
            name = f"s{next(ours_numbers)}"
            at = save(operator, name, **USUAL)
            took = ear.seconds_to_start(operator.instance, name, at)
            operator.until_phase(**{name: "Running"})
            return took

        def directly() -> float:
            time.sleep(REST_SECONDS)
            one = _numbered(next(floor_numbers))
            begun = time.monotonic()
            floor.start(floor.create(one))
            return ear.seconds_to_start("floor", one.sandbox, begun)

        operator.declare("s0", **USUAL)
        with operator.run():
            operator.until_phase(s0="Running")
            taken = alternate(rounds, ours, directly)
    yield Line(3, "new file to its container", taken[0], "create, start", taken[1], Goal(1, 0.08))


def killed(place: Place, rounds: int) -> Iterator[Line]:
    """Row 4. Each sandbox is killed once only, as both sides wait longer each time; by a signal to its process.

    The reference is the same container with the engine's own restart policy.
    """
    operator, names = place.operator(), [f"s{number}" for number in range(rounds)]
    ours_names, floor_names = iter(names), iter(names)
    with listening(place) as ear:
        floor = place.floor
        for number, name in enumerate(names):
            operator.declare(name, **USUAL)
            one = _numbered(number)
            floor.start(floor.create(replace(one, spec=replace(one.spec, restart_policy="always"))))

        def kill(instance: str, name: str) -> float:
            time.sleep(REST_SECONDS)
            (row,) = (row for row in floor.rows(instance) if row["Labels"][labels.SANDBOX] == name)
            pid = floor.client.inspect_container(row["Id"])["State"]["Pid"]
            at = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            return ear.seconds_to_start(instance, name, at)

        with operator.run():
            operator.until_phase(**dict.fromkeys(names, "Running"))
            taken = alternate(
                rounds,
                lambda: kill(operator.instance, next(ours_names)),
                lambda: kill("floor", next(floor_names)),
            )
    yield Line(4, "SIGKILL of a sandbox to running again", taken[0], "`restart: always`", taken[1], Goal(1))


def _numbered(number: int, **keys: Any) -> Rendered:
    return rendered("floor", number, **USUAL, **keys)
