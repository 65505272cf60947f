"""The line of a file that a problem is about, with a mark under its place."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from reconciler.cli.format.terminal import cells
from reconciler.model.errors import DirectoryUnreadable
from reconciler.sources.compose_keys import KEYS
from reconciler.sources.root import Root
from reconciler.spec.mistake import Mistake
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from reconciler.spec.text import printable

ROOM_MIN = 20
"""Fewer columns show nothing."""
TAB = "    "

_SECRET = "environment"  # noqa: S105 - the key whose values are secrets
_LIKE_SECRET = "enviro"  # noqa: S105 - found also where it is misspelt further on
_INNOCENT = {*Sandbox.model_fields, *Policy.model_fields, *(re.split(r"[.\[]", key)[0] for key in KEYS)} - {_SECRET}
_KEY = re.compile(r"""(["']?)(\w+)\1\s*:(?=\s|$)""")
_ANCHOR = re.compile(r"(?:^|[\s\[{,])&[^\s&]")
_COMMENT = re.compile(r"(^|\s)#.*", re.MULTILINE)
_WORD = re.compile(r""""[^"]*"|'[^']*'|[^\s,{}\[\]]+?(?=[\s,{}\[\]]|:\s|:?$)|.?""")
"""What begins at the place of a problem: a quoted text, a key without its colon, a plain value up to a space."""


class Excerpt(NamedTuple):
    """A line in three parts, fit for a terminal; the mark is so many columns wide as `marked`, from where it begins."""

    before: str
    marked: str
    after: str

    @property
    def mark(self) -> str:
        """Carets, to stand under what is marked."""
        return " " * cells(self.before) + "^" * max(cells(self.marked), 1)


def source_lines(file: str) -> list[str]:
    """The lines of a file that was read before; empty when it cannot be read now."""
    path = Path(file)
    try:
        with Root(path.parent) as root:
            contents = root.read(path.name)
    except (DirectoryUnreadable, Mistake):
        return []
    return [] if contents is None else contents.decode("utf-8-sig", "replace").replace("\r\n", "\n").split("\n")


def excerpt(lines: Sequence[str], line: int, column: int, room: int) -> Excerpt | None:
    """What stands around a place, in at most `room` columns; `line` and `column` count from 1.

    Of a line that may hold a value of `environment`, no more than the key that begins it. None when that is not the
    place, or there is no such line.
    """
    if not 1 <= line <= len(lines):
        return None
    text, at, room = lines[line - 1].rstrip(), column - 1, max(room, ROOM_MIN)
    if may_hold_secret(lines, line):
        key = _KEY.match(text) if column == 1 else None
        return Excerpt("", _fitting(key[1] + key[2] + key[1], room - 3), ": …") if key else None
    word = _WORD.match(text, at)
    end = word.end() if word else at
    marked = _fitting(text[at:end], room // 2)
    around = room - cells(marked)
    after = _fitting(text[end:], around)
    before = _fitting(text[:at], around - min(cells(after), around // 3), from_end=True)
    return Excerpt(before, marked, _fitting(text[end:], around - cells(before)))


def may_hold_secret(lines: Sequence[str], line: int) -> bool:
    """Whether a line may hold a value of `environment`. The file need not parse, so all doubts are a yes.

    A line is innocent that stands below a key which begins a line, which is or nearly is a key other than
    `environment`, and from which on nothing looks like that word or an anchor; unless an `environment` further up is
    not closed.
    """
    for index in range(line - 1, -1, -1):
        text = lines[index]
        if _LIKE_SECRET in text.casefold() or _ANCHOR.search(text):
            return True
        if key := _KEY.match(text):
            return not _is_innocent(key[2]) or not _closed("\n".join(lines[:index]))
        if text and text[0] not in " \t#-":
            return True
    return True


def _is_innocent(key: str) -> bool:
    return get_close_matches(key.casefold(), [*_INNOCENT, _SECRET], n=1)[:1] not in ([], [_SECRET])


def _closed(text: str) -> bool:
    """Whether no bracket or quotation mark is open at the end of a text, since it first spoke of `environment`."""
    _, _, rest = _COMMENT.sub("", text.casefold()).partition(_LIKE_SECRET)
    even = all(rest.count(mark) % 2 == 0 for mark in "\"'")
    return even and all(rest.count(opening) == rest.count(closing) for opening, closing in ("{}", "[]"))


def _fitting(text: str, room: int, *, from_end: bool = False) -> str:
    """The text made fit for a terminal, in at most `room` columns; `…` stands for what is cut off."""
    shown: list[str] = []
    for character in reversed(text) if from_end else text:
        shown.append(TAB if character == "\t" else printable(character))
        room -= cells(shown[-1])
        if room < 0:
            while room < 1:
                room += cells(shown.pop())
            shown.append("…")
            break
    return "".join(reversed(shown) if from_end else shown)
