"""The facts about the host and its engine that the checks judge, as of one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from reconciler.doctor.firewall import Rules
from reconciler.doctor.house import HOUSES, House
from reconciler.engine.address import Address
from reconciler.model.world import EngineHealth, Network

EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Unknown:
    """In place of what could not be found out; `why` is a clause for people."""

    why: str


@dataclass(frozen=True, slots=True)
class PathAccess:
    """What is at a path: a `directory`, `file`, `socket` or `other`, and whether it is `usable` by us.

    `writers` may change it, root aside (`user alice`, `group docker`, `everyone`), each with the path that lets them:
    this one, or, of the policy, a directory above it in which they can put another one in its place.
    """

    path: Path
    kind: str
    group: str
    usable: bool
    writers: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Room:
    """What is free. `inodes` is None on a file system that makes them as it needs them."""

    bytes: int
    inodes: int | None


@dataclass(frozen=True, slots=True)
class MountPoint:
    """The file system under a path."""

    file_system: str
    options: frozenset[str]


@dataclass(frozen=True, slots=True)
class Host:
    """A `PathAccess` is None where nothing is; of `state`, it is then the nearest directory above that is there.

    `socket` is None too for an engine that is reached in another way than by a socket. `another_engine` says which one
    answers, if it is not the one in the `pin_file`; empty if it is, or none is. `ends_with_logout_of` is the user with
    whose last session a rootless engine ends, empty if it goes on. `clock_ahead_seconds` is by how much the engine's
    clock is ahead of ours, `synchronised` whether somebody keeps ours right, None where nobody says.
    `published` are the ports that the policy lets sandboxes publish, None where it cannot be read.
    """

    address: Address
    socket: PathAccess | Unknown | None
    engine: EngineHealth | Unknown
    another_engine: str | Unknown
    ends_with_logout_of: str | Unknown
    pin_file: Path
    network: Network | Unknown | None
    interfaces: frozenset[str]
    rules: Rules | Unknown
    clock_ahead_seconds: float
    synchronised: bool | None
    inotify: Mapping[str, int] | Unknown
    engine_mount: MountPoint | Unknown
    engine_room: Room | Unknown
    state: PathAccess | Unknown
    state_path: Path
    state_room: Room | Unknown
    policy: PathAccess | Unknown | None
    policy_file: Path | None
    policy_invalid: str | None
    published: range | None
    directory: PathAccess | Unknown | None
    directory_path: Path
    directory_mount: MountPoint | Unknown

    @property
    def authors(self) -> frozenset[str]:
        """Who may write the sandboxes, root aside."""
        return frozenset(self.directory.writers) if isinstance(self.directory, PathAccess) else frozenset()

    @property
    def house(self) -> House:
        """What changes this engine; of one that does not answer, as far as its address tells which kind it is."""
        if isinstance(self.engine, Unknown):
            name = "Podman" if "podman" in self.address.url else "Docker"
            return HOUSES[name, "/run/user/" in self.address.url]
        return HOUSES[self.engine.facts.name, "rootless" in self.engine.security]

    def there(self, *remedy: str) -> tuple[str, ...]:
        """What is to be done on the engine's host, which says so where that is another one."""
        return (f"# on {self.address.remote}:", *remedy) if self.address.remote else remedy

    @property
    def client(self) -> str:
        """The command line that reaches this engine from here."""
        if self.house.client == "podman":
            return f"podman --remote --url {quote(self.address.url)}"
        if self.address.context:
            return f"docker --context {quote(self.address.context)}"
        return "docker" if self.address == Address() else f"docker --host {quote(self.address.url)}"
