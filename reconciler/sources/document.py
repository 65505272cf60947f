"""Reads YAML strictly: from bytes to a value, with the line and column of everything in it."""

import codecs
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

from yaml.error import Mark, MarkedYAMLError
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from reconciler.model.errors import Problem, ReconcilerError
from reconciler.sources.interpolation import VARIABLE, literal
from reconciler.sources.strict_yaml import DEPTH_MAX, EVENTS_MAX, Events, start
from reconciler.spec.mistake import Mistake, shown

SIZE_BYTES_MAX = 32 * 1024
"""Ten times what a sandbox needs, and small enough to be read in a tenth of a second, whatever its shape."""
PROBLEMS_MAX = 20
"""How many problems of a file are reported."""
NUMBER_LENGTH_MAX = 40
NAMES_MAX = 4096
"""How many names of values are remembered, as thousands of files have the same ones."""

Of = TypeVar("Of")
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


@lru_cache(NAMES_MAX)
def full_name(path: KeyPath) -> str:
    """`ports[1].published`; interned, for thousands of files."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return sys.intern("".join(parts).removeprefix("."))


class Place(NamedTuple):
    """Where something begins; line and column count from 1."""

    line: int
    column: int
    use: str = ""
    """Which line uses it, if that is behind an anchor: the place is then the anchor's."""

    def problem(self, file: str, message: str, hint: str = "") -> Problem:
        """What is wrong here, and where it is used."""
        return Problem(file, self.line, self.column, "; ".join(filter(None, (message, self.use))), hint)


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
        return {full_name(path): place.line for path, place in self.keys.items() if path}

    @property
    def places(self) -> Mapping[str, tuple[int, int, str]]:
        """The place of each value, by its full name: `{"ports": (2, 8, ""), "ports[1].target": (4, 14, "")}`.

        Plain tuples, which the garbage collector need not traverse for thousands of files.
        """
        return {full_name(path): (*place,) for path, place in self.values.items() if path}

    def place(self, path: KeyPath) -> Place:
        """The place of a value, or of the nearest one around it that is in the file."""
        while path not in self.values:
            path = path[:-1]
        return self.values[path]

    def place_of_key(self, path: KeyPath) -> Place:
        """Of a key, or as `place` where there is none."""
        return self.keys.get(path) or self.place(path)

    def below(self, path: KeyPath) -> "Document":
        """The document that begins at a path."""
        value = self.value
        for key in path:
            value = value[key]

        def cut(places: Mapping[KeyPath, Place]) -> Mapping[KeyPath, Place]:
            return {at[len(path) :]: place for at, place in places.items() if at[: len(path)] == path}

        return Document(self.file, value, cut(self.keys), cut(self.values))

    def exchanged(self, key: str, below: "Document") -> "Document":
        """The document with what has been made of what is `below` the key."""

        def put(places: Mapping[KeyPath, Place], others: Mapping[KeyPath, Place]) -> Mapping[KeyPath, Place]:
            return {**places, **{(key, *at): place for at, place in others.items()}}

        keys, values = put(self.keys, below.keys), put(self.values, below.values)
        return Document(self.file, {**self.value, key: below.value}, keys, values)


def read_document(data: bytes, file: str, text: Callable[[str], str] = literal, services: int = 1) -> Document:
    """Reads the one document in the bytes; whatever they are, raises only `FileBroken`.

    Accepted is UTF-8 of at most 32 KiB without tags, directives, duplicate keys and deceptive characters. Aliases and
    merge keys count as all that they repeat. Scalars are those of YAML 1.2's core schema without its octal and
    hexadecimal forms: `no`, `22:22`, `010` and dates are strings. Keys are always strings. `text` says what a string
    with a `$` in it means, or raises `Mistake`. A file of several `services` may be so many times as large.
    """
    if len(data) > services * SIZE_BYTES_MAX:
        hint = f"at most {services * SIZE_BYTES_MAX // 1024} KiB"
        raise FileBroken([Problem(file, 0, 0, "the file is too large", hint)])
    events = Events(_decoded(data, file), services * EVENTS_MAX)
    builder = _Builder(events, file, text)
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
        raise FileBroken([place.problem(file, "the file is not UTF-8", "save it as UTF-8")]) from None
    if match := _UNFIT.search(text):
        raise FileBroken([_unfit(match, file, _place_in(text, match.start()))])
    if match := _CONFLICT.search(text):
        what, hint = "a merge conflict is not resolved", "keep one version, and delete git's markers"
        raise FileBroken([_place_in(text, match.start()).problem(file, what, hint)])
    return text


