"""What a check finds."""

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
    """A finding that needs nothing to be done."""
    return Finding(check, Level.OK, text)


def warning(check: str, text: str, why: str, *remedy: str) -> Finding:
    """A finding of what works, with a risk that `why` names."""
    return Finding(check, Level.WARNING, text, why, remedy)


def error(check: str, text: str, why: str, *remedy: str) -> Finding:
    """A finding of what fails or will fail; `why` names the consequence."""
    return Finding(check, Level.ERROR, text, why, remedy)


def unchecked(check: str, why: str, *remedy: str) -> Finding:
    """A warning that something could not be checked."""
    return Finding(check, Level.WARNING, f"could not be checked: {why}", "", remedy)
