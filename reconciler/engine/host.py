"""The engine's host, which is this host, as its kernel tells of it."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.model.text import printable
from reconciler.model.world import EngineFacts, Network, Source

SYSTEM = ("/var/run", "/run", "/proc", "/sys", "/dev")

LISTENING = re.compile(rb"^[0-9a-f]+: [0-9A-F]+ [0-9A-F]+ 0001[0-9A-F]{4} [0-9A-F]+ [0-9A-F]+ +\d+ (/.+)$", re.M)
"""A line of `/proc/net/unix` about a socket that accepts connections and has a path."""


@dataclass(frozen=True, slots=True)
class Protected:
    """What no sandbox may mount, each with what it is: `places` and all that is in them, and whatever is a `holder`."""

    places: Mapping[Path, str] = field(default_factory=dict)
    holders: Mapping[Path, str] = field(default_factory=dict)

    def trouble(self, real: Path) -> str:
        """Why a path that is free of links cannot be mounted; empty when it can."""
        if real in self.holders:
            return f"holds {self.holders[real]}"
        inside = next((place for place in (real, *real.parents) if place in self.places), None)
        return f"belongs to {self.places[inside]}" if inside else ""


@dataclass(frozen=True, slots=True)
class EngineHost:
    """`own` are the controller's files and directories, each with what it is; where `proc` is, is for tests to say."""

    engine_socket: Path | None
    own: Mapping[Path, str]
    proc: Path = Path("/proc")

    def protected(self, engine_data: str = "") -> Protected:
        """What is protected now; `engine_data` is where the engine keeps its data, as far as that is known."""
        places = {path: f"the host's {path}" for path in map(Path, SYSTEM)} | dict(self.own)
        if engine_data:
            places[Path(engine_data)] = "the engine's data"
        places = {real: what for path, what in places.items() for real in _both(path)}
        sockets = {path: f"the host's socket {path}" for path in self._listening()}
        if self.engine_socket:
            sockets[self.engine_socket] = "the engine's socket"
        holders = {real: what for path, what in sockets.items() for real in _with_parents(path)}
        return Protected(places, {real: what for path, what in places.items() for real in path.parents} | holders)

    def unfiltered(self, network: Network, engine: EngineFacts) -> str:
        """Why traffic between containers of the network gets past the engine's rules; empty also when nobody knows.

        It is known of a bridge in this network namespace, where this process may see the kernel's settings.
        """
        interfaces, settings = self.proc / "self/net/dev", self.proc / "sys/net"
        if engine.name != "Docker" or not interfaces.exists() or not settings.exists():
            return ""
        if not re.search(rf"^ *{re.escape(network.bridge)}:", interfaces.read_text(), re.MULTILINE):
            return ""
        try:
            value = (settings / "bridge/bridge-nf-call-iptables").read_text().strip()
        except FileNotFoundError:
            return "the kernel's module br_netfilter is missing"
        return "" if value == "1" else f"net.bridge.bridge-nf-call-iptables is {value}"

    def _listening(self) -> Iterator[Path]:
        """Of all sockets of this network namespace: a sandbox's own are in another one. Nothing where nobody tells."""
        with suppress(FileNotFoundError):
            for path in LISTENING.findall((self.proc / "self/net/unix").read_bytes()):
                yield Path(os.fsdecode(path))


def _both(path: Path) -> set[Path]:
    """As it is named and as it really is: whoever can exchange a link on the way can exchange what it leads to."""
    return {path.absolute(), path.resolve()}


def _with_parents(path: Path) -> Iterator[Path]:
    for real in _both(path):
        yield from (real, *real.parents)


def examine(path: str, protected: Protected) -> Source:
    """What a volume's source really is, and why it cannot be mounted, if it cannot."""
    try:
        real = Path(path).resolve(strict=True)
        mode = real.stat().st_mode
    except (OSError, RuntimeError) as error:
        return Source(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        return Source(str(real), "is neither a directory nor a file")
    return Source(str(real), printable(protected.trouble(real)))
