"""What is: the engine, and the containers of one instance in it, as they were seen at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from reconciler.model.capabilities import Capabilities, Knob, SetBy
from reconciler.model.container import ContainerSpec, Deviation, HealthcheckSpec, PublishedPort
from reconciler.model.kernel import KernelFacts
from reconciler.model.labels import Owner


class State(StrEnum):
    """The engine's own words for a container's state."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


UP = frozenset({State.RUNNING, State.PAUSED, State.RESTARTING})
"""The states in which a container uses a slot."""


class Health(StrEnum):
    """What a container's health check says."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of the engine's list of containers. `created_at` is in seconds since the epoch.

    `why_unreadable` says why the rest of the row cannot be believed; it then counts as running.
    """

    id: str
    name: str
    labels: Mapping[str, str] = field(repr=False)
    state: State
    health: Health | None
    created_at: float
    why_unreadable: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What a container has written to its own file system, and the names of the volumes that it has beside it."""

    id: str
    bytes: int
    volumes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """One container, inspected. Times are in seconds since the epoch; 0 means never.

    `spec` and `deviations` are what it is now, whoever made it so; `spec` is None where no engine was asked. `networks`
    are the ids of those that it is connected to, by name; `published` are the ports that are really open. `notes` are
    what the engine says of it that this version does not know: shown, and a reason for nothing. `kernel` is what the
    kernel says instead of the engine; None where there was nothing to ask about.
    """

    state: State
    health: Health | None
    health_output: str
    exit_code: int
    oom_killed: bool
    error: str
    started_at: float
    finished_at: float
    image_id: str
    spec: ContainerSpec | None = None
    deviations: tuple[Deviation, ...] = ()
    networks: Mapping[str, str] = field(default_factory=dict)
    published: tuple[PublishedPort, ...] = ()
    pid: int = 0
    notes: tuple[str, ...] = ()
    kernel: KernelFacts | None = None

    @property
    def health_message(self) -> str:
        """Of a health check that fails, with the last thing that it said."""
        said = self.health_output.strip()
        return "its health check fails" + (said and f": {said}")


@dataclass(frozen=True, slots=True)
class Observed:
    """A container of ours. `ports` maps container ports to the host ports chosen at its creation.

    `inspected_at`, in seconds since the epoch, is when `inspection` was taken: it is kept until something changes.
    """

    id: str
    name: str
    sandbox: str
    fingerprint: str
    ports: Mapping[int, int]
    state: State
    health: Health | None
    created_at: float
    inspection: Inspection
    inspected_at: float

    @property
    def up(self) -> bool:
        """Whether it holds a place under the limit."""
        return self.state in UP


@dataclass(frozen=True, slots=True)
class Unmanaged:
    """A container that carries our labels and is not ours: reported, never touched.

    `sandbox` is the one that it stands for: nothing is started beside it; None when it stands for none. `source` owns
    it, when another one does.
    """

    id: str
    name: str
    why: str
    sandbox: str | None = None
    up: bool = False
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """The instance's bridge network. `why_unfit` is None when it is what we would create, `why_unfiltered` when the
    host's kernel applies the engine's rules to it, or when that cannot be seen from here.

    An engine that was asked twice may make two of the same name, and starts nothing then; `surplus` are the ids of all
    but the oldest, when all are ours. `bridge` is the host's interface, `subnets` are such as `172.18.0.0/16`.
    """

    name: str
    id: str
    why_unfit: str | None = None
    surplus: tuple[str, ...] = ()
    bridge: str = ""
    subnets: tuple[str, ...] = ()
    why_unfiltered: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the engine has. `digest` is `repository@sha256:...`, empty for one that was never pulled.

    The other fields are what its containers get, unless they are told otherwise; `volumes` are paths.
    """

    reference: str
    id: str
    digest: str
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: HealthcheckSpec | None = None
    volumes: tuple[str, ...] = ()
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    working_dir: str | None = None
    stop_signal: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class EngineFacts:
    """What the engine says about itself; what it does not tell is empty.

    `data` is where on its host it keeps its own files, `id` is its own, `host` the name of its host.
    """

    name: str
    version: str
    api_version: str
    capabilities: Capabilities
    data: str = ""
    id: str = ""
    host: str = ""

    @cached_property
    def lacking(self) -> tuple[Knob, ...]:
        """The knobs of the security floor that it has not."""
        return tuple(knob for knob in Knob if self.capabilities.get(knob, SetBy.NOBODY) is SetBy.NOBODY)


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """What the engine says about itself and about the host beneath it, for who looks for trouble.

    `security` are the names of what confines containers, such as `apparmor`; `clock` is in seconds since the epoch.
    With a `containerd_store`, images and containers are in containerd's snapshots, not in a storage driver of the
    engine's own. What the engine leaves out is empty or false.
    """

    facts: EngineFacts
    security: frozenset[str]
    cgroup_version: str
    live_restore: bool
    storage_driver: str
    containerd_store: bool
    file_system: str
    clock: float
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A path of the host that a sandbox wants to mount. `real` is free of links.

    `why_unfit` says why it cannot be mounted, None when it can; `hint` is what can be done about that.
    """

    real: str
    why_unfit: str | None = None
    hint: str = ""


@dataclass(frozen=True)
class World:
    """One whole observation; lossless: several containers may stand for one sandbox."""

    owner: Owner
    engine: EngineFacts
    network: Network | None
    containers: tuple[Observed, ...] = ()
    unmanaged: tuple[Unmanaged, ...] = ()
    images: Mapping[str, Image] = field(default_factory=dict)
    """The images that are there, by the reference that the sandboxes use, or by their id when that means another."""
    sources: Mapping[str, Source] = field(default_factory=dict)
    """What the sandboxes' volumes and the policy's roots are on the host, by path."""

    @cached_property
    def by_sandbox(self) -> Mapping[str, tuple[Observed, ...]]:
        """The containers of each sandbox, the oldest first."""
        found: dict[str, tuple[Observed, ...]] = {}
        for container in sorted(self.containers, key=lambda container: (container.created_at, container.id)):
            found[container.sandbox] = (*found.get(container.sandbox, ()), container)
        return found

    @cached_property
    def _images_by_id(self) -> Mapping[str, Image]:
        return {image.id: image for image in self.images.values()}

    def image_of(self, container: Observed) -> Image | None:
        """The one that it was made from, None when the engine has it no more."""
        return self._images_by_id.get(container.inspection.image_id)

    def of(self, sandbox: str) -> tuple[Observed, ...]:
        """The containers of the sandbox, in any state."""
        return self.by_sandbox.get(sandbox, ())

    def in_place_of(self, sandbox: str) -> Unmanaged | None:
        """What is not ours and stands for the sandbox. One that is down may still start, by an old request."""
        return next((one for one in self.unmanaged if one.sandbox == sandbox), None)


class Happening(StrEnum):
    """What an event tells."""

    SUBSCRIBED = "subscribed"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a container of this instance, or to its network (`container` is empty): a hint to look."""

    container: str
    what: Happening
