"""The status files. The fields are documented here, once."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reconciler.model.plan import Reason

FIELD = ConfigDict(frozen=True, extra="ignore", defer_build=True)

FORMER_NAMES = {
    "halted": "stopped_by_us",
    "doubtful": "unconfirmed_start",
    "last_words": "last_output",
    "noisy": "over_log_rate",
    "withheld": "pending_approval",
    "limit_held_by": "slots_used_by",
}
"""Of fields that an upgrade must not forget, by the name that they had before."""

HEARTBEAT_SECONDS = 10.0
"""How often a controller writes a heartbeat."""

SILENT_SECONDS = 30.0
"""Without a heartbeat for so long, it was killed or hangs."""


class Phase(StrEnum):
    """A sandbox's state in one word."""

    RUNNING = "Running"
    STOPPED = "Stopped"
    COMPLETED = "Completed"
    FAILED = "Failed"
    PULLING = "Pulling"
    STARTING = "Starting"
    UPDATING = "Updating"
    BACKOFF = "Backoff"
    WAITING = "Waiting"
    HELD = "Held"
    REFUSED = "Refused"
    STOPPING = "Stopping"


class ConditionType(StrEnum):
    """The questions that are answered of each sandbox."""

    ACCEPTED = "Accepted"
    SYNCED = "Synced"
    READY = "Ready"
    STALLED = "Stalled"


ASKED_FOR = frozenset({Reason.STOPPED, Reason.COMPLETED, Reason.SUSPENDED})
"""Reasons for not being ready that a file gives."""


class Condition(BaseModel):
    """One of the four questions that are asked of every sandbox, in the manner of Kubernetes."""

    model_config = FIELD
    type: ConditionType = Field(
        description="Accepted: the file and the policy allow it. Synced: what runs is what is declared. "
        "Ready: it serves. Stalled: it keeps failing, or ended in a failure and is not restarted."
    )
    status: bool
    reason: Reason
    message: str = Field("", description="A sentence for people.")
    since: float = Field(description="When `status` last changed, in seconds since the epoch.")


class Attestation(BaseModel):
    """The last comparison of the container with what was rendered for it."""

    model_config = FIELD
    at: float = Field(description="When, in seconds since the epoch.")
    ok: bool
    container_id: str
    policy: str = Field(description="Fingerprint of the policy that was in force.")
    mismatches: tuple[str, ...] = Field((), description="What differed from what was rendered.")
    notes: tuple[str, ...] = Field((), description="What the engine says of it that this version does not know.")
    kernel: str = Field("", description="`read`, with what confines it, or `unknown`, with why; empty: not asked.")


class Ask(StrEnum):
    """What people ask of one sandbox."""

    RESTART = "restart"
    RETRY = "retry"
    DOWN = "down"


class Request(BaseModel):
    """`requests/NAME.json`: what somebody asks of the sandbox; gone once it is answered."""

    model_config = FIELD
    what: Ask
    at: float = Field(description="When, in seconds since the epoch.")
    run: float = Field(0, description="The engine's own time at which the run began that a restart ends; 0: none had.")


class Failure(BaseModel):
    """What failed last, and has not succeeded since."""

    model_config = FIELD
    reason: Reason
    message: str
    at: float = Field(description="When, in seconds since the epoch.")


class _Renamed(BaseModel):
    """A file whose fields may still have the names of the version before."""

    model_config = FIELD

    @model_validator(mode="before")
    @classmethod
    def _by_former_names(cls, fields: object) -> object:
        if not isinstance(fields, dict) or not FORMER_NAMES.keys() & fields.keys():
            return fields
        return {FORMER_NAMES.get(name, name): value for name, value in fields.items()}


