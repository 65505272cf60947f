"""Reads a Compose service by the table of its keys: what a sandbox says instead, and what becomes of each value."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from reconciler.model.errors import Problem
from reconciler.sources.compose_keys import ANY, KEPT, KEYS, Handling, Spelling, refused
from reconciler.sources.document import Document, KeyPath, full_name
from reconciler.spec.mistake import SHOWN_MAX
from reconciler.spec.sandbox import Sandbox
from reconciler.spec.text import printable

DROPPED = object()
"""Stands for a value that is left out."""

UNKNOWN = refused(ANY, "unknown key '{key}'", "leave it out")

OWN = {(key,) for key in Sandbox.model_fields}

_MAPPINGS, _LISTS = (
    {name[: mark.start()] for name in KEYS for mark in re.finditer(inner, name)} for inner in (r"\.", r"\[\]")
)
"""What has rows for its own keys, and what has rows for its items."""


class Reading(NamedTuple):
    """What becomes of one value."""

    path: KeyPath
    value: Any
    spelling: Spelling

    @property
    def handling(self) -> Handling:
        """What becomes of it, in one word."""
        return self.spelling.handling

    def problem(self, document: Document) -> Problem:
        """The mistake in what is refused, and a note on all else."""
        place = document.place if isinstance(self.path[-1], int) else document.place_of_key
        fit = {name: printable(text, SHOWN_MAX) for name, text in self._words().items()}
        message, hint = (text.format_map(fit) for text in (self.spelling.message, self.spelling.hint))
        return Problem(document.file, *place(self.path), document.told(self.path, message), hint)

    def said(self) -> Any:
        """What a sandbox says instead."""
        return self.value if self.spelling.said is None else _filled(self.spelling.said, self._words())

    def _words(self) -> dict[str, str]:
        text = text_of(self.value)
        match = self.spelling.pattern.fullmatch(text)
        groups = match.groupdict("") if match else {}
        return {**groups, "key": full_name(self.path), "value": text}


def text_of(value: Any) -> str:
    """A value as one text: of a list the items, of a mapping the keys."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list() | dict():
            return ", ".join(map(text_of, value))
    return str(value)


def read_service(document: Document) -> tuple[Document, list[Reading]]:
    """The document as a sandbox's, and what became of each value. What is refused stays in it, for the model to judge.

    Places are those of what was written, also under the key that says it here.
    """
    if not isinstance(document.value, dict):
        return document, []
    reader = _Reader(document)
    kept = reader.mapping((), document.value)
    return replace(document, value=kept | reader.moved, keys=reader.keys, values=reader.values), reader.readings


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self.keys, self.values = dict(document.keys), dict(document.values)
        self.moved: dict[str, Any] = {}
        self.readings: list[Reading] = []

    def mapping(self, path: KeyPath, value: Mapping[str, Any]) -> dict[str, Any]:
        read = {key: self._value((*path, key), inner) for key, inner in value.items()}
        return {key: inner for key, inner in read.items() if inner is not DROPPED}

    def _value(self, path: KeyPath, value: Any) -> Any:
        """What a sandbox says in its place; `DROPPED` also for what that leaves empty and is no sandbox's own."""
        name = _name(path)
        kept: Any = None
        if isinstance(value, dict) and name in _MAPPINGS:
            kept = self.mapping(path, value)
        elif isinstance(value, list) and name in _LISTS:
            items = [self._value((*path, index), item) for index, item in enumerate(value)]
            kept = [item for item in items if item is not DROPPED]
        if kept is None:
            return self._single(path, name, value)
        return kept if kept or isinstance(path[-1], int) or path in OWN else DROPPED

    def _single(self, path: KeyPath, name: str, value: Any) -> Any:
        reading = Reading(path, value, self._spelling(path, name, text_of(value)))
        self.readings.append(reading)
        to = reading.spelling.to
        match reading.handling:
            case Handling.TRANSLATE if to:
                self.moved[to] = reading.said()
                self.keys[(to,)], self.values[(to,)] = self.keys[path], self.values[path]
                return DROPPED
            case Handling.TRANSLATE:
                return reading.said()
            case Handling.DROP:
                return DROPPED
        return value

    def _spelling(self, path: KeyPath, name: str, text: str) -> Spelling:
        unnamed = KEPT if path[:1] in OWN or not path[1:] else UNKNOWN
        found = next((one for one in KEYS.get(name, ()) if one.pattern.fullmatch(text)), unnamed)
        if found.to and (found.to in self._document.value or found.to in self.moved):
            return refused(ANY, f"'{{key}}' says what `{found.to}` says too", "keep one of them")
        return found


def _name(path: KeyPath) -> str:
    """The key of the table: `ports[].published`."""
    if str(path[0]).startswith("x-"):
        return "x-*"
    return "".join("[]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _filled(said: Any, words: Mapping[str, str]) -> Any:
    match said:
        case str():
            return said.format_map(words)
        case dict():
            return {key: _filled(inner, words) for key, inner in said.items()}
    return said
