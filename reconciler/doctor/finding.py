"""What a check says."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the list. `why` it matters and the commands that are its `remedy` are there unless it is ok.

    A remedy that is no command, but something to do, is a comment of the shell: `# ...`.
    """

    check: str
    level: Level
    text: str
    why: str = ""
    remedy: tuple[str, ...] = ()


def ok(check: str, text: str) -> Finding:
    """Nothing is to be done."""
    return Finding(check, Level.OK, text)


def warning(check: str, text: str, why: str, *remedy: str) -> Finding:
    """It works, with a risk that `why` names."""
    return Finding(check, Level.WARNING, text, why, remedy)


def error(check: str, text: str, why: str, *remedy: str) -> Finding:
    """Something fails, or will, as `why` says."""
    return Finding(check, Level.ERROR, text, why, remedy)


def unchecked(check: str, why: str, *remedy: str) -> Finding:
    """A warning: nobody knows whether it is ok."""
    return Finding(check, Level.WARNING, f"could not be checked: {why}", "", remedy)