class SandboxStatus(_Renamed):
    """`status/NAME.json`: one sandbox. All times are in seconds since the epoch; 0 means never."""

    name: str = Field(description="Of the sandbox.")
    file: str = Field("", description="The file that declares it; empty once that is gone.")
    phase: Phase = Field(Phase.STARTING, description="Its state in one word.")
    reason: Reason = Field(Reason.ABSENT, description="Why, in one word.")
    message: str = Field("", description="What is going on, as a sentence.")
    progress: float | None = Field(None, description="How far a pull is, 0 to 1; null when none is under way.")
    conditions: tuple[Condition, ...] = Field((), description="Of each: type, status, reason, message, and since when.")
    image: str = Field("", description="The image as declared.")
    image_id: str = Field("", description="The id of the image that the container runs.")
    digest: str = Field("", description="That image's `repository@sha256:...`; empty for one that was never pulled.")
    container_id: str = Field("", description="Of the container that stands for it.")
    container_name: str = Field("", description="Of the same.")
    ports: dict[int, int] = Field({}, description="Container ports to host ports on 127.0.0.1; kept over replacements.")
    fingerprint: str = Field(
        "", description="Salted hash of the container's whole configuration; its name ends with the first 8 digits."
    )
    public_fingerprint: str = Field("", description="Hash of the same without salt, and without values of environment.")
    salted_with: str = Field("", description="Hash of the salt: fingerprints of another one cannot be compared.")
    epoch: int = Field(1, description="Of the fingerprint: what reconciler itself sets has changed so often.")
    configuration: dict[str, str] = Field(
        {}, description="What the container was made from, by field, in the words of the file; no value of environment."
    )
    restarts: int = Field(
        0, description="How often it was started again: after an exit of its own, as unhealthy, or for too much output."
    )
    exit_code: int | None = Field(None, description="Of the last exit; null before the first.")
    oom_killed: bool = Field(False, description="Whether it was killed at the last exit for using too much memory.")
    oom_kills: int = Field(0, description="How many of its processes the kernel has killed for memory in this run.")
    foreign_processes: tuple[str, ...] = Field(
        (), description="Processes that somebody has put into it, with other rights than its own."
    )
    unhealthy_run: float = Field(
        0, description="The engine's own time at which the run began whose health check came to fail; 0: it passes."
    )
    last_output: tuple[str, ...] = Field(
        (), description="Up to 50 lines that it said before it exited by itself; ten good minutes clear them."
    )
    failures: int = Field(0, description="Failures in a row; a new configuration or ten good minutes clear it.")
    failure: Failure | None = Field(None, description="The last of them.")
    retry_at: float = Field(0, description="Not tried again before.")
    started_at: float = Field(0, description="When its container started.")
    exited_at: float = Field(0, description="The engine's own time of the last exit.")
    stopped_by_us: tuple[str, ...] = Field(
        (), description="Ids of the containers that the controller itself has stopped: they have not ended."
    )
    stopped: Failure | None = Field(
        None, description="Why the controller has stopped it, where its file does not ask for that; a run clears it."
    )
    asked: Request | None = Field(
        None, description="What somebody has asked for last: `restart`, `retry` or `down`; when, and of which run."
    )
    unconfirmed_start: str = Field(
        "", description="Id of the container whose start timed out, and may still take effect."
    )
    added_at: float = Field(0, description="When its status was first written; 0: before that was recorded.")
    updated_at: float = Field(0, description="When anything here last changed.")
    over_log_rate: str = Field(
        "", description="Id of the container that was stopped for too much output; its start clears it."
    )
    disk_bytes: dict[str, int] = Field(
        {}, description="What each of its containers has written when that was last measured, by full id."
    )
    attested: Attestation | None = Field(
        None, description="The last comparison with what was rendered: at, ok, mismatches."
    )

    @field_validator("conditions", mode="before")
    @classmethod
    def _known(cls, conditions: object) -> object:
        """Conditions of another version are left out: the next pass works them out anew."""
        if not isinstance(conditions, list):
            return conditions
        kinds, reasons = list(ConditionType), list(Reason)
        return [one for one in conditions if _entry(one, "type") in kinds and _entry(one, "reason") in reasons]

    def condition(self, kind: ConditionType) -> Condition | None:
        """None before it was answered for the first time."""
        return next((condition for condition in self.conditions if condition.type is kind), None)

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        condition = self.condition(ConditionType.READY)
        return condition is not None and condition.status

    @property
    def as_declared(self) -> bool:
        """Whether it is accepted, synced, not stalled, and ready unless somebody has asked for it not to be."""
        answers = {condition.type: condition.status for condition in self.conditions}
        good = answers.get(ConditionType.ACCEPTED, True) and answers.get(ConditionType.SYNCED, True)
        ready = self.condition(ConditionType.READY)
        serves = ready is not None and (ready.status or ready.reason in ASKED_FOR)
        return good and not answers.get(ConditionType.STALLED, False) and serves


def _entry(thing: object, key: str) -> object:
    return thing.get(key) if isinstance(thing, dict) else getattr(thing, key, None)


class Approval(BaseModel):
    """`approval/removals.json`: the containers whose removal an operator has approved."""

    model_config = FIELD
    containers: tuple[str, ...] = Field(description="Full ids; each is good for one removal.")
    at: float


class PendingApproval(BaseModel):
    """Removals that wait for `reconciler approve`."""

    model_config = FIELD
    reason: Reason
    containers: dict[str, tuple[str, ...]] = Field(description="Full container ids by sandbox.")
    policy: str = Field("", description="Fingerprint of the policy that was in force.")


class RecentRemovals(BaseModel):
    """Removals without approval, for as long as they count. All times are in seconds since the epoch."""

    model_config = FIELD
    since: float = Field(0, description="Since when they are remembered; 0: always.")
    removed: dict[str, float] = Field({}, description="When each sandbox was removed.")


class EngineStatus(BaseModel):
    """What the engine says about itself."""

    model_config = FIELD
    name: str
    version: str
    api_version: str


