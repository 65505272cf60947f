"""Rows 1, 11, 12 and 13: from nothing to everything running, what the verification costs, and what many files do."""

import subprocess
import time
from collections.abc import Iterator

from reconciler.engine.address import Address
from reconciler.engine.docker.client import DockerEngine
from reconciler.engine.host import EngineHost
from reconciler.planning.attest import attest
from tests.bench.floor import rendered
from tests.bench.measure import Sample, alternate, seconds
from tests.bench.place import APPLY, SMALL, USUAL, Place, expect
from tests.bench.table import Goal, Line
from tests.system.conftest import Operator

LOOK_SECONDS = 0.02


def first(place: Place, wanted: int, rounds: int) -> Iterator[Line]:
    """Row 1: a whole `apply` process, its start included; the floor's process is already there. Removals in between."""

    def ours() -> float:
        place.clear()
        return place.converge(place.operator(), wanted, **USUAL)

    bodies = [rendered("floor", number, **USUAL) for number in range(wanted)]

    def floor() -> float:
        place.clear()
        return seconds(lambda: place.floor.converge("floor", bodies))

    def compose() -> float:
        place.clear()
        assert place.compose
        place.compose.declare(bodies)
        took = place.compose.run("up", "-d")
        expect(len(place.floor.rows("floor")), wanted)
        return took

    applied, direct, *composed = alternate(rounds, ours, floor, *([compose] if place.compose else []))
    place.clear()
    figure = f"`apply`, first {wanted} sandboxes"
    yield Line(1, figure, applied, "floor", direct, Goal(1.1))
    yield Line(1, figure, applied, "Compose `up -d`", composed[0] if composed else None, Goal(1))


def under_a_raised_limit(place: Place, wanted: int) -> Iterator[Line]:
    """Row 11: once each, as it takes long; the sandboxes stay for the rows that follow."""
    place.clear()
    bodies = [rendered("floor", number, **SMALL) for number in range(wanted)]
    reference = Sample((seconds(lambda: place.floor.converge("floor", bodies)),))
    place.clear()
    _, took = place.crowd(wanted)
    note = "one run each; `network_mode: none`"
    yield Line(11, f"`apply`, first {wanted} sandboxes", Sample((took,)), "floor", reference, Goal(1.1), note)


def verification(place: Place, rounds: int) -> Iterator[Line]:
    """Row 12: one inspection and its comparison, one sandbox after another, between its creation and its start.

    And what the kernel is asked once it runs.
    """
    floor, engine = place.floor, DockerEngine(Address(place.engine.host), "verified")
    floor.network("verified")
    engine.facts()  # it connects when it is first asked
    numbers = iter(range(rounds))
    made: list[tuple[float, float]] = []
    asked: list[float] = []

    def verified() -> float:
        one = rendered("verified", next(numbers), **USUAL)
        container = ""

        def create() -> None:
            nonlocal container
            container = floor.create(one)

        creating = seconds(create)
        found: list[object] = []
        verifying = seconds(lambda: found.extend(attest(one, engine.inspect(container))))
        expect(found, [])
        made.append((creating, seconds(lambda: floor.start(container))))
        running, told = engine.inspect(container), list[object]()
        asked.append(seconds(lambda: told.append(EngineHost(None, {}).kernel(container, running))))
        expect(told.count(None), 0)
        return verifying

    (ours,) = alternate(rounds, verified)
    place.clear()
    creations = Sample(tuple(map(sum, made)))
    yield Line(12, "inspect and attest one sandbox", ours, "create + start", creations)
    yield Line(12, "ask the kernel about one sandbox", Sample(tuple(asked)), "create + start", creations)


def among_many(place: Place, files: int) -> Iterator[Line]:
    """Row 13: from the start of `apply` to its first container, where one more of so many files may run."""
    place.clear()
    operator = place.operator()
    for number in range(files):
        operator.declare(f"s{number}", **SMALL)
    cold, warm = (_until_first(place, operator, running) for running in (1, 2))
    place.clear()
    yield Line(13, f"`apply` to its first container, {files:,} files, all new", Sample((cold,)), note="one run")
    yield Line(13, f"`apply` to its first container, {files:,} files, known", Sample((warm,)), goal=Goal(plus=2))


def _until_first(place: Place, operator: Operator, running: int) -> float:
    operator.decree(sandboxes_max=running)
    begun = time.perf_counter()
    with subprocess.Popen(operator.command(*APPLY), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(place.floor.rows(operator.instance)) < running:
            expect(process.poll(), None)
            time.sleep(LOOK_SECONDS)
        return time.perf_counter() - begun
