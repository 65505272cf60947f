"""Text in the cells of a terminal, where a wide character takes two and a combining one none; and its colours."""

import sys
import unicodedata
from collections.abc import Callable

import click

Style = Callable[[str], str]
"""What colours a text, after it was measured and cut."""


def good(text: str) -> str:
    """In green."""
    return click.style(text, fg="green")


def busy(text: str) -> str:
    """In yellow."""
    return click.style(text, fg="yellow")


def wrong(text: str) -> str:
    """In red."""
    return click.style(text, fg="red")


def dim(text: str) -> str:
    """In grey: beside the point."""
    return click.style(text, dim=True)


def cells(text: str) -> int:
    """How many columns of a terminal the text takes up."""
    return sum(map(_cells_of, text))


def cut(text: str, width: int) -> str:
    """The text, its end replaced by `…` when it is wider."""
    if cells(text) <= width:
        return text
    kept, _ = _split(text, width - 1)
    return f"{kept}…"


def padding(text: str, width: int) -> str:
    """The blanks that are missing to the width."""
    return " " * (width - cells(text))


def wrapped(text: str, width: int, lines_max: int = sys.maxsize) -> list[str]:
    """The text in lines that are broken between words, and within those that are wider than a line."""
    lines = [""]
    for word in text.split():
        rest = word
        if lines[-1] and cells(lines[-1]) + 1 + cells(rest) > width:
            lines.append("")
        elif lines[-1]:
            lines[-1] += " "
        while cells(lines[-1]) + cells(rest) > width:
            piece, rest = _split(rest, width)
            lines[-1:] = [piece, ""]
        lines[-1] += rest
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
