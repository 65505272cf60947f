"""Sizes and durations, as Compose writes them: `512m`, `1m30s`."""

import math
import re
from decimal import Decimal

from reconciler.spec.mistake import Mistake, shown

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

SIZE_MAX = 2**63 - 1
"""An engine keeps sizes in 64 bits."""

_SIZE_UNITS = {"": 1, "b": 1, "k": KIB, "m": MIB, "g": GIB, "t": 1024 * GIB}
SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?) ?([bB]|[kmgtKMGT](?:[iI]?[bB])?|)")

_MICROSECONDS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
DURATION = re.compile("(?=.)" + "".join(rf"(?:([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?){unit})?" for unit in _MICROSECONDS))


def parse_size(value: object) -> int:
    """Bytes, from `512m`, `1.5g`, `512MiB`, or a whole number of bytes. All units are powers of 1024, as in Compose."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = int(value)
    elif isinstance(value, str) and (match := SIZE.fullmatch(value)):
        number, unit = match.groups()
        size = int(Decimal(number) * _SIZE_UNITS[unit[:1].lower()])
    else:
        raise Mistake(f"{shown(value)} is not a size", "write such as 512m or 1.5g")
    if not 0 <= size <= SIZE_MAX:
        raise Mistake(f"{shown(value)} is out of range", "write such as 512m or 1.5g")
    return size


def size_text(size: int) -> str:
    """The shortest exact form that `parse_size` reads: `512m`."""
    for unit in ("t", "g", "m", "k"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return f"{size}b" if size else "0"


def parse_duration(value: object) -> float:
    """Seconds, from `1m30s`, `500ms`, `1h`, or a number of seconds; at least 0."""
    if isinstance(value, str) and (match := DURATION.fullmatch(value)):
        parts = zip(match.groups(default="0"), _MICROSECONDS.values(), strict=True)
        return float(sum(Decimal(number) * each for number, each in parts) / _MICROSECONDS["s"])
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    raise Mistake(f"{shown(value)} is not a duration", "write such as 10s or 1m30s")


def duration_text(seconds: float) -> str:
    """The form that `parse_duration` reads, to the microsecond: `1m30s`."""
    rest = round(seconds * _MICROSECONDS["s"])
    text = ""
    for unit, each in _MICROSECONDS.items():
        count, rest = divmod(rest, each)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def age_text(seconds: float) -> str:
    """As `kubectl` tells an age, in at most two units: `42s`, `5m`, `3h12m`, `2d4h`; never less than `0s`."""
    seconds = max(0, int(seconds))
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if days:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if hours:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{minutes}m" if minutes else f"{seconds}s"
