"""The way to the terminal: here every text is escaped, coloured and measured, and nowhere else is anything printed."""

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import click

from reconciler.spec.text import printable, printable_inside

TEXT_MAX = 2000
"""Characters of a text, before they are escaped; the rest of a longer one is cut off."""


class Styled(NamedTuple):
    """A text and how it looks."""

    text: str
    colour: str | None = None
    bold: bool = False
    dim: bool = False


Part = str | Styled
Line = Part | Sequence[Part]
Style = Callable[[str], Part]
"""What colours a text, after it was measured and cut; `str` leaves it plain."""


green = partial(Styled, colour="green")
"""For what is as it should be."""
yellow = partial(Styled, colour="yellow")
"""For what is under way, and for warnings."""
red = partial(Styled, colour="red")
"""For what is wrong."""
bold = partial(Styled, bold=True)
"""For titles and names."""
dim = partial(Styled, dim=True)
"""For what matters less than the text around it."""


def show(*lines: Line, err: bool = False, text_max: int = TEXT_MAX) -> None:
    """Prints lines on stdout, or on stderr; colours only where they are seen. `text_max` is of each text in a line."""
    for line in lines:
        click.echo(escaped(line, text_max), err=err)


def show_json(value: Any, indent: int | None = 2) -> None:
    """Prints a value for programs. Its texts are escaped too, as whoever reads them may print them."""
    click.echo(json.dumps(printable_inside(value), indent=indent))


def escaped(line: Line, text_max: int = TEXT_MAX) -> str:
    """The line with its colours, and nothing else that a terminal obeys."""
    parts = (line,) if isinstance(line, str | Styled) else line
    return "".join(_coloured(part, text_max) for part in parts)


def _coloured(part: Part, text_max: int) -> str:
    if isinstance(part, str):
        return printable(part, text_max)
    return click.style(printable(part.text, text_max), part.colour, bold=part.bold or None, dim=part.dim or None)


def cells(text: str) -> int:
    """How many columns of a terminal the text takes up, once it is escaped: two for a wide character."""
    return sum(map(_cells_of, printable(text, TEXT_MAX)))


def cut(text: str, width: int) -> str:
    """The text, escaped, its end replaced by `…` when it is wider."""
    if cells(text) <= width:
        return text
    kept, _ = _split(printable(text, TEXT_MAX), width - 1)
    return f"{kept}…"


def padded(text: str, width: int) -> str:
    """The text, filled up with blanks to the width."""
    return text + " " * (width - cells(text))


def wrapped(
    text: str,
    width: int,
    *,
    taken: int = 0,
    hanging: str = "",
    lines_max: int = sys.maxsize,
    whole_words: bool = False,
) -> list[str]:
    """The text, escaped, in lines that are broken between words.

    `taken` cells of the first line are in use already; the others begin with `hanging`. Words that are wider than a
    line are broken too, unless they must stay whole, so that they can be copied.
    """
    lines, begun = [" " * taken], False
    for spaced in re.findall(" *[^ ]+", printable(text, TEXT_MAX)):
        if begun and cells(lines[-1] + spaced) > width:
            lines.append(hanging)
            begun = False
        rest = spaced if begun else spaced.lstrip()
        while not whole_words and rest and cells(lines[-1] + rest) > width:
            piece, rest = _split(rest, width - cells(lines[-1]))
            lines[-1] += piece
            lines.append(hanging)
        lines[-1] += rest
        begun = True
    lines[0] = lines[0][taken:]
    if len(lines) > lines_max:
        lines[lines_max - 1 :] = [cut(f"{lines[lines_max - 1]} …", width)]
    return lines


def _split(text: str, width: int) -> tuple[str, str]:
    """As much as fits, at least one character, and the rest."""
    used = 0
    for index, character in enumerate(text):
        used += _cells_of(character)
        if used > width and index > 0:
            return text[:index], text[index:]
    return text, ""


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
