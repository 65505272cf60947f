"""Whatever a command prints goes one way, on which nothing is left that steers a terminal but our own colours."""

import json

import pytest

from reconciler.cli.format.terminal import Line, bold, green, show, show_json

EVIL = "\x1b[2J\x9b31m\u202e\r\nforged"
ESCAPED = "\\x1b[2J\\x9b31m\\u202e\\r\\nforged"


@pytest.mark.parametrize("line", [EVIL, green(EVIL), (bold(EVIL), EVIL), ["", EVIL]])
def test_a_line_is_escaped_whatever_it_is_made_of(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    """Also the parts of it that have a colour, and on both streams; a line stays one line."""
    show(line, line)
    show(line, err=True)
    out, err = capsys.readouterr()
    assert set(out.splitlines() + err.splitlines()) <= {ESCAPED, 2 * ESCAPED}
    assert (len(out.splitlines()), len(err.splitlines())) == (2, 1)


def test_a_long_text_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Each part of a line by itself."""
    show(("x" * 200_000, "end"))
    show("y" * 10, text_max=5)
    assert capsys.readouterr().out.splitlines() == ["x" * 1999 + "…end", "yyyy…"]


def test_texts_in_json_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys too, however deep: a program that reads them may print them. Numbers and the like stay what they are."""
    show_json({EVIL: [EVIL, 1.5, None, True, ({"inner": EVIL},)]})
    assert json.loads(capsys.readouterr().out) == {ESCAPED: [ESCAPED, 1.5, None, True, [{"inner": ESCAPED}]]}
