"""Reads a Compose service by the table of its keys: what a sandbox says instead, and what becomes of each value."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from reconciler.model.errors import Problem
from reconciler.sources.compose_keys import ANY, KEPT, KEYS, Handling, Spelling, Table, refused
from reconciler.sources.document import NAMES_MAX, Document, KeyPath, full_name
from reconciler.spec.mistake import SHOWN_MAX
from reconciler.spec.sandbox import Sandbox
from reconciler.spec.text import printable

UNKNOWN = refused("", ANY, "unknown key '{key}'", "leave it out")
OWN = {(key,) for key in Sandbox.model_fields}
MAPPINGS = {key[: dot.start()] for key in KEYS for dot in re.finditer(r"\.", key)}
"""Keys that have rows for keys in them."""
_DROPPED = object()


class Reading(NamedTuple):
    """What becomes of one value; `groups` are those of the spelling's pattern."""

    path: KeyPath
    value: Any
    spelling: Spelling
    groups: Mapping[str, str]

    @property
    def words(self) -> Mapping[str, str]:
        """What the names in braces stand for in the texts of the spelling."""
        return {**self.groups, "key": full_name(self.path), "value": _text(self.value)}

    def problem(self, document: Document) -> Problem:
        """The mistake in what is refused, and a note on all else."""
        place = document.place if self.path[:1] in OWN else document.place_of_key
        shown = {name: printable(text, SHOWN_MAX) for name, text in self.words.items()}
        message, hint = (text.format_map(shown) for text in (self.spelling.message, self.spelling.hint))
        return place(self.path).problem(document.file, message, hint)

    def said(self) -> Any:
        """What a sandbox says instead."""
        return self.value if self.spelling.said is None else _filled(self.spelling.said, self.words)


def read_service(document: Document, table: Table = KEYS) -> tuple[Document, list[Reading]]:
    """The document as a sandbox's, and what became of each value. What is refused stays in it, for the model to judge.

    Places are those of what was written, also under the key that says it here.
    """
    if not isinstance(document.value, dict):
        return document, []
    reader = _Reader(document, table)
    kept = reader.mapping((), document.value)
    return replace(document, value=kept | reader.moved, keys=reader.keys, values=reader.values), reader.readings


class _Reader:
    def __init__(self, document: Document, table: Table) -> None:
        self._said, self._table = document.value, table
        self.keys, self.values = dict(document.keys), dict(document.values)
        self.moved: dict[str, Any] = {}
        self.readings: list[Reading] = []

    def mapping(self, path: KeyPath, value: Mapping[str, Any]) -> dict[str, Any]:
        read = {key: self._value((*path, key), inner) for key, inner in value.items()}
        return {key: inner for key, inner in read.items() if inner is not _DROPPED}

    def _value(self, path: KeyPath, value: Any) -> Any:
        """What a sandbox says in its place, which may be nothing."""
        name = _name(path)
        if isinstance(value, dict) and name in MAPPINGS:
            kept: Any = self.mapping(path, value)
        elif isinstance(value, list) and f"{name}[]" in self._table:
            items = [self._value((*path, index), item) for index, item in enumerate(value)]
            kept = [item for item in items if item is not _DROPPED]
        else:
            return self._single(path, self._table.get(name, ()), value)
        return kept if kept or isinstance(path[-1], int) or path in OWN else _DROPPED

    def _single(self, path: KeyPath, rows: Sequence[Spelling], value: Any) -> Any:
        spelling, groups = KEPT if path[:1] in OWN or len(path) == 1 else UNKNOWN, {}
        for row in rows:
            if (found := _groups(row, value)) is not None:
                spelling, groups = row, found
                break
        if (to := spelling.to) and (to in self._said or to in self.moved):
            spelling = refused("", ANY, f"'{{key}}' says what `{to}` says too", "keep one of them")
        reading = Reading(path, value, spelling, groups)
        self.readings.append(reading)
        if spelling.handling in {Handling.KEEP, Handling.REFUSE}:
            return value
        if to:
            self.moved[to] = reading.said()
            self.keys[(to,)], self.values[(to,)] = self.keys[path], self.values[path]
        return reading.said() if spelling.handling is Handling.TRANSLATE and not to else _DROPPED


@lru_cache(NAMES_MAX)
def _name(path: KeyPath) -> str:
    """As the table names it: `ports[].published`."""
    if str(path[0]).startswith("x-"):
        return "x-*"
    parts = ("[]" if isinstance(part, int) else "." + re.sub(r"[.[]", "?", part) for part in path)
    return "".join(parts).removeprefix(".")


def _groups(row: Spelling, value: Any) -> dict[str, str] | None:
    """The groups of the pattern, if this is a spelling of the value."""
    if isinstance(value, list | dict) and row.pattern != ANY:
        return None
    match = re.fullmatch(row.pattern, _text(value), re.DOTALL)
    return match and match.groupdict("")


def _text(value: Any) -> str:
    """A value as one text: of a list the items, of a mapping the keys."""
    match value:
        case None | bool():
            return json.dumps(value)
        case list() | dict():
            return ", ".join(map(_text, value))
    return str(value)


def _filled(said: Any, words: Mapping[str, str]) -> Any:
    if isinstance(said, dict):
        return {key: _filled(inner, words) for key, inner in said.items()}
    return said.format_map(words) if isinstance(said, str) else said
