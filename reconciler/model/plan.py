"""What to do: one lane per sandbox, each with a verdict, a cause and the engine calls in their order."""

from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.model.errors import Problem
from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.world import Observed


class Reason(StrEnum):
    """The closed list of causes: of a verdict, of a status, of a line in the journal."""

    # as declared
    RUNNING = "Running"
    HEALTHY = "Healthy"
    STOPPED = "Stopped"
    COMPLETED = "Completed"
    ACCEPTED = "Accepted"
    SYNCED = "Synced"
    NO_FAILURE = "NoFailure"
    # a change is due
    ABSENT = "Absent"
    CONFIGURATION_CHANGED = "ConfigurationChanged"
    PORTS_CHANGED = "PortsChanged"
    NOT_STARTED = "NotStarted"
    EXITED = "Exited"
    PAUSED = "Paused"
    DRIFTED = "Drifted"
    RENAMED = "Renamed"
    LEFTOVER = "Leftover"
    STOP_DECLARED = "StopDeclared"
    FILE_REMOVED = "FileRemoved"
    NETWORK_MISSING = "NetworkMissing"
    # waiting
    STARTING = "Starting"
    IN_FLIGHT = "InFlight"
    LIMIT_EXCEEDED = "LimitExceeded"
    REPLACEMENT_QUEUED = "ReplacementQueued"
    ENGINE_BUSY = "EngineBusy"
    UNMANAGED = "Unmanaged"
    # left exactly as it is
    INVALID_FILE = "InvalidFile"
    SUSPENDED = "Suspended"
    CHANGES_WAIT = "ChangesWait"
    DIRECTORY_UNREADABLE = "DirectoryUnreadable"
    DIRECTORY_REPLACED = "DirectoryReplaced"
    REMOVAL_BUDGET_EXCEEDED = "RemovalBudgetExceeded"
    OWNED_BY_ANOTHER = "OwnedByAnother"
    # refused
    POLICY_VIOLATION = "PolicyViolation"
    SECCOMP_MISSING = "SeccompMissing"
    NETWORK_UNFIT = "NetworkUnfit"
    # failed
    UNHEALTHY = "Unhealthy"
    EXIT_CODE = "ExitCode"
    OOM_KILLED = "OOMKilled"
    DISK_EXCEEDED = "DiskExceeded"
    LOG_RATE_EXCEEDED = "LogRateExceeded"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CREATE_FAILED = "CreateFailed"
    START_FAILED = "StartFailed"
    STOP_FAILED = "StopFailed"
    REMOVE_FAILED = "RemoveFailed"
    RENAME_FAILED = "RenameFailed"
    NAME_TAKEN = "NameTaken"
    PORT_TAKEN = "PortTaken"
    VERIFICATION_FAILED = "VerificationFailed"
    MOUNT_MISMATCH = "MountMismatch"
    ENGINE_UNAVAILABLE = "EngineUnavailable"
    INTERNAL_ERROR = "InternalError"


class Verdict(StrEnum):
    KEEP = "KEEP"
    CREATE = "CREATE"
    START = "START"
    STOP = "STOP"
    REPLACE = "REPLACE"
    REMOVE = "REMOVE"
    RENAME = "RENAME"
    HOLD = "HOLD"
    WAIT = "WAIT"


NEW = "new"
"""Stands for the container that the lane itself creates, whose id is not known yet."""


def _short(container: str) -> str:
    return container[:12]


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    name: str

    def __str__(self) -> str:
        return f"create network {self.name}"


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Of two with the same name, one too many."""

    network: str

    def __str__(self) -> str:
        return f"remove network {self.network[:12]}"


@dataclass(frozen=True, slots=True)
class Pull:
    reference: str

    def __str__(self) -> str:
        return f"pull {self.reference}"


@dataclass(frozen=True, slots=True)
class Create:
    rendered: Rendered

    def __str__(self) -> str:
        return f"create {self.rendered.name}"


@dataclass(frozen=True, slots=True)
class Verify:
    """Inspect the container and compare it with what was rendered: the lane goes on only if all is equal."""

    rendered: Rendered
    container: str = NEW

    def __str__(self) -> str:
        return f"verify {_short(self.container)}"


@dataclass(frozen=True, slots=True)
class Start:
    container: str = NEW

    def __str__(self) -> str:
        return f"start {_short(self.container)}"


@dataclass(frozen=True, slots=True)
class Stop:
    container: str
    grace_seconds: int

    def __str__(self) -> str:
        return f"stop {_short(self.container)}"


@dataclass(frozen=True, slots=True)
class Unpause:
    container: str

    def __str__(self) -> str:
        return f"unpause {_short(self.container)}"


@dataclass(frozen=True, slots=True)
class Rename:
    container: str
    name: str

    def __str__(self) -> str:
        return f"rename {_short(self.container)} to {self.name}"


@dataclass(frozen=True, slots=True)
class Remove:
    container: str

    def __str__(self) -> str:
        return f"remove {_short(self.container)}"


Action = CreateNetwork | RemoveNetwork | Pull | Create | Verify | Start | Stop | Unpause | Rename | Remove
"""Exactly one engine call each."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Everything that a pass does for one sandbox, in order; the first failure ends it.

    `message` says the cause as a sentence. `rendered` is what should run, where something should. `current` is the
    container that stands for the sandbox now. `changes` are the knobs in which it differs from `rendered`.
    `problems` are all that is wrong with its file. `synced` says whether what runs is what is declared. `retry_at` is
    when a WAIT ends by itself, `ready_at` when what runs counts as ready, as it has failed before; both in seconds
    since the epoch, 0 for neither.
    """

    sandbox: str
    verdict: Verdict
    cause: Reason
    message: str = ""
    actions: tuple[Action, ...] = ()
    rendered: Rendered | None = None
    current: Observed | None = None
    changes: tuple[Mismatch, ...] = ()
    problems: tuple[Problem, ...] = ()
    synced: bool = False
    retry_at: float = 0
    ready_at: float = 0

    @property
    def is_update(self) -> bool:
        """Whether it replaces what runs because a file or the policy has changed."""
        changed = self.cause in {Reason.CONFIGURATION_CHANGED, Reason.PORTS_CHANGED}
        return self.verdict is Verdict.REPLACE and changed and any(isinstance(action, Stop) for action in self.actions)

    def __str__(self) -> str:
        head = f"{self.sandbox} {self.verdict} {self.cause}"
        return head + (": " + ", ".join(map(str, self.actions)) if self.actions else "")


@dataclass(frozen=True, slots=True)
class Removals:
    """Removals that wait for `reconciler approve`: the ids of the containers, by sandbox."""

    containers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reason: Reason | None = None

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(container for ids in self.containers.values() for container in ids)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass does: `setup` first, then the lanes, which are sorted by name and independent of each other."""

    setup: tuple[Action, ...] = ()
    lanes: tuple[Lane, ...] = ()
    withheld: Removals = Removals()

    def __str__(self) -> str:
        return "\n".join([*(f"- {action}" for action in self.setup), *map(str, self.lanes)])

    @property
    def changes_nothing(self) -> bool:
        return not self.setup and not any(lane.actions for lane in self.lanes)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one action ended. `failure` is None on success; `message` then says nothing.

    `engine_said` is how the engine itself has put a refusal.

    `container` is the id that the action concerned; `mismatches` are what a Verify found.
    `duration_seconds` is the time the engine took.
    """

    lane: Lane
    action: Action
    container: str = ""
    failure: Reason | None = None
    message: str = ""
    engine_said: str = ""
    mismatches: tuple[Mismatch, ...] = ()
    duration_seconds: float = 0.0
