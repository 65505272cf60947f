"""The engine's host, if that is this host: what its kernel says of paths, sockets, bridges and mounts."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.engine.kernel import read_kernel
from reconciler.model.container import BindMount
from reconciler.model.kernel import KernelFacts
from reconciler.model.world import UP, EngineFacts, Inspection, Network, Source
from reconciler.spec.text import printable

SYSTEM = ("/var/run", "/run", "/proc", "/sys", "/dev")

LISTENING = re.compile(rb"^[0-9a-f]+: [0-9A-F]+ [0-9A-F]+ 0001[0-9A-F]{4} [0-9A-F]+ [0-9A-F]+ +\d+ (/.+)$", re.M)
"""A line of `/proc/net/unix` about a socket that accepts connections and has a path."""

ELSEWHERE = "mount another directory or file"

OF_THIS_KERNEL = frozenset({"runc", "io.containerd.runc.v2", "crun", "youki", "nvidia"})
"""Runtimes whose processes are this kernel's; of others, such as gVisor's, only the limits are."""


@dataclass(frozen=True, slots=True)
class Protected:
    """What no sandbox may mount, each with what it is: `places` and all that is in them, and whatever is a `holder`.

    Neither may it mount what is in a directory that is `writable` to others, each with who that is: they can put a link
    in its place.
    """

    places: Mapping[Path, str] = field(default_factory=dict)
    holders: Mapping[Path, str] = field(default_factory=dict)
    writable: Mapping[Path, str] = field(default_factory=dict)

    def judged(self, real: Path) -> Source:
        """A path that is free of links, with why it cannot be mounted, if it cannot."""
        if real in self.holders:
            return Source(str(real), printable(f"holds {self.holders[real]}"), ELSEWHERE)
        inside = next((place for place in (real, *real.parents) if place in self.places), None)
        if inside:
            return Source(str(real), printable(f"belongs to {self.places[inside]}"), ELSEWHERE)
        above = next((place for place in real.parents if place in self.writable), None)
        if above:
            who = self.writable[above]
            hint = f"mount {above} itself, or let {who} mount it read-only"
            return Source(str(real), printable(f"lies in {above}, where {who} can exchange it"), printable(hint))
        return Source(str(real))


@dataclass(frozen=True, slots=True)
class EngineHost:
    """`own` are the controller's files and directories, each with what it is.

    `remote` is the name of another host that the engine is on: of that one, nothing can be seen from here. Where `proc`
    and `cgroups` are, is for tests to say.
    """

    engine_socket: Path | None
    own: Mapping[Path, str]
    proc: Path = Path("/proc")
    remote: str | None = None
    cgroups: Path = Path("/sys/fs/cgroup")

    def protected(self, engine_data: str = "", writable: Mapping[str, str] = {}) -> Protected:
        """What is protected now.

        `engine_data` is where the engine keeps its data, as far as that is known; `writable` are the paths that
        containers can write, each with who that is.
        """
        places = {path: f"the host's {path}" for path in map(Path, SYSTEM)} | dict(self.own)
        if engine_data:
            places[Path(engine_data)] = "the engine's data"
        places = {real: what for path, what in places.items() for real in _both(path)}
        sockets = {path: f"the host's socket {path}" for path in self._listening()}
        if self.engine_socket:
            sockets[self.engine_socket] = "the engine's socket"
        holders = {real: what for path, what in sockets.items() for real in _with_parents(path)}
        return Protected(
            places,
            {real: what for path, what in places.items() for real in path.parents} | holders,
            {Path(path).resolve(): who for path, who in writable.items()},
        )

    def why_unfiltered(self, network: Network, engine: EngineFacts) -> str | None:
        """Why traffic between containers of the network gets past the engine's rules; None also when nobody knows.

        It is known of a bridge in this network namespace, where this process may see the kernel's settings.
        """
        interfaces, settings = self.proc / "self/net/dev", self.proc / "sys/net"
        if self.remote or engine.name != "Docker" or not interfaces.exists() or not settings.exists():
            return None
        if not re.search(rf"^ *{re.escape(network.bridge)}:", interfaces.read_text(), re.MULTILINE):
            return None
        try:
            value = (settings / "bridge/bridge-nf-call-iptables").read_text().strip()
        except FileNotFoundError:
            return "the kernel's module br_netfilter is missing"
        return None if value == "1" else f"net.bridge.bridge-nf-call-iptables is {value}"

    def examine(self, path: str, protected: Protected) -> Source:
        """What a volume's source really is, and why it cannot be mounted, if it cannot."""
        if self.remote:
            return Source(path, f"the engine is on another host: {self.remote}", "its sandboxes have no volumes")
        try:
            real = Path(path).resolve(strict=True)
            mode = real.stat().st_mode
        except (OSError, RuntimeError) as error:
            return Source(os.path.realpath(path), f"cannot be read: {getattr(error, 'strerror', None) or error}")
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            return Source(str(real), "is neither a directory nor a file")
        return protected.judged(real)

    def exchanged(self, container: str, pid: int, volumes: Iterable[BindMount]) -> tuple[BindMount, ...]:
        """Those of a container's volumes in whose place its main process has something else, by the kernel's own word.

        None where nobody knows: the process is another host's, which its cgroup tells, or has ended.
        """
        if self.remote:
            return ()
        process = self.proc / str(pid)
        try:
            inside, here = mounts(process / "mountinfo"), mounts(self.proc / "self/mountinfo")
            if container not in (process / "cgroup").read_text():  # read last: until then it was no other process
                return ()
        except OSError:
            return ()
        return tuple(
            volume for volume in volumes if not _is_mounted(volume, inside, mount_of(Path(volume.source), here))
        )

    def kernel(self, container: str, inspection: Inspection) -> KernelFacts | None:
        """What the kernel says of it; None of what does not run, and where nothing is seen of it."""
        if self.remote:
            return KernelFacts(why_unknown=f"the engine is on another host: {self.remote}")
        runtime = inspection.spec.runtime if inspection.spec else None
        up = inspection.state in UP
        facts = read_kernel(container, inspection.pid, self.proc, self.cgroups) if up else None
        if runtime is None or runtime in OF_THIS_KERNEL:
            return facts
        why = printable(f"its kernel may be {runtime}'s own")
        return replace(facts or KernelFacts(), processes=(), why_unknown=why)

    def _listening(self) -> Iterator[Path]:
        """The paths of all listening sockets of this network namespace: a sandbox's own are in another one."""
        with suppress(FileNotFoundError):
            for path in LISTENING.findall((self.proc / "self/net/unix").read_bytes()):
                yield Path(os.fsdecode(path))


