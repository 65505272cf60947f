"""A whole container as a typed value, whatever engine carries it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"
"""The only literal that an engine publishes on this host alone; a name or nothing opens the port to the world."""

MIB = 1024 * 1024
TMPFS_OPTIONS = ("rw", "nosuid", "nodev", "noexec")


@dataclass(frozen=True, slots=True, order=True)
class PublishedPort:
    """A port of the container (`target`) on the host; `published` 0 is one that will be drawn."""

    target: int
    published: int
    host_ip: str = LOOPBACK
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    """A file system in memory. `size` in bytes; 0 is unlimited."""

    target: str
    size: int
    options: tuple[str, ...] = TMPFS_OPTIONS


@dataclass(frozen=True, slots=True)
class BindMount:
    """A path of the host, without what is mounted below it."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class HealthcheckSpec:
    """Times in seconds; 0 is the engine's default, or none.

    `start_interval` is not compared: an older engine has none, and where none is asked for an image's own may be there.
    """

    test: tuple[str, ...]
    interval: float = 0
    timeout: float = 0
    start_period: float = 0
    retries: int = 0
    start_interval: float = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Logging:
    """The engine's own log of a container: short, as it is copied at once."""

    driver: str = "json-file"
    options: tuple[tuple[str, str], ...] = (("max-file", "3"), ("max-size", "10m"))


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """Every knob of a container, by its name in Compose: what is asked for, and what an engine says there is.

    Where None is allowed, it stands for the image's own value, or for the engine's own of `runtime` and `hostname`.
    Sizes are in bytes, `stop_grace_period` in seconds. `environment` holds secrets, and `labels` the salt: they must be
    shown to nobody. The defaults are the security floor that no sandbox can change.
    """

    image: str
    user: str
    mem_limit: int
    memswap_limit: int
    """Memory and swap together; as much as `mem_limit` is no swap."""
    cpus: float
    pids_limit: int
    network_mode: str
    environment: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str] = field(repr=False)
    stop_grace_period: int | None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    working_dir: str | None = None
    hostname: str | None = None
    stop_signal: str | None = None
    healthcheck: HealthcheckSpec | None = None
    ports: tuple[PublishedPort, ...] = ()
    read_only: bool = False
    tmpfs: tuple[TmpfsMount, ...] = ()
    volumes: tuple[BindMount, ...] = ()
    runtime: str | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ("ALL",)
    no_new_privileges: bool = True
    seccomp: str = "default"
    privileged: bool = False
    ipc: str = "private"
    cgroup: str = "private"
    pid: str = "private"
    uts: str = "private"
    userns_mode: str = ""
    """Empty: as the engine is configured."""
    init: bool = True
    """Reaps zombies, which count as processes, and passes the stop signal on."""
    tty: bool = False
    stdin_open: bool = False
    shm_size: int = 64 * MIB
    logging: Logging = Logging()
    publish_all: bool = False
    restart_policy: str = "no"
    """The engine's own: nothing runs that was not verified just before."""
    auto_remove: bool = False


MOUNTED = "mounted"
"""The knob of a `Deviation` that the kernel tells of: a volume that is not where the engine says it is."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something that an engine says about a container and that a `ContainerSpec` cannot hold; fit to be shown.

    `knob` is the engine's own name for it.
    """

    knob: str
    value: str