def _place_in(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _unfit(match: re.Match[str], file: str, place: Place) -> Problem:
    return place.problem(file, f"the character U+{ord(match[0]):04X} is not allowed", "remove it")


def _of_yaml(error: MarkedYAMLError, file: str) -> Problem:
    mark = cast("Mark", error.problem_mark)
    message = str(error.problem) if error.note else f"not YAML: {error.problem} {error.context or ''}".strip()
    hint = error.note or ("indent with spaces" if "'\\t'" in message else "")
    hint = hint or ("quote a text that begins with '*' or '&'" if "scanning an a" in message else "")
    return Problem(file, mark.line + 1, mark.column + 1, message, hint)


class _Node(NamedTuple):
    """A value that does not know yet where it goes: an alias puts it in several places.

    `content` is a scalar, a list of nodes, or by key the place of the key and the node of its value.
    """

    mark: Mark
    content: Any
    use: str = ""


_Entries = dict[str, tuple[Mark, _Node]]


class _Builder:
    """Builds the value from the events. Mistakes that do not end the parsing are collected."""

    def __init__(self, events: Events, file: str, text: Callable[[str], str]) -> None:
        self._events, self._file, self._text = events, file, text
        self._anchors: dict[str, tuple[_Node, int]] = {}
        """By name, what an anchor stands for, and how many events it is."""
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}
        self.problems: list[Problem] = []

    def document(self) -> Any:
        """The value of the only document; None when there is none."""
        self._events.take()  # the start of the stream
        if isinstance(self._events.take(), StreamEndEvent):
            return None
        node = self._node(self._events.take(), 0)
        self._events.take()  # the end of the document
        if isinstance(after := self._events.take(), DocumentStartEvent):
            self._events.refuse("a second document begins", "one file is one document", start(after))
        return self._placed(node, ())

    def _placed(self, node: _Node, path: KeyPath, use: str = "") -> Any:
        """The value, when all in it has been noted under its path; `use` is of what is around it."""
        self._check_depth(len(path), node.mark)
        use = node.use or use
        self.values[path] = _place(node.mark, use)
        match node.content:
            case dict() as entries:
                self.keys.update({(*path, key): _place(mark, one.use or use) for key, (mark, one) in entries.items()})
                return {key: self._placed(one, (*path, key), use) for key, (_, one) in entries.items()}
            case list() as nodes:
                return [self._placed(one, (*path, index), use) for index, one in enumerate(nodes)]
        return node.content

    def _check_depth(self, depth: int, mark: Mark) -> None:
        if depth > DEPTH_MAX:
            self._events.refuse(f"more than {DEPTH_MAX} levels", "nest less deeply", mark)

    def _node(self, event: Any, depth: int) -> _Node:
        mark, name = event.start_mark, event.anchor
        self._check_depth(depth, mark)
        if isinstance(event, AliasEvent):
            return self._aliased(name, mark)
        self._anchors.pop(name, None)  # so that it cannot contain itself
        before = self._events.taken
        node = _Node(mark, self._content(event, depth))
        if name:
            self._anchors[name] = node, self._events.taken - before
        return node

    def _aliased(self, name: str, mark: Mark) -> _Node:
        if name not in self._anchors:
            hint = "write `&` and its name before a value further up, or quote a text that begins with '*'"
            self._events.refuse("no value with this anchor ends before its alias", hint, mark)
        node, events = self._anchors[name]
        self._events.count(events, mark)
        return node._replace(use=f"line {mark.line + 1} uses it as {shown(f'*{name}')}")

    def _content(self, event: Event, depth: int) -> Any:
        match event:
            case ScalarEvent(value=text, style=None):
                return self._resolved(event, text)
            case ScalarEvent(value=text):
                return self._meant(event, text)
            case MappingStartEvent():
                return self._mapping(depth)
            case SequenceStartEvent():
                return self._sequence(depth)
        raise AssertionError(event)

    def _mapping(self, depth: int) -> _Entries:
        entries: _Entries = {}
        while not isinstance(event := self._events.take(), CollectionEndEvent):
            key = self._key(event)
            if key in entries:
                first = entries[key][0].line + 1
                self._note(start(event), f"the key {shown(key)} is given twice", f"it also stands in line {first}")
            entries[key] = start(event), self._node(self._events.take(), depth + 1)
        return self._merged(entries.pop("<<")[1]) | entries if "<<" in entries else entries

    def _merged(self, merge: _Node) -> _Entries:
        """The entries of a mapping, or of a list of them, of which the earlier ones win."""
        merged: _Entries = {}
        for node in reversed(merge.content if isinstance(merge.content, list) else [merge]):
            if isinstance(node.content, dict):
                use = node.use or merge.use
                merged |= {
                    key: (mark, value._replace(use=value.use or use)) for key, (mark, value) in node.content.items()
                }
            else:
                place, hint = _place(node.mark, node.use or merge.use), "write such as `<<: *one` or `<<: [*one, *two]`"
                self.problems.append(place.problem(self._file, "only a mapping can be merged", hint))
        return merged

    def _key(self, event: Event) -> str:
        if not isinstance(event, ScalarEvent) or not event.value:
            self._events.refuse("a key must be text", "write such as `key: value`", start(event))
        return self._checked(event, event.value)

    def _sequence(self, depth: int) -> list[_Node]:
        sequence: list[_Node] = []
        while not isinstance(event := self._events.take(), CollectionEndEvent):
            sequence.append(self._node(event, depth + 1))
        return sequence

    def _resolved(self, event: Event, text: str) -> Any:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        number: WrittenInteger | WrittenFloat
        if len(text) > NUMBER_LENGTH_MAX:
            return self._meant(event, text)
        if _INTEGER.fullmatch(text):
            number = WrittenInteger(text)
        elif _FLOAT.fullmatch(text):
            number = WrittenFloat(text)
        else:
            return self._meant(event, text)
        number.written = text
        return number

    def _meant(self, event: Event, text: str) -> str:
        """The text of a value, which is no key."""
        if "$" in text:
            try:
                text = self._text(text)
            except Mistake as mistake:
                self._note(self._of_variable(event), mistake.message, mistake.hint)
        return self._checked(event, text)

    def _of_variable(self, event: Event) -> Mark:
        """The place of the first variable in a text."""
        mark, end = start(event), cast("Mark", event.end_mark)
        found = VARIABLE.search(self._events.buffer, mark.index, end.index)
        if found is None:  # it is written with an escape
            return mark
        place = _place_in(self._events.buffer, found.start(1))
        return Mark("", found.start(1), place.line - 1, place.column - 1, None, 0)

    def _checked(self, event: Event, text: str) -> str:
        """Escape sequences can contain characters that the file itself must not."""
        if match := _UNFIT.search(text):
            self.problems.append(_unfit(match, self._file, _place(start(event))))
        return text

    def _note(self, mark: Mark, message: str, hint: str) -> None:
        self.problems.append(_place(mark).problem(self._file, message, hint))


def _place(mark: Mark, use: str = "") -> Place:
    return Place(mark.line + 1, mark.column + 1, use)
