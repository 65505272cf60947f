"""What the kernel tells of the engine's host, from files that look like its own."""

from pathlib import Path

import pytest

from reconciler.engine.host import EngineHost
from reconciler.model.world import EngineFacts, Network

DOCKER = EngineFacts("Docker", "28.1.0", "1.49", seccomp=True, runtimes=("runc",))
PODMAN = EngineFacts("Podman", "5.8.0", "1.41", seccomp=True, runtimes=("crun",))

NETWORK = Network("reconciler.default", "n" * 64, bridge="br-0123456789ab")
HERE = "    lo: 0 0\nbr-0123456789ab: 12 3\n"

FILTER = "sys/net/bridge/bridge-nf-call-iptables"


@pytest.mark.parametrize(
    ("files", "engine", "why"),
    [
        ({"self/net/dev": HERE, FILTER: "1\n"}, DOCKER, ""),
        ({"self/net/dev": HERE, FILTER: "0\n"}, DOCKER, "net.bridge.bridge-nf-call-iptables is 0"),
        ({"self/net/dev": HERE, "sys/net/core": ""}, DOCKER, "the kernel's module br_netfilter is missing"),
        ({"self/net/dev": HERE}, DOCKER, ""),
        ({"self/net/dev": HERE, FILTER: "0\n"}, PODMAN, ""),
        ({"self/net/dev": "lo: 0\nbr-0123456789abc: 0\n", FILTER: "0\n"}, DOCKER, ""),
        ({FILTER: "0\n"}, DOCKER, ""),
    ],
    ids=["on", "off", "no module", "hidden settings", "Podman", "a bridge elsewhere", "not Linux"],
)
def test_whether_the_rules_hold_on_a_bridge(
    tmp_path: Path, files: dict[str, str], engine: EngineFacts, why: str
) -> None:
    """Only where all of it can be seen is anything held against the host."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert EngineHost(None, {}, tmp_path).unfiltered(NETWORK, engine) == why