class ControllerStatus(_Renamed):
    """`controller.json`: the controller as a whole. All times are in seconds since the epoch; 0 means never."""

    available: bool = Field(description="Whether the engine answers.")
    unavailable_reason: str = Field("", description="Why it does not.")
    engine: EngineStatus | None = Field(None, description="As it last answered.")
    host: str = Field(description="The engine's address.")
    context: str = Field("", description="The context of the Docker CLI that has led there; empty: none.")
    instance: str = Field(description="The name of this controller.")
    source: str = Field("", description="Whose sandboxes these are, as its containers are labelled.")
    version: str = Field(description="Of reconciler.")
    pid: int = Field(description="Of the controller's process.")
    started_at: float = Field(0, description="When this controller began.")
    directory: str = Field(description="The watched directory.")
    directory_id: tuple[int, int] | None = Field(
        None, description="Its device and inode at the last scan that counted; null since it could not be read."
    )
    policy_file: str = Field("", description="Empty: the built-in policy.")
    policy_error: str = Field("", description="Why the policy file is not in force; the last good one is.")
    last_scan_at: float = Field(0, description="When the directory was last read.")
    scan_error: str = Field("", description="Why it cannot be read now, or changes wait.")
    commit: str = Field("", description="The git commit that it was at when it was last read; empty when at none.")
    uncommitted: bool | None = Field(
        False, description="Whether its files were others than git tracks; null when that could not be known."
    )
    passes: int = Field(0, description="Passes made since this controller began.")
    last_pass_at: float = Field(0, description="When the last pass ended.")
    last_pass_seconds: float = Field(0, description="How long the last pass took, without what it set off.")
    pass_error: str = Field("", description="A fault of reconciler's own that ended the last pass.")
    counts: dict[Phase, int] = Field({}, description="Sandboxes by phase.")
    limit: int = Field(description="`sandboxes_max` of the policy in force.")
    slots_used_by: tuple[str, ...] = Field((), description="Whose container is up, and so uses a slot of the limit.")
    slots_reserved_for: tuple[str, ...] = Field(
        (), description="Who has a slot and no container that is up: it is being started, or waits until it can be."
    )
    slots_used_by_unmanaged: tuple[str, ...] = Field(
        (), description="Containers that are not ours, up, and stand for a sandbox: each uses a slot."
    )
    frozen: bool = Field(False, description="Whether removals wait.")
    frozen_reason: str = Field("", description="Why they do.")
    pending_approval: PendingApproval | None = Field(None, description="Containers that wait for `reconciler approve`.")
    removals: RecentRemovals = Field(RecentRemovals(), description="Those without approval, while they count.")
    broken: dict[str, tuple[str, ...]] = Field({}, description="The problems of each invalid file.")
    notes: tuple[str, ...] = Field((), description="What is ignored in the directory, and is not a mistake.")
    unmanaged: tuple[str, ...] = Field((), description="Containers that carry our labels and are not ours.")
    updated_at: float = Field(0, description="When anything here last changed.")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last heartbeat of a controller, in the state directory's lock file."""

    pid: int | None
    """Of its process; None once it has shut down cleanly."""
    at: float
    """In seconds since the epoch; 0 when there never was one."""
    locked: bool | None = None
    """Whether its process holds the lock, and so lives; None where nobody can tell."""
    unwritten_since: float = 0
    """Since when files are out of date, in seconds since the epoch; 0 when all are written."""
    unwritten_why: str = ""
    """Why they are; empty also before the first pass has ended."""

    def age_seconds(self, now: float) -> float:
        """A heartbeat from the future, by a clock that was set back since, counts as one of now."""
        return max(0.0, now - self.at)

    def alive(self, now: float) -> bool:
        """Whether the controller lives and works; `now` is in seconds since the epoch."""
        return self.pid is not None and self.locked is not False and self.age_seconds(now) < SILENT_SECONDS

    def well(self, now: float) -> bool:
        """Whether no controller has died or hangs, and all files could be written."""
        return not self.unwritten_why and (self.pid is None or self.alive(now))


class Saved(BaseModel):
    """What `reconciler status -o json` writes: all of them at one moment."""

    model_config = FIELD
    controller: ControllerStatus
    sandboxes: tuple[SandboxStatus, ...]


class JournalEntry(BaseModel):
    """One line of `journal.jsonl`: an action, a refusal, an answer, or a health check that comes to fail or to pass."""

    model_config = FIELD
    at: float = Field(description="When, in seconds since the epoch.")
    sandbox: str = Field(description="Its name; empty for what concerns them all.")
    verdict: str = Field(description="What was decided, such as `REPLACE`; or was asked for, such as `RESTART`.")
    cause: Reason = Field(description="Why.")
    action: str = Field("", description="What was done; empty for a refusal, an answer and a health check.")
    container: str = Field("", description="Full id, where there is one.")
    result: str = Field(description="`ok`, or the reason of the failure; for a refusal `refused`.")
    message: str = Field("", description="The same as a sentence.")
    engine_said: str = Field("", description="How the engine itself has put it, when it said no.")
    duration_seconds: float = Field(0, description="How long the engine took.")

    @property
    def sentence(self) -> str:
        """For people; what has come of it first."""
        who = self.sandbox or "all"
        if self.result == "refused":
            return f"{who}: {self.verdict.lower()}, {self.cause}: {self.message}"
        if not self.action:
            return f"{who}: {self.message}"
        if self.result == "ok":
            return f"{who}: {self.action} ({self.cause})"
        return f"{who}: cannot {self.action}: {self.result}: {self.message}"
