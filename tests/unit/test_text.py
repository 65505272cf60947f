"""Strangers' text is fit for a terminal."""

import pytest

from reconciler.spec.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ümläut, 漢字, 🙂", "plain text, ümläut, 漢字, 🙂"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("  indented  ", "  indented  "),
        ("two\nlines\ttab", "two\\nlines\\ttab"),
        ("nul\0bell\x07", "nul\\x00bell\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("bidi\u202egnp.exe", "bidi\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("\u2028", "\\u2028"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """Letters stay, whatever could steer a terminal is escaped."""
    assert printable(text) == shown


def test_printable_is_bounded() -> None:
    """A line of any length becomes one of a bounded length."""
    assert len(printable("x" * 200_000)) == 500
