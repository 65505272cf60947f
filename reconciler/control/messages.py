"""Everything that can wake the controller is one message on its queue: files, the engine, signals, and its own lanes.

Files and events are only hints. The controller looks for itself, and also when no hint comes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.model.plan import Outcome, SandboxPlan
from reconciler.model.world import Event


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """The watched directory, the policy or an approval may have changed."""


@dataclass(frozen=True, slots=True)
class EngineConnected:
    """The engine's events can be heard, from now on."""


@dataclass(frozen=True, slots=True)
class EngineDisconnected:
    """The engine's events cannot be heard."""


@dataclass(frozen=True, slots=True)
class EngineEvent:
    event: Event


@dataclass(frozen=True, slots=True)
class ResyncAsked:
    """SIGHUP."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """SIGTERM or SIGINT."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A lane tells how far a long action is; `share` is 0 to 1, None as long as nobody knows."""

    planned: SandboxPlan
    text: str
    share: float | None


@dataclass(frozen=True, slots=True)
class SandboxPlanEnded:
    planned: SandboxPlan


@dataclass(frozen=True, slots=True)
class OutputEnded:
    """A container has stopped, and all that it said is written down."""

    sandbox: str
    container: str
    last_output: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DiskMeasured:
    """The bytes that each container of this instance has written, by full id."""

    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LogRateExceeded:
    """A container had said more than the policy allows at a moment, by the engine's time in seconds since the epoch."""

    sandbox: str
    container: str
    at: float


Message = (
    FilesChanged
    | EngineConnected
    | EngineDisconnected
    | EngineEvent
    | ResyncAsked
    | StopAsked
    | Progress
    | Outcome
    | SandboxPlanEnded
    | OutputEnded
    | DiskMeasured
    | LogRateExceeded
)
Tell = Callable[[Message], None]
