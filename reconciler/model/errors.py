"""What can go wrong, in our own words: no other library's exception leaves the module that calls it."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in one file, for the person who wrote it. `line` and `column` count from 1; 0 is the whole file.

    `rule` is the policy's key that forbids it, such as `limits.mem_limit`; empty when no policy could allow it.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    rule: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ReconcilerError(Exception):
    """The root of all errors that reconciler raises on purpose; its text is a sentence for people."""


class DirectoryUnreadable(ReconcilerError):
    """The watched directory could not be read as a whole: what it declares is unknown, not empty."""


class PolicyInvalid(ReconcilerError):
    """The policy file cannot be used."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class PolicyUnknown(ReconcilerError):
    """Neither the policy file nor an earlier reading says what is allowed: nothing can be decided."""


class StateUnusable(ReconcilerError):
    """The state directory cannot be used: it is locked by another controller or cannot be written."""


class OwnershipUnclear(ReconcilerError):
    """Two controllers may be at work on the same sandboxes: nothing may be done until somebody has told them apart."""


class AddressUnusable(ReconcilerError):
    """Nothing that can be asked is known to be where the engine is said to be."""


class EngineUnavailable(ReconcilerError):
    """The engine gave no answer, or none that can be trusted: what runs is unknown, not nothing."""


class Refusal(StrEnum):
    """Why the engine refused a call; `OTHER` is everything that needs no decision of its own."""

    NOT_FOUND = "NotFound"
    IMAGE_MISSING = "ImageMissing"
    NAME_TAKEN = "NameTaken"
    PORT_TAKEN = "PortTaken"
    BUSY = "Busy"
    UNREADABLE = "Unreadable"
    UNAUTHORIZED = "Unauthorized"
    OTHER = "Other"


class EngineRefused(ReconcilerError):
    """The engine answered, and said no: `engine_said` is its own text, made printable, where it may be told."""

    def __init__(self, refusal: Refusal, message: str, engine_said: str = "") -> None:
        super().__init__(message)
        self.refusal, self.engine_said = refusal, engine_said
