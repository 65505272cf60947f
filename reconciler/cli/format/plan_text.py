"""A plan for a terminal."""

import textwrap
from collections.abc import Iterable, Iterator

import click

from reconciler.cli.format.plan_entries import ALARMING, Change, Entry

SIGNS = {"create": ("+", "green"), "remove": ("-", "red"), "stop": ("-", "red"), "wait": (".", "cyan")}
CHANGES = ("~", "yellow")
ALARMS = ("!", "bright_red")

NAME_WIDTH_MAX = 20
"""A longer name stands out of its column."""

FIELD_WIDTH_MAX = 24
INDENT = 4 * " "


def lines(entries: list[Entry], width: int, note: str = "") -> Iterator[str]:
    """The note, then the entries. `width` is in columns; only a word that is longer makes a line longer."""
    if note:
        yield from _wrapped(note, width, "", "")
    widths = [len(entry.name) for entry in entries if len(entry.name) <= NAME_WIDTH_MAX]
    name_width = max(widths, default=0)
    for entry in entries:
        yield from _head(entry, name_width, width)
        yield from _changes(entry.changes, width)
        for problem in entry.problems:
            yield from _wrapped(problem, width, INDENT, INDENT + INDENT)


def _head(entry: Entry, name_width: int, width: int) -> Iterator[str]:
    sign, colour = ALARMS if entry.does in ALARMING else SIGNS.get(entry.does, CHANGES)
    does, name = f"{sign} {entry.does:7}  ", f"{entry.name:{name_width}}  "
    first, *rest = _wrapped(entry.why, width, does + name, (len(does) + name_width + 2) * " ")
    why = first.removeprefix(does + name)
    yield click.style(does, fg=colour) + click.style(name, bold=True) + why
    yield from rest


def _changes(changes: Iterable[Change], width: int) -> Iterator[str]:
    field_width = min(max((len(change.field) for change in changes), default=0), FIELD_WIDTH_MAX)
    for field, old, new in changes:
        both = f"{old} -> {new}" if old else new
        line = f"{INDENT}{field:{field_width}}  {both}"
        if len(line) <= width or not old:
            yield line
        else:
            yield INDENT + field
            yield from _wrapped(old, width, f"{INDENT}  - ", 2 * INDENT)
            yield from _wrapped(new, width, f"{INDENT}  + ", 2 * INDENT)


def _wrapped(text: str, width: int, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    ) or [first]
