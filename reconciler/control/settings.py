"""Where everything is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.engine.host import EngineHost

if TYPE_CHECKING:
    from reconciler.model.policy import Policy


@dataclass(frozen=True, slots=True)
class Settings:
    """`policy_file` None means the built-in policy; `host` is the engine's address, such as `unix:///run/docker.sock`."""

    directory: Path
    policy_file: Path | None
    state: Path
    host: str
    instance: str

    @property
    def engine_socket(self) -> Path | None:
        return Path(self.host.removeprefix("unix://")) if self.host.startswith("unix://") else None

    @property
    def engine_host(self) -> EngineHost:
        own = {self.directory: "the watched directory", self.state: "the state directory"}
        if self.policy_file:
            own[self.policy_file] = "the policy"
        return EngineHost(self.engine_socket, own)

    def policy(self) -> "Policy":
        """The policy in its file, or the built-in one; raises `PolicyInvalid`."""
        from reconciler.desired.policy_file import read_policy  # slow to import, and no matter of `status` and `logs`

        return read_policy(self.policy_file)
