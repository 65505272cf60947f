"""The security floor, held to a container of anybody's making."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.container import Deviation, HealthcheckSpec, Logging, PublishedPort, TmpfsMount
from reconciler.model.rendered import Mismatch
from reconciler.model.world import Inspection, State
from reconciler.planning.floor import outside_floor
from tests.scene import Scene

NETWORK = "reconciler.default"
OPEN = PublishedPort(3000, 61000, "0.0.0.0")


def made(state: State = State.RUNNING, **spec: Any) -> Inspection:
    """A container as we make them, but for these knobs."""
    inspection = Scene().container("web", state).inspection
    assert inspection.spec
    return replace(inspection, spec=replace(inspection.spec, **spec))


def outside(inspection: Inspection) -> list[str]:
    return [f"{found.knob}: {found.actual} should be {found.expected}" for found in outside_floor(inspection, NETWORK)]


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"command": ("sh",), "entrypoint": ("a",), "working_dir": "/srv", "healthcheck": HealthcheckSpec(("NONE",))},
        {"hostname": "web", "stop_signal": "SIGINT"},
        {"read_only": True, "runtime": "runsc", "tmpfs": (TmpfsMount("/run", 1),), "ports": ()},
        {"user": "1:1", "pids_limit": 1, "cpus": 0.01},
    ],
)
def test_what_a_sandbox_or_the_policy_can_choose_is_within_the_floor(chosen: dict[str, Any]) -> None:
    """However it is chosen."""
    assert outside(made(**chosen)) == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"privileged": True}, "privileged: true should be false"),
        ({"cap_add": ("SYS_ADMIN",)}, 'cap_add: ["SYS_ADMIN"] should be nothing'),
        ({"cap_drop": ()}, 'cap_drop: nothing should be ["ALL"]'),
        ({"no_new_privileges": False}, "no_new_privileges: false should be true"),
        ({"seccomp": "unconfined"}, "seccomp: unconfined should be default"),
        ({"ipc": "host"}, "ipc: host should be private"),
        ({"restart_policy": "always"}, "restart_policy: always should be no"),
        ({"logging": Logging("none", ())}, "logging: none should be json-file, max-file 3, max-size 10m"),
        ({"shm_size": 1 << 30}, "shm_size: 1g should be 64m"),
        ({"pids_limit": 0}, "pids_limit: 0 should be limited"),
        ({"cpus": 0}, "cpus: 0 should be limited"),
        ({"mem_limit": 0, "memswap_limit": 0}, "mem_limit: 0 should be limited"),
        ({"memswap_limit": 1 << 30}, "memswap_limit: 1g should be 512m"),
        ({"user": "0:1000"}, "user: 0:1000 should be not root"),
        ({"user": "1000:0"}, "user: 1000:0 should be not root"),
        ({"user": ""}, "user: nothing should be not root"),
        ({"tmpfs": (TmpfsMount("/a", 0),)}, "tmpfs: /a:size=0 should be limited, nosuid, nodev, noexec"),
        (
            {"tmpfs": (TmpfsMount("/a", 1, ("rw", "nosuid", "nodev")),)},
            "tmpfs: /a:size=1b,no noexec should be limited, nosuid, nodev, noexec",
        ),
        ({"ports": (OPEN,)}, "ports: 3000/tcp on 0.0.0.0:61000 should be on 127.0.0.1"),
    ],
)
def test_each_knob_of_the_floor_is_judged_and_named(changed: dict[str, Any], found: str) -> None:
    """In the words of the file: what it is, and what it should be."""
    assert outside(made(**changed)) == [found]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            lambda one: replace(one, published=(*one.published, OPEN)),
            "ports: 3000/tcp on 127.0.0.1:61000, 3000/tcp on 0.0.0.0:61000 should be on 127.0.0.1",
        ),
        (
            lambda one: replace(one, networks={"other": "", NETWORK: ""}),
            "networks: other, reconciler.default should be reconciler.default",
        ),
        (lambda one: replace(one, networks={}), "networks: nothing should be reconciler.default"),
        (
            lambda one: replace(one, deviations=(Deviation("Devices", "/dev/kmsg"),)),
            "Devices: /dev/kmsg should be nothing",
        ),
        (lambda one: replace(one, spec=None), "container: unknown should be known"),
    ],
)
def test_what_the_engine_says_beside_the_knobs_is_judged_too(
    change: Callable[[Inspection], Inspection], found: str
) -> None:
    """What is really open, what it is connected to, and what no spec can say."""
    assert outside(change(made())) == [found]


def test_what_is_open_is_judged_only_while_it_is_up() -> None:
    """A stopped container publishes nothing, whatever was open before."""
    assert outside(replace(made(State.EXITED), published=(OPEN,))) == []


@pytest.mark.parametrize(("mode", "found"), [("none", []), ("host", [Mismatch("network_mode", NETWORK, "host")])])
def test_only_the_instances_network_or_none_is_within_the_floor(mode: str, found: list[Mismatch]) -> None:
    """And it is connected to that one alone."""
    inspection = replace(made(network_mode=mode), networks={mode: ""})
    assert list(outside_floor(inspection, NETWORK)) == found
