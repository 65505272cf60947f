"""Reads YAML strictly: from bytes to a value, with the line and column of everything in it."""

import codecs
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from yaml.error import Mark, MarkedYAMLError
from yaml.events import (
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from reconciler.model.errors import Problem, ReconcilerError
from reconciler.sources.strict_yaml import DEPTH_MAX, Events, start
from reconciler.spec.mistake import shown

SIZE_BYTES_MAX = 32 * 1024
"""Ten times what a sandbox needs, and small enough to be read in a tenth of a second, whatever its shape."""
PROBLEMS_MAX = 20
"""How many problems of a file are reported."""
NUMBER_LENGTH_MAX = 40

KeyPath = tuple[str | int, ...]
"""Keys and indices from the top of a document: `("ports", 0, "target")`."""

_UNFIT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Control characters, line breaks that editors do not count, bidirectional controls, surrogates, non-characters."""

_CONFLICT = re.compile(r"^(?:<{7}|\|{7}|={7}|>{7})(?: |$)", re.MULTILINE)
"""A conflict marker of git; no line of a mapping looks like one."""

_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"(?=.*[.eE])[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class FileBroken(ReconcilerError):
    """A file that cannot be used; `problems` has at most `PROBLEMS_MAX`, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = sorted(problems)
        rest = len(found) - PROBLEMS_MAX
        more = [Problem(found[0].file, 0, 0, f"and {rest} more problems")] if rest > 0 else []
        self.problems = (*found[:PROBLEMS_MAX], *more)
        super().__init__("\n".join(map(str, self.problems)))


class WrittenInteger(int):
    """An integer that remembers how it was written: `+5`."""

    written: str

    def __str__(self) -> str:
        return self.written


class WrittenFloat(float):
    """A number that remembers how it was written: `1.10`."""

    written: str

    def __str__(self) -> str:
        return self.written


def full_name(path: KeyPath) -> str:
    """`ports[1].published`; interned, as thousands of files have the same names."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return sys.intern("".join(parts).removeprefix("."))


class Place(NamedTuple):
    """Where something begins; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """The contents of a file: mappings, lists, strings, numbers, booleans and nulls, and the place of each."""

    file: str
    value: Any
    keys: Mapping[KeyPath, Place]
    values: Mapping[KeyPath, Place]

    @property
    def lines(self) -> Mapping[str, int]:
        """The line of each key, by its full name: `{"limits": 2, "limits.mem_limit": 3}`."""
        return {full_name(path): place.line for path, place in self.keys.items()}

    @property
    def places(self) -> Mapping[str, tuple[int, int]]:
        """The line and column of each value, by its full name: `{"ports": (2, 8), "ports[1].target": (4, 14)}`.

        Plain tuples, which the garbage collector need not traverse for thousands of files.
        """
        return {full_name(path): (place.line, place.column) for path, place in self.values.items() if path}

    def place(self, path: KeyPath) -> Place:
        """The place of a value, or of the nearest one around it that is in the file."""
        while path not in self.values:
            path = path[:-1]
        return self.values[path]

    def place_of_key(self, path: KeyPath) -> Place:
        """Of a key, or as `place` where there is none."""
        return self.keys.get(path) or self.place(path)


def read_document(data: bytes, file: str) -> Document:
    """Reads the one document in the bytes; whatever they are, raises only `FileBroken`.

    Accepted is UTF-8 of at most 32 KiB without anchors, aliases, tags, directives, merge keys, duplicate keys and
    deceptive characters. Scalars are those of YAML 1.2's core schema without its octal and hexadecimal forms: `no`,
    `22:22`, `010` and dates are strings. Keys are always strings.
    """
    if len(data) > SIZE_BYTES_MAX:
        raise FileBroken([Problem(file, 0, 0, "the file is too large", f"at most {SIZE_BYTES_MAX // 1024} KiB")])
    events = Events(_decoded(data, file))
    builder = _Builder(events, file)
    try:
        value = builder.document()
    except MarkedYAMLError as error:
        raise FileBroken([*builder.problems, _of_yaml(error, file)]) from None
    except Exception as error:  # PyYAML lets several escape, such as chr() of an escape beyond Unicode
        what, hint = "not YAML: something before here cannot be read", "look for a bad escape"
        raise FileBroken([Problem(file, events.line + 1, events.column + 1, what, hint)]) from error
    if value is None:
        builder.problems.append(Problem(file, 0, 0, "the file declares nothing", "`{}` is all defaults"))
    if builder.problems:
        raise FileBroken(builder.problems)
    return Document(file, value, builder.keys, builder.values)


def _decoded(data: bytes, file: str) -> str:
    """The text, with every line ending in `\\n`."""
    data = data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        place = _place_in(data[: error.start].decode(), error.start)
        raise FileBroken([Problem(file, *place, "the file is not UTF-8", "save it as UTF-8")]) from None
    if match := _UNFIT.search(text):
        raise FileBroken([_unfit(match, file, _place_in(text, match.start()))])
    if match := _CONFLICT.search(text):
        what, hint = "a merge conflict is not resolved", "keep one version, and delete git's markers"
        raise FileBroken([Problem(file, *_place_in(text, match.start()), what, hint)])
    return text


def _place_in(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _unfit(match: re.Match[str], file: str, place: Place) -> Problem:
    return Problem(file, *place, f"the character U+{ord(match[0]):04X} is not allowed", "remove it")


def _of_yaml(error: MarkedYAMLError, file: str) -> Problem:
    mark = cast("Mark", error.problem_mark)
    message = str(error.problem) if error.note else f"not YAML: {error.problem} {error.context or ''}".strip()
    hint = error.note or ("indent with spaces" if "'\\t'" in message else "")
    return Problem(file, mark.line + 1, mark.column + 1, message, hint)


class _Builder:
    """Builds the value from the events. Mistakes that do not end the parsing are collected."""

    def __init__(self, events: Events, file: str) -> None:
        self._events, self._file = events, file
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}
        self.problems: list[Problem] = []

    def document(self) -> Any:
        """The value of the only document; None when there is none."""
        self._events.take()  # the start of the stream
        if isinstance(self._events.take(), StreamEndEvent):
            return None
        value = self._value(self._events.take(), ())
        self._events.take()  # the end of the document
        if isinstance(after := self._events.take(), DocumentStartEvent):
            self._events.refuse("a second document begins", "one file is one document", start(after))
        return value

    def _value(self, event: Event, path: KeyPath) -> Any:
        self.values[path] = _place(event)
        if len(path) > DEPTH_MAX:
            self._events.refuse(f"more than {DEPTH_MAX} levels", "nest less deeply", start(event))
        match event:
            case MappingStartEvent():
                return self._mapping(path)
            case SequenceStartEvent():
                return self._sequence(path)
            case ScalarEvent(value=text, style=None):
                return self._resolved(event, text)
            case ScalarEvent(value=text):
                return self._checked(event, text)
        raise AssertionError(event)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := self._events.take(), CollectionEndEvent):
            key = self._key(event)
            inner = (*path, key)
            if key in mapping:
                first = self.keys[inner].line
                self._note(event, f"the key {shown(key)} is given twice", f"it also stands in line {first}")
            else:
                self.keys[inner] = _place(event)
            mapping[key] = self._value(self._events.take(), inner)
        return mapping

    def _key(self, event: Event) -> str:
        if not isinstance(event, ScalarEvent) or not event.value:
            self._events.refuse("a key must be text", "write such as `key: value`", start(event))
        if event.value == "<<":
            self._note(event, "merge keys are not allowed", "write the keys again")
        return self._checked(event, event.value)

    def _sequence(self, path: KeyPath) -> list[Any]:
        sequence: list[Any] = []
        while not isinstance(event := self._events.take(), CollectionEndEvent):
            sequence.append(self._value(event, (*path, len(sequence))))
        return sequence

    def _resolved(self, event: Event, text: str) -> Any:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        number: WrittenInteger | WrittenFloat
        if len(text) > NUMBER_LENGTH_MAX:
            return self._checked(event, text)
        if _INTEGER.fullmatch(text):
            number = WrittenInteger(text)
        elif _FLOAT.fullmatch(text):
            number = WrittenFloat(text)
        else:
            return self._checked(event, text)
        number.written = text
        return number

    def _checked(self, event: Event, text: str) -> str:
        """Escape sequences can contain characters that the file itself must not."""
        if match := _UNFIT.search(text):
            self.problems.append(_unfit(match, self._file, _place(event)))
        return text

    def _note(self, event: Event, message: str, hint: str) -> None:
        self.problems.append(Problem(self._file, *_place(event), message, hint))


def _place(event: Event) -> Place:
    mark = start(event)
    return Place(mark.line + 1, mark.column + 1)
