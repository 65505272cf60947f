"""Each message is one line, whatever it says: nobody's text can pass for another message."""

import json
import logging
import re
import sys

import pytest

from reconciler.cli.log_format import JournalFormatter, JsonFormatter, PlainFormatter

FORGED = "\n2026-01-31 12:00:00 ERROR   forged\n<0>forged\n{}\r\x1b[2J\x85\u2028\u202e\ud800"
ESCAPED = r"\n2026-01-31 12:00:00 ERROR   forged\n<0>forged\n{}\r\x1b[2J\x85\u2028\u202e\ud800"
FORMATTERS = [PlainFormatter(), JournalFormatter(), JsonFormatter()]


def record(level: int = logging.WARNING, *, failed: bool = False) -> logging.LogRecord:
    """As a logger makes it of `log.warning("it says %s", ...)`, or of `log.exception`."""
    why = None
    empty: dict[str, str] = {}
    if failed:
        try:
            empty[FORGED]
        except KeyError:
            why = sys.exc_info()
    return logging.LogRecord("reconciler.test", level, "file.py", 1, "it says %s", (FORGED,), why)


def test_plain_has_the_time_and_the_level() -> None:
    """In one line."""
    (line,) = PlainFormatter().format(record()).splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING (.*)", line)
    assert line.endswith(f"WARNING it says {ESCAPED}")


@pytest.mark.parametrize(
    ("level", "prefix"),
    [(logging.DEBUG, "<7>"), (logging.INFO, "<6>"), (logging.WARNING, "<4>"), (logging.ERROR, "<3>")],
)
def test_the_journal_gets_its_own_levels(level: int, prefix: str) -> None:
    """And no time, which it has itself."""
    assert JournalFormatter().format(record(level)) == f"{prefix}it says {ESCAPED}"


def test_json_is_one_object_a_line() -> None:
    """With a time that says its zone."""
    (line,) = JsonFormatter().format(record()).splitlines()
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told.pop("time"))
    assert told == {"level": "warning", "logger": "reconciler.test", "message": f"it says {ESCAPED}"}


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_tracebacks_cannot_forge_a_message_either(formatter: logging.Formatter) -> None:
    """Their lines are indented under the message, or inside of its object."""
    first, *others = formatter.format(record(logging.ERROR, failed=True)).splitlines()
    if isinstance(formatter, JsonFormatter):
        assert not others
        others = [f"    {line}" for line in json.loads(first)["exception"].split("\n")]
    assert any("KeyError" in line for line in others)
    assert all(re.match(r"(<3>)?    ", line) for line in others)
    assert all(line.isprintable() for line in others)


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_message_is_bounded(formatter: logging.Formatter) -> None:
    """However long the text is that somebody else wrote."""
    endless = logging.LogRecord("reconciler.test", logging.INFO, "file.py", 1, "x" * 1_000_000, (), None)
    assert len(formatter.format(endless)) < 5000
