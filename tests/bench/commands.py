"""Row 6: commands as whole processes, where all is as declared."""

import sys
from collections.abc import Iterator
from functools import partial

from tests.bench.measure import alternate, process
from tests.bench.place import Place
from tests.bench.table import Goal, Line

COMPOSE_COMMANDS = (("up", "-d", "--dry-run"), ("config", "-q"))


def commands(place: Place, wanted: int, rounds: int) -> Iterator[Line]:
    """The empty Python is that of the command, which starts, imports nothing of ours, and ends."""
    operator, _ = place.crowd(wanted)
    compose = place.composed_crowd(wanted)
    empty = partial(process, [sys.executable, "-c", ""])
    own = (partial(process, operator.command(name)) for name in ("plan", "status", "validate"))
    theirs = (partial(compose.run, *words) for words in COMPOSE_COMMANDS) if compose else ()
    python, plan, status, validate, *composed = alternate(rounds, empty, *own, *theirs)
    dry_run, config = composed or (None, None)
    at_100 = Goal(1, 0.2) if wanted == 100 else None
    yield Line(6, f"`plan`, {wanted} sandboxes", plan, "empty Python", python, Goal(18) if wanted == 5 else None)
    yield Line(6, f"`plan`, {wanted} sandboxes", plan, "Compose `--dry-run`", dry_run, Goal(1.3))
    yield Line(6, f"`validate`, {wanted} sandboxes", validate, "empty Python", python, at_100)
    yield Line(6, f"`validate`, {wanted} sandboxes", validate, "Compose `config -q`", config)
    yield Line(6, f"`status`, {wanted} sandboxes", status, "empty Python", python, at_100)