def _both(path: Path) -> set[Path]:
    """The path as given and resolved: whoever can exchange a link on the way can exchange what it leads to."""
    return {path.absolute(), path.resolve()}


def _with_parents(path: Path) -> Iterator[Path]:
    for real in _both(path):
        yield from (real, *real.parents)


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of a `mountinfo`: what is at `point` is the `root` of the file system on `device`, or below."""

    device: str
    root: str
    point: Path
    read_only: bool
    file_system: str
    options: frozenset[str]


def mounts(file: Path) -> tuple[Mount, ...]:
    """All that the file tells of, in its order: of those at one point, the last is in force. Raises OSError."""
    return tuple(map(_mount, file.read_bytes().splitlines()))


def _mount(line: bytes) -> Mount:
    about, _, what = line.partition(b" - ")
    _, _, device, root, point, own, *_ = map(_unescaped, about.split(b" "))
    kind, _, options = what.split(b" ", 2)
    shared = frozenset(os.fsdecode(options).split(","))
    return Mount(device, root, Path(point), "ro" in own.split(","), os.fsdecode(kind), shared)


def _unescaped(field: bytes) -> str:
    return os.fsdecode(re.sub(rb"\\(\d{3})", lambda octal: bytes([int(octal[1], 8)]), field))


def mount_of(path: Path, among: Iterable[Mount]) -> Mount | None:
    """The mount that a path without links lies on."""
    points = {mount.point: mount for mount in among}
    return next((points[directory] for directory in (path, *path.parents) if directory in points), None)


def _is_mounted(volume: BindMount, inside: Sequence[Mount], source: Mount | None) -> bool:
    """Whether it is at its target; where a link in the image leads the target elsewhere, whether it is anywhere."""
    if source is None:
        return False
    root = str(Path(source.root) / Path(volume.source).relative_to(source.point))
    there = [mount for mount in inside if mount.point == Path(volume.target)][-1:] or inside
    return any(
        (mount.device, mount.root) == (source.device, root) and (mount.read_only or not volume.read_only)
        for mount in there
    )
