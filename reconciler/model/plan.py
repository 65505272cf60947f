"""What to do: one plan per sandbox, with a verdict, a cause and the engine calls in their order."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from reconciler.model.errors import Problem
from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.world import Observed


class Reason(StrEnum):
    """The closed list of causes: of a verdict, of a status, of a line in the journal.

    `means` says what it means for the sandbox, and what people can do about it.
    """

    means: str

    def __new__(cls, value: str, means: str) -> Self:
        """From the text that it is, and what that means."""
        reason = str.__new__(cls, value)
        reason._value_, reason.means = value, means
        return reason

    # as declared
    RUNNING = "Running", "It runs."
    HEALTHY = "Healthy", "It runs, and its health check passes."
    STOPPED = "Stopped", "Its file says `state: stopped`."
    COMPLETED = "Completed", "It has exited with code 0, and is to run no more."
    ACCEPTED = "Accepted", "Its file is in order, and the policy allows it."
    SYNCED = "Synced", "What runs is what is declared."
    NO_FAILURE = "NoFailure", "Nothing has failed that was not made good since."
    # a change is due
    ABSENT = "Absent", "It has no container yet; one is created."
    CONFIGURATION_CHANGED = "ConfigurationChanged", "It is replaced. `reconciler plan` shows field by field why."
    PORTS_CHANGED = "PortsChanged", "It has to have other ports of the host, and is replaced."
    NOT_STARTED = "NotStarted", "Its container is there, and is started."
    EXITED = "Exited", "It has exited, and is started again. `reconciler logs NAME` says why."
    PAUSED = "Paused", "Somebody paused its container, which is unpaused. Find out who."
    DRIFTED = "Drifted", "Somebody changed its container, which is replaced or stopped. Find out who."
    KERNEL_MISMATCH = (
        "KernelMismatch",
        "The kernel has other limits or rights for it than the engine says. Find out who has set them.",
    )
    RENAMED = "Renamed", "Somebody renamed its container, which gets its name back. Find out who."
    FOREIGN_PROCESS = "ForeignProcess", "Somebody runs a process with other rights in it, and it runs on. Find out who."
    LEFTOVER = "Leftover", "A container of it is left over, and is removed."
    STOP_DECLARED = "StopDeclared", "Its file says `state: stopped`, so it is stopped."
    FILE_REMOVED = "FileRemoved", "Its file is gone, so it is stopped and removed."
    RESTART_ASKED = "RestartAsked", "Somebody asked for it: `reconciler restart NAME`."
    RETRY_ASKED = "RetryAsked", "Somebody asked for it: `reconciler retry NAME`. What has failed is tried now."
    TAKEN_DOWN = "TakenDown", "Somebody took it down; `reconciler restart NAME` brings it back."
    NETWORK_MISSING = "NetworkMissing", "The instance's network is missing, and is created."
    # waiting
    STARTING = "Starting", "Its health check has not passed yet, or it failed before and ran for less than 10 s."
    IN_FLIGHT = "InFlight", "What was begun for it before is still under way."
    LIMIT_EXCEEDED = "LimitExceeded", "All slots are used. Stop or remove a sandbox, or raise `sandboxes_max`."
    REPLACEMENT_QUEUED = "ReplacementQueued", "Others go first: see the policy's `replacements.max_parallel`."
    ENGINE_BUSY = "EngineBusy", "The engine is busy with its container, and is asked again."
    UNMANAGED = "Unmanaged", "A container that is not ours is in its place. Remove that one, or its labels."
    # left exactly as it is
    INVALID_FILE = "InvalidFile", "What runs is left unchanged until the file is fixed. See `reconciler validate`."
    SUSPENDED = "Suspended", "Its file says `suspend`. Take the key out when you are done."
    CHANGES_WAIT = "ChangesWait", "git is in the middle of a merge or the like. Finish or abort that."
    DIRECTORY_UNREADABLE = "DirectoryUnreadable", "Nothing is removed or replaced until the directory can be read."
    DIRECTORY_REPLACED = (
        "DirectoryReplaced",
        "The directory is empty. Put the files back, or approve: `reconciler approve`.",
    )
    REMOVAL_BUDGET_EXCEEDED = "RemovalBudgetExceeded", "Its removal waits. Put its file back, or `reconciler approve`."
    OWNED_BY_ANOTHER = "OwnedByAnother", "It has another source. Rename the file, or `reconciler --adopt SOURCE apply`."
    # refused
    POLICY_VIOLATION = "PolicyViolation", "Change the file, or have the host's owner change the policy."
    ENGINE_UNFIT = "EngineUnfit", "Nothing is started on an engine without all of the floor. See `reconciler doctor`."
    NETWORK_UNFIT = "NetworkUnfit", "Nothing is started where neighbours meet. See `reconciler doctor`."
    # failed
    UNHEALTHY = "Unhealthy", "It is restarted with growing pauses, unless its file says `restart: no`."
    EXIT_CODE = "ExitCode", "It has exited with a failure. `reconciler logs NAME` says why."
    OOM_KILLED = "OOMKilled", "Raise `mem_limit`, or let it use less; what is in a tmpfs counts."
    DISK_EXCEEDED = "DiskExceeded", "It is stopped until its file, or the policy's `limits.disk`, changes."
    LOG_RATE_EXCEEDED = "LogRateExceeded", "It is restarted as if it had exited. See the policy's `limits.log_rate`."
    IMAGE_PULL_FAILED = "ImagePullFailed", "Check the image's name, and whether this host reaches the registry."
    IMAGE_PULL_UNAUTHORIZED = (
        "ImagePullUnauthorized",
        "There is no such image, or the registry wants other credentials: see `--registry-config`.",
    )
    PULL_CANCELLED = "PullCancelled", "While its image was pulled, its file has changed, or somebody took it down."
    CREATE_FAILED = "CreateFailed", "The engine refuses its container. `journal.jsonl` has the engine's own words."
    START_FAILED = "StartFailed", "The engine cannot start it. `journal.jsonl` has the engine's own words."
    STOP_FAILED = "StopFailed", "It is tried again. If it stays so, restart the engine."
    REMOVE_FAILED = "RemoveFailed", "It is tried again. If it stays so, restart the engine."
    RENAME_FAILED = "RenameFailed", "It is tried again. `journal.jsonl` has the engine's own words."
    NAME_TAKEN = "NameTaken", "Another container has the name that is needed. Rename or remove that one."
    PORT_TAKEN = "PortTaken", "Another program has the port. End that program, or publish another port."
    VERIFICATION_FAILED = "VerificationFailed", "Its container is not what was asked for, and is not started."
    MOUNT_MISMATCH = "MountMismatch", "Find out who can exchange what is above the volume's source."
    ENGINE_UNAVAILABLE = "EngineUnavailable", "The engine did not answer. Start it, or correct `--host`."
    INTERNAL_ERROR = "InternalError", "This is a fault of reconciler's own. Please report it, with the log."


class Verdict(StrEnum):
    """What is to be done with a sandbox."""

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
"""Stands for the container that the plan itself creates, whose id is not known yet."""


class _OfContainer:
    """Says `stop 0123456789ab`."""

    __slots__ = ()
    container: str

    def __str__(self) -> str:
        return f"{type(self).__name__.lower()} {self.container[:12]}"


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    """Makes the network of the instance."""

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
    """Fetches an image."""

    reference: str

    def __str__(self) -> str:
        return f"pull {self.reference}"


@dataclass(frozen=True, slots=True)
class Create:
    """Makes a container, and does not start it."""

    rendered: Rendered

    def __str__(self) -> str:
        return f"create {self.rendered.name}"


@dataclass(frozen=True, slots=True)
class Verify(_OfContainer):
    """Inspect the container and compare it with what was rendered: the plan goes on only if all is equal."""

    rendered: Rendered
    container: str = NEW


@dataclass(frozen=True, slots=True)
class Start(_OfContainer):
    """Starts a container that was verified."""

    container: str = NEW


@dataclass(frozen=True, slots=True)
class Stop(_OfContainer):
    """Asks a container to end, and kills it after `grace_seconds`."""

    container: str
    grace_seconds: int


@dataclass(frozen=True, slots=True)
class Unpause(_OfContainer):
    """Lets a paused container go on."""

    container: str


@dataclass(frozen=True, slots=True)
class Rename:
    """Gives a container the name that it should have."""

    container: str
    name: str

    def __str__(self) -> str:
        return f"rename {self.container[:12]} to {self.name}"


@dataclass(frozen=True, slots=True)
class Remove(_OfContainer):
    """Removes a container that does not run."""

    container: str


Action = CreateNetwork | RemoveNetwork | Pull | Create | Verify | Start | Stop | Unpause | Rename | Remove
"""Exactly one engine call each."""


@dataclass(frozen=True, slots=True)
class SandboxPlan:
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

    @property
    def pulls(self) -> str:
        """The image that it begins with pulling; empty when it pulls none."""
        return next((action.reference for action in self.actions if isinstance(action, Pull)), "")

    def __str__(self) -> str:
        head = f"{self.sandbox} {self.verdict} {self.cause}"
        return head + (": " + ", ".join(map(str, self.actions)) if self.actions else "")


@dataclass(frozen=True, slots=True)
class Removals:
    """Removals that wait for `reconciler approve`: the ids of the containers, by sandbox."""

    containers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass does: `setup` first, then the sandboxes, which are sorted by name and independent of each other.

    `unseen` says what could not be compared for it; mostly nothing. `outdated` are the sandboxes for which an image is
    being pulled that they want no more.
    """

    setup: tuple[Action, ...] = ()
    sandboxes: tuple[SandboxPlan, ...] = ()
    pending_approval: Removals = Removals()
    unseen: str = ""
    outdated: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return "\n".join([*(f"- {action}" for action in self.setup), *map(str, self.sandboxes)])

    @property
    def changes_nothing(self) -> bool:
        """Whether no action is planned."""
        return not self.setup and not any(planned.actions for planned in self.sandboxes)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one action ended. `failure` is None on success; `message` then says nothing.

    `engine_said` is how the engine itself has put a refusal.

    `container` is the id that the action concerned; `mismatches` are what a Verify found.
    `duration_seconds` is the time the engine took.
    """

    planned: SandboxPlan
    action: Action
    container: str = ""
    failure: Reason | None = None
    message: str = ""
    engine_said: str = ""
    mismatches: tuple[Mismatch, ...] = ()
    duration_seconds: float = 0.0
