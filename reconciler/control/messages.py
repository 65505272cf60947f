"""The messages that wake the controller: changed files, engine events, signals, and the progress of its own plans.

Changed files and engine events are only hints: a periodic resync finds what no message told.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from reconciler.model.plan import Outcome, SandboxPlan
from reconciler.model.world import Event


class Notice(Enum):
    """The messages that need no details."""

    FILES_CHANGED = auto()
    """The watched directory, the policy, an approval or a request may have changed."""
    ENGINE_CONNECTED = auto()
    """The engine's events are received from now on."""
    ENGINE_DISCONNECTED = auto()
    """The engine's events are not received any more."""
    RESYNC_ASKED = auto()
    """SIGHUP."""
    STOP_ASKED = auto()
    """SIGTERM or SIGINT."""


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something has happened at the engine."""

    event: Event


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long action is; `share` is 0 to 1, None while it is unknown."""

    planned: SandboxPlan
    text: str
    share: float | None


@dataclass(frozen=True, slots=True)
class SandboxPlanEnded:
    """The actions for one sandbox are done, or one of them has failed."""

    planned: SandboxPlan


@dataclass(frozen=True, slots=True)
class OutputEnded:
    """A container has stopped, and all its output is written."""

    sandbox: str
    container: str
    last_output: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DiskMeasured:
    """The bytes that each container of this instance has written, by full id."""

    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LogRateExceeded:
    """A container's output exceeded the policy's rate; `at` is the engine's time, in seconds since the epoch."""

    sandbox: str
    container: str
    at: float


Message = Notice | EngineEvent | Progress | Outcome | SandboxPlanEnded | OutputEnded | DiskMeasured | LogRateExceeded
Tell = Callable[[Message], None]
