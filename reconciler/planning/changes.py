"""In what a new container differs from the one that it replaces, field by field, in the words of the file."""

from collections.abc import Iterator, Mapping

from reconciler.model.labels import PREFIX
from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.world import Inspection
from reconciler.planning.attest import attest
from reconciler.planning.describe import HIDDEN, NOTHING, configuration

CHANGED = "(changed)"
"""Stands for another value of `environment`."""


def changes(rendered: Rendered, old: Inspection, known: Mapping[str, str]) -> tuple[Mismatch, ...]:
    """What somebody asked for, and not what only follows from it, by field. No value of `environment` is in it.

    `known` is the `configuration` of the old one. Where nobody remembers it, what was taken away looks like what the
    image brings along, and is left out.
    """
    found = [change for change in _changes(rendered, old, known) if not _follows(change)]
    return tuple(sorted(found, key=lambda change: change.knob))


def _changes(rendered: Rendered, old: Inspection, known: Mapping[str, str]) -> Iterator[Mismatch]:
    if known:
        yield from _fields(known, configuration(rendered.spec))
        yield from _values(rendered, old, known)
    elif old.spec:
        yield from attest(rendered, old)


def _fields(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Mismatch]:
    for field in dict.fromkeys([*new, *old]):
        if old.get(field) != new.get(field):
            yield Mismatch(field, expected=new.get(field, NOTHING), actual=old.get(field, NOTHING))


def _values(rendered: Rendered, old: Inspection, known: Mapping[str, str]) -> Iterator[Mismatch]:
    """Of variables that both have; nothing where the engine was not asked for the old ones."""
    if old.spec is None:
        return
    for key, value in sorted(rendered.spec.environment.items()):
        if f"environment.{key}" in known and old.spec.environment.get(key) != value:
            yield Mismatch(f"environment.{key}", expected=CHANGED, actual=HIDDEN)


def _follows(change: Mismatch) -> bool:
    return change.knob.startswith(f"labels.{PREFIX}") or change.knob == "memswap_limit"
