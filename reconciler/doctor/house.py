"""What people work with who change an engine: each kind of engine has its own file and commands."""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class House:
    """`unit` is systemd's name of the engine, `configuration` its file, empty where no remedy is in it.

    `driver` is the storage driver that can bound a container's size, `newest` what to install, and from where. `rules`
    prints those of the network that a rootless engine has to itself.
    """

    client: str
    unit: str
    configuration: str
    driver: str
    newest: str
    rootless: bool = False
    rules: str = ""

    def systemctl(self, verb: str) -> str:
        """The command that has systemd start, restart or reload the engine."""
        return f"{'systemctl --user' if self.rootless else 'sudo systemctl'} {verb} {self.unit}"


NEWEST_DOCKER = "Docker 28 or newer: https://docs.docker.com/engine/install/"
DOCKER = House("docker", "docker", "/etc/docker/daemon.json", "overlay2", NEWEST_DOCKER)
PODMAN = House("podman", "podman.socket", "", "overlay", "Podman 5 or newer: https://podman.io/docs/installation")

INSIDE_DOCKER = 'nsenter -U --preserve-credentials -n -t "$(cat "$XDG_RUNTIME_DIR/docker.pid")" iptables -S'
INSIDE_PODMAN = "podman unshare --rootless-netns nft list ruleset"

HOUSES: Mapping[tuple[str, bool], House] = {
    ("Docker", False): DOCKER,
    ("Docker", True): replace(DOCKER, configuration="~/.config/docker/daemon.json", rootless=True, rules=INSIDE_DOCKER),
    ("Podman", False): PODMAN,
    ("Podman", True): replace(PODMAN, rootless=True, rules=INSIDE_PODMAN),
}
"""By the name of the engine, and whether it is rootless."""
