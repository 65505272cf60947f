"""The options of the command line."""

import hashlib
import os
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.engine.address import Address, cli_directory, find_address
from reconciler.engine.host import EngineHost
from reconciler.model.labels import Owner
from reconciler.spec.text import PATH_MAX, printable

if TYPE_CHECKING:
    from reconciler.spec.policy import Policy


@dataclass(frozen=True)
class Settings:
    """`policy_file` None means the built-in policy; `host` is the engine's address as it was given, empty for none."""

    directory: Path
    policy_file: Path | None
    state: Path
    host: str
    instance: str
    source: str = ""
    """Empty: derived from this host and the directory."""
    adopted: tuple[str, ...] = ()
    registry_config: Path | None = None
    """None: where the Docker CLI has it."""

    @cached_property
    def address(self) -> Address:
        """Where the engine is, looked up once: it stays the same, whatever context is chosen meanwhile.

        Raises `AddressUnusable`.
        """
        return find_address(self.host, os.environ)

    @property
    def registries(self) -> Path:
        """The file with the credentials for registries, which need not be there."""
        return self.registry_config or cli_directory(os.environ) / "config.json"

    def registries_changed(self) -> object:
        """Another value whenever the credentials may have changed; nothing of what is in them."""
        try:
            found = self.registries.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    @property
    def engine_host(self) -> EngineHost:
        """The engine's host, and what of it no sandbox may mount."""
        own = {self.directory: "the watched directory", self.state: "the state directory"}
        if self.policy_file:
            own[self.policy_file] = "the policy"
        return EngineHost(self.address.socket, own, remote=self.address.remote)

    @property
    def owner(self) -> Owner:
        """By default the source is this host and the path of the directory, normalised, with links unresolved."""
        if self.source:
            return Owner(self.instance, self.source, frozenset(self.adopted))
        source = printable(f"{_machine()}:{os.path.normpath(self.directory.absolute())}", PATH_MAX)
        return Owner(self.instance, source, frozenset(self.adopted), socket.gethostname())

    def policy(self) -> "Policy":
        """The policy in its file, or the built-in one; raises `PolicyInvalid`."""
        from reconciler.sources.policy_file import read_policy  # slow to import, and no matter of `status` and `logs`

        return read_policy(self.policy_file)


def _machine() -> str:
    """12 hexadecimal digits of this host, from its machine id, which itself is confidential; see machine-id(5)."""
    try:
        machine = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        machine = socket.gethostname().encode()
    return hashlib.sha256(b"reconciler " + machine).hexdigest()[:12]
