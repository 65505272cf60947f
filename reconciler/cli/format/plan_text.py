"""A plan for a terminal."""

from collections.abc import Iterable, Iterator

from reconciler.cli.format.plan_entries import ALARMING, Change, Entry
from reconciler.cli.format.terminal import Line, Styled, bold, cells, padded, wrapped

SIGNS = {"create": ("+", "green"), "remove": ("-", "red"), "stop": ("-", "red"), "wait": (".", "cyan")}
CHANGES = ("~", "yellow")
ALARMS = ("!", "bright_red")

NAME_WIDTH_MAX = 20
"""A longer name stands out of its column."""

FIELD_WIDTH_MAX = 24
INDENT = 4 * " "


def lines(entries: list[Entry], width: int, note: str = "") -> Iterator[Line]:
    """The note, then the entries. `width` is in columns; only a word that is longer makes a line longer."""
    if note:
        yield from wrapped(note, width, whole_words=True)
    widths = [cells(entry.name) for entry in entries if cells(entry.name) <= NAME_WIDTH_MAX]
    name_width = max(widths, default=0)
    for entry in entries:
        yield from _head(entry, name_width, width)
        yield from _changes(entry.changes, width)
        for problem in entry.problems:
            yield from _indented(problem, width, INDENT, 2 * INDENT)


def _head(entry: Entry, name_width: int, width: int) -> Iterator[Line]:
    sign, colour = ALARMS if entry.does in ALARMING else SIGNS.get(entry.does, CHANGES)
    does, name = f"{sign} {entry.does:7}  ", f"{padded(entry.name, name_width)}  "
    indent = " " * (len(does) + name_width + 2)
    first, *rest = wrapped(entry.why, width, taken=cells(does + name), hanging=indent, whole_words=True)
    yield Styled(does, colour), bold(name), first
    yield from rest


def _changes(changes: Iterable[Change], width: int) -> Iterator[Line]:
    field_width = min(max((cells(change.field) for change in changes), default=0), FIELD_WIDTH_MAX)
    for field, old, new in changes:
        line = f"{INDENT}{padded(field, field_width)}  " + (f"{old} -> {new}" if old else new)
        if cells(line) <= width or not old:
            yield line
        else:
            yield INDENT + field
            yield from _indented(old, width, f"{INDENT}  - ", 2 * INDENT)
            yield from _indented(new, width, f"{INDENT}  + ", 2 * INDENT)


def _indented(text: str, width: int, indent: str, hanging: str) -> Iterator[str]:
    first, *rest = wrapped(text, width, taken=len(indent), hanging=hanging, whole_words=True)
    yield from (indent + first, *rest)
