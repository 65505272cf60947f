"""The controller's own log, on stderr: one line for each message, whatever the message says."""

import json
import logging
import os
import sys
from datetime import UTC, datetime

from reconciler.spec.text import printable

FORMATS = ("plain", "json")
LEVELS = ("debug", "info", "warning", "error")

MESSAGE_MAX = 4000
LINE_MAX = 2000

SYSLOG = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""The journal's numbers of the levels: sd-daemon(3)."""


def log_to_stderr(format_: str, level: str) -> None:
    """From now on; libraries are heard from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(format_))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("reconciler").setLevel(level.upper())


def _formatter(format_: str) -> logging.Formatter:
    if format_ == "json":
        return JsonFormatter()
    return JournalFormatter() if _is_read_by_journald() else PlainFormatter()


def _is_read_by_journald() -> bool:
    """systemd leaves the device and the inode of what journald reads in the environment: systemd.exec(5)."""
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    stderr = os.fstat(sys.stderr.fileno())
    return stream == f"{stderr.st_dev}:{stderr.st_ino}"


class PlainFormatter(logging.Formatter):
    """For people: `2026-01-31 12:00:00 WARNING what happened`, with a traceback indented under it."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone()
        first = f"{at:%Y-%m-%d %H:%M:%S} {record.levelname:7} {_message(record)}"
        return "\n".join([first, *(f"    {line}" for line in _traceback(record))])


class JournalFormatter(logging.Formatter):
    """For journald, which has its own clock: `<4>what happened`; each line of a traceback is an entry of its own."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{SYSLOG[record.levelno]}>"
        return "\n".join([prefix + _message(record), *(f"{prefix}    {line}" for line in _traceback(record))])


class JsonFormatter(logging.Formatter):
    """For programs: one object a line; `exception` is there when there was one."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if traceback := _traceback(record):
            told["exception"] = "\n".join(traceback)
        return json.dumps(told)


def _message(record: logging.LogRecord) -> str:
    return printable(record.getMessage(), MESSAGE_MAX)


def _traceback(record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return [printable(line, LINE_MAX) for line in logging.Formatter().formatException(record.exc_info).splitlines()]
