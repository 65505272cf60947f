"""Row 6: commands as whole processes, where all is as declared."""

import sys
from collections.abc import Iterator

from tests.bench.measure import alternate, process
from tests.bench.place import Place
from tests.bench.table import Goal, Line


def commands(place: Place, wanted: int, rounds: int) -> Iterator[Line]:
    """The empty Python is that of the command, which starts, imports nothing of ours, and ends."""
    operator, _ = place.crowd(wanted)
    compose = place.composed_crowd(wanted)
    dry_run, config, python, plan, status, validate = 0, 1, 2, 3, 4, 5
    taken = alternate(
        rounds,
        lambda: compose.run("up", "-d", "--dry-run") if compose else 0,
        lambda: compose.run("config", "-q") if compose else 0,
        lambda: process([sys.executable, "-c", ""]),
        *(lambda name=name: process(operator.command(name)) for name in ("plan", "status", "validate")),
    )
    at_100 = Goal(1, 0.2) if wanted == 100 else None
    found = (
        dict(enumerate(taken))
        if compose
        else {number: None if number < python else taken[number] for number in range(6)}
    )
    yield Line(6, f"`plan`, {wanted} sandboxes", taken[plan], "Compose `--dry-run`", found[dry_run], Goal(1.3))
    yield Line(6, f"`validate`, {wanted} sandboxes", taken[validate], "empty Python", taken[python], at_100)
    yield Line(6, f"`validate`, {wanted} sandboxes", taken[validate], "Compose `config -q`", found[config])
    yield Line(6, f"`status`, {wanted} sandboxes", taken[status], "empty Python", taken[python], at_100)
