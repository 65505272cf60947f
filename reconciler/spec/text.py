"""Text from anywhere, made safe for a file and a terminal."""

import unicodedata
from typing import Any

TEXT_MAX = 500
LINE_MAX = 80
"""A message for people fits a line of a terminal, but for names that are longer."""

PATH_MAX = 4096
VALUE_MAX = 16 * 1024
UNFIT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of control and format characters (bidirectional marks too), surrogates and the unassigned."""


def printable(text: object, length_max: int = TEXT_MAX) -> str:
    """The text on one line, its control characters escaped, cut to `length_max` characters."""
    text = str(text)
    cut = text if len(text) <= length_max else text[: length_max - 1] + "…"
    if cut.isprintable():  # which most texts are, and Python tells at once
        return cut
    return "".join(_escaped(character) if unicodedata.category(character) in UNFIT else character for character in cut)


def printable_inside(value: Any) -> Any:
    """What JSON can hold, with every text in it made printable, keys too; one is cut to `VALUE_MAX` characters."""
    match value:
        case dict():
            return {printable_inside(key): printable_inside(inner) for key, inner in value.items()}
        case list() | tuple():
            return list(map(printable_inside, value))
        case str():
            return printable(value, VALUE_MAX)
    return value


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
