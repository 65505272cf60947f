"""What the doctor says of a host, finding by finding, from given facts."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.doctor.checks import examine
from reconciler.doctor.finding import Finding, Level
from reconciler.doctor.firewall import parse
from reconciler.doctor.host import Host, MountPoint, PathAccess, Room, Unknown
from reconciler.engine.address import Address
from reconciler.model.capabilities import ALL, Knob, SetBy
from reconciler.model.world import EngineFacts, EngineHealth, Network

GIB = 1024**3

SOCKET = Path("/run/docker.sock")
POLICY = Path("/etc/reconciler/policy.yaml")
DIRECTORY = Path("/srv/sandboxes.d")
STATE = Path("/var/lib/reconciler")

ENGINE = EngineHealth(
    facts=EngineFacts("Docker", "28.1.0", "1.49", ALL, data="/var/lib/docker"),
    security=frozenset({"seccomp", "apparmor", "userns"}),
    cgroup_version="2",
    live_restore=True,
    storage_driver="overlay2",
    containerd_store=False,
    file_system="xfs",
    clock=0,
    warnings=(),
)

SOUND = Host(
    address=Address("unix:///run/docker.sock"),
    socket=PathAccess(SOCKET, "socket", "docker", usable=True, writers={"group docker": SOCKET}),
    engine=ENGINE,
    another_engine="",
    ends_with_logout_of="",
    pin_file=STATE / "engine",
    network=Network("reconciler.default", "n" * 64, bridge="br-1", subnets=("172.18.0.0/16",)),
    interfaces=frozenset({"lo", "br-1"}),
    rules=parse("-P INPUT DROP\n-P FORWARD DROP"),
    clock_ahead_seconds=0.5,
    synchronised=None,
    inotify={"max_user_instances": 128, "max_user_watches": 65536},
    engine_mount=MountPoint("xfs", frozenset({"rw", "prjquota"})),
    engine_room=Room(20 * GIB, None),
    state=PathAccess(STATE, "directory", "root", usable=True, writers={"user controller": STATE}),
    state_path=STATE,
    state_room=Room(20 * GIB, 100_000),
    policy=PathAccess(POLICY, "file", "root", usable=True, writers={}),
    policy_file=POLICY,
    policy_invalid=None,
    published=range(8000, 10000),
    directory=PathAccess(DIRECTORY, "directory", "root", usable=True, writers={"user alice": DIRECTORY}),
    directory_path=DIRECTORY,
    directory_mount=MountPoint("ext4", frozenset()),
)


def findings(host: Host) -> list[Finding]:
    return [finding for group in examine(host).values() for finding in group]


def troubles(host: Host) -> list[str]:
    return [f"{one.level}: {one.check}: {one.text}" for one in findings(host) if one.level is not Level.OK]


def engine(**changes: Any) -> dict[str, Any]:
    return {"engine": replace(ENGINE, **changes)}


def facts(name: str, version: str, api: str) -> dict[str, Any]:
    return engine(facts=EngineFacts(name, version, api, ALL))


def lacking(*knobs: Knob, **changes: Any) -> dict[str, Any]:
    return engine(facts=replace(ENGINE.facts, capabilities=ALL | dict.fromkeys(knobs, SetBy.NOBODY)), **changes)


def network(**changes: Any) -> dict[str, Any]:
    return {"network": Network(**{"name": "n", "id": "1", "bridge": "br-1", "subnets": ("172.18.0.0/16",), **changes})}


def place(of: PathAccess | Unknown | None, **changes: Any) -> PathAccess:
    assert isinstance(of, PathAccess)
    return replace(of, **changes)


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "old": (lacking(Knob.CGROUP_NAMESPACE), "error: version: Docker 28.1.0, API 1.49: too old"),
    "before 28": (facts("Docker", "27.5.1", "1.47"), "warning: version: Docker 27.5.1, API 1.47"),
    "no version": (
        facts("Docker", "unknown", "unknown"),
        "warning: version: could not be checked: Docker unknown, API unknown",
    ),
    "seccomp": (lacking(Knob.SECCOMP), "error: seccomp: off"),
    "socket for all": (
        {"socket": place(SOUND.socket, writers={"everyone": SOCKET})},
        "error: socket: everyone may write to /run/docker.sock",
    ),
    "socket for authors": (
        {"socket": place(SOUND.socket, writers={"group docker": SOCKET, "user alice": SOCKET})},
        "warning: socket: user alice may use it and write the sandboxes",
    ),
    "tcp": (
        {"socket": None, "address": Address("tcp://[::1]:2375")},
        "error: socket: anybody who reaches tcp://[::1]:2375 may use it",
    ),
    "ssh": (
        {"socket": None, "address": Address("ssh://host")},
        "warning: host: could not be checked: the engine is on host, whose files and firewall are not looked at",
    ),
    "another engine": (
        {"another_engine": "ID /var/lib/docker"},
        "error: pin: another engine answers than before: ID /var/lib/docker",
    ),
    "no pin": ({"another_engine": Unknown("no")}, "warning: pin: could not be checked: no"),
    "live restore": (engine(live_restore=False), "warning: live restore: off"),
    "clock ahead": ({"clock_ahead_seconds": 61.0}, "error: clock: the engine's is 61 s ahead of ours"),
    "clock behind": ({"clock_ahead_seconds": -3.0}, "error: clock: the engine's is 3 s behind ours"),
    "clock alone": ({"synchronised": False}, "warning: clock: it is not synchronised"),
    "warning": (
        engine(
            warnings=("WARNING: No blkio support", "WARNING: bridge-nf-call-iptables is off", "DEPRECATED: a thing")
        ),
        "warning: engine says: DEPRECATED: a thing",
    ),
    "open API": (
        engine(warnings=("WARNING: API is accessible on http://0.0.0.0:2375 without encryption.",)),
        "error: engine says: API is accessible on http://0.0.0.0:2375 without encryption.",
    ),
    "mandatory access": (
        engine(security=frozenset({"userns"})),
        "warning: mandatory access: neither AppArmor nor SELinux",
    ),
    "limits": (
        lacking(Knob.SWAP, Knob.PIDS),
        "error: limits: not enforced: swap, pids",
    ),
    "cgroups": (engine(cgroup_version="1"), "warning: cgroups: version 1"),
    "cgroups unknown": (
        engine(cgroup_version=""),
        "warning: cgroups: could not be checked: the engine does not say which version it uses",
    ),
    "user namespaces": (engine(security=frozenset({"selinux"})), "warning: user namespaces: off"),
    "inotify": (
        {"inotify": {"max_user_instances": 16, "max_user_watches": 65536}},
        "warning: inotify: max_user_instances is 16",
    ),
    "inotify unknown": ({"inotify": Unknown("why")}, "warning: inotify: could not be checked: why"),
    "unfit network": (network(why_unfit="its driver is macvlan"), "error: bridge: its driver is macvlan"),
    "unfiltered bridge": (network(why_unfiltered="a setting is 0"), "error: bridge: a setting is 0"),
    "network unknown": ({"network": Unknown("why")}, "warning: bridge: could not be checked: why"),
    "no network": (
        {"network": None},
        "warning: firewall: could not be checked: the network is made with the first sandbox",
    ),
    "bridge elsewhere": (
        network(bridge="br-2"),
        "warning: firewall: could not be checked: there is no br-2 here; is the engine's network elsewhere?",
    ),
    "rules unknown": (
        {"rules": Unknown("you must be root")},
        "warning: firewall: could not be checked: you must be root",
    ),
    "open host": ({"rules": parse("-P FORWARD DROP")}, "error: host's services: open to sandboxes"),
    "open cloud": (
        {"rules": parse("-P INPUT DROP\n-A FORWARD -i br-1 -o br-1 -j DROP")},
        "error: cloud metadata: open to sandboxes",
    ),
    "open to neighbours": (
        {"rules": parse("-P INPUT DROP\n-A FORWARD -i br-1 ! -o br-1 -j DROP")},
        "error: bridge: no rule of the firewall keeps neighbours apart",
    ),
    "leak": (
        {"rules": parse("-P INPUT DROP\n-P FORWARD DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT")},
        "warning: host's services: closed to sandboxes but for: -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
    ),
    "a subnet that is none": (
        network(subnets=("172.18.0.0/99",)),
        "warning: firewall: could not be checked: '99' is not a valid netmask",
    ),
    "a version that is none": (
        facts("Docker", "9" * 5000, "x"),
        f"warning: version: could not be checked: Docker {'9' * 5000}, API x",
    ),
    "IPv6": (
        network(subnets=("172.18.0.0/16", "fd00::/64")),
        "warning: firewall: could not be checked: the network has IPv6 too, whose rules are not looked at",
    ),
    "wide range of ports": (
        {"published": range(1024, 65536)},
        "warning: published ports: 1024-65535, which includes ports of databases",
    ),
    "full": ({"engine_room": Room(GIB // 2, None)}, "error: engine's disk: 512 MiB free"),
    "filling": ({"engine_room": Room(2 * GIB, None)}, "warning: engine's disk: 2048 MiB free"),
    "inodes": ({"state_room": Room(20 * GIB, 7)}, "error: state's disk: 20 GiB free, 7 inodes left"),
    "room unknown": ({"engine_room": Unknown("why")}, "warning: engine's disk: could not be checked: why"),
    "ext4": (engine(file_system="extfs"), "warning: disk quota: none: overlay2 on extfs"),
    "no pquota": (
        {"engine_mount": MountPoint("xfs", frozenset({"rw", "noquota"}))},
        "warning: disk quota: overlay2 on xfs without pquota",
    ),
    "containerd": (
        engine(storage_driver="overlayfs", containerd_store=True, file_system=""),
        "warning: disk quota: none: containerd's store has none",
    ),
    "no directory": ({"directory": None}, "error: sandboxes: /srv/sandboxes.d does not exist"),
    "no such directory": (
        {"directory": place(SOUND.directory, kind="file")},
        "error: sandboxes: /srv/sandboxes.d is not a directory",
    ),
    "unreadable directory": (
        {"directory": place(SOUND.directory, usable=False)},
        "error: sandboxes: /srv/sandboxes.d cannot be read",
    ),
    "directory for all": (
        {"directory": place(SOUND.directory, writers={"everyone": DIRECTORY})},
        "error: sandboxes: everyone may write /srv/sandboxes.d",
    ),
    "directory unknown": (
        {"directory": Unknown("Permission denied")},
        "warning: sandboxes: could not be checked: /srv/sandboxes.d: Permission denied",
    ),
    "nfs": (
        {"directory_mount": MountPoint("nfs4", frozenset())},
        "warning: watching: /srv/sandboxes.d is on nfs4",
    ),
    "fuse": (
        {"directory_mount": MountPoint("fuse.sshfs", frozenset())},
        "warning: watching: /srv/sandboxes.d is on fuse.sshfs",
    ),
    "no policy": ({"policy": None}, "error: policy: /etc/reconciler/policy.yaml does not exist"),
    "bad policy": ({"policy_invalid": "policy.yaml:1:1: is empty"}, "error: policy: policy.yaml:1:1: is empty"),
    "policy of an author": (
        {"policy": place(SOUND.policy, writers={"user alice": POLICY})},
        "error: policy: user alice may write the sandboxes, and /etc/reconciler/policy.yaml",
    ),
    "policy below an author": (
        {"policy": place(SOUND.policy, writers={"user bob": POLICY, "user alice": POLICY.parent})},
        "error: policy: user alice may write the sandboxes, and /etc/reconciler",
    ),
    "policy for all": (
        {"policy": place(SOUND.policy, writers={"everyone": POLICY})},
        "error: policy: everyone may write the sandboxes, and /etc/reconciler/policy.yaml",
    ),
    "state for all": (
        {"state": place(SOUND.state, writers={"everyone": STATE})},
        "error: state: everyone may write /var/lib/reconciler",
    ),
    "state of an author": (
        {"state": place(SOUND.state, writers={"user alice": STATE})},
        "warning: state: user alice may write the sandboxes, and /var/lib/reconciler",
    ),
    "state that is a file": (
        {"state": place(SOUND.state, kind="file")},
        "error: state: /var/lib/reconciler is not a directory",
    ),
    "state of others": (
        {"state": place(SOUND.state, usable=False)},
        "error: state: /var/lib/reconciler cannot be written",
    ),
}


def test_a_sound_host() -> None:
    """Of a host on which all is well, every check says so, and none has advice."""
    assert troubles(SOUND) == []
    assert len(findings(SOUND)) == 22
    assert not any(finding.why or finding.remedy for finding in findings(SOUND))


@pytest.mark.parametrize(("changes", "trouble"), CASES.values(), ids=CASES.keys())
def test_one_trouble(changes: dict[str, Any], trouble: str) -> None:
    """Each trouble is one finding, which says what can be done, and why, unless it only could not be looked at."""
    host = replace(SOUND, **changes)
    assert troubles(host) == [trouble]
    (found,) = (finding for finding in findings(host) if finding.level is not Level.OK)
    assert found.remedy or "could not be checked" in found.text
    assert found.why or "could not be checked" in found.text


@pytest.mark.parametrize(
    ("changes", "trouble", "remedy"),
    [
        ({"socket": None}, "no engine: /run/docker.sock does not exist", "sudo systemctl start docker"),
        ({"socket": place(SOUND.socket, kind="file")}, "no engine: /run/docker.sock is not a socket", "# name"),
        (
            {"socket": place(SOUND.socket, usable=False)},
            "not allowed to use /run/docker.sock",
            "sudo usermod -aG docker",
        ),
        (
            {"socket": place(SOUND.socket, usable=False, group="root")},
            "not allowed to use /run/docker.sock",
            "# run it as root, or as the user whose engine it is",
        ),
        (
            {"socket": Unknown("Permission denied")},
            "/run/docker.sock: Permission denied",
            "# run it as root, or as the user whose engine it is",
        ),
        ({}, "no engine listens there", "sudo systemctl start docker"),
    ],
)
def test_no_engine(changes: dict[str, Any], trouble: str, remedy: str) -> None:
    """An engine that is not there is one finding; what needs none is still looked at, and nothing is made up."""
    host = replace(SOUND, engine=Unknown("no engine listens there"), network=Unknown("no engine"), **changes)
    assert troubles(host) == [f"error: engine: {trouble}"]
    (found,) = (finding for finding in findings(host) if finding.level is not Level.OK)
    assert found.remedy[0].startswith(remedy)
    checked = {finding.check for finding in findings(host)}
    assert {"inotify", "state's disk", "sandboxes", "watching", "policy", "state"} <= checked
    assert not {"seccomp", "limits", "bridge", "firewall", "disk quota"} & checked


def test_podman() -> None:
    """Podman's containers do not end with it."""
    host = replace(
        SOUND, **engine(facts=EngineFacts("Podman", "4.3.1", "1.41", ALL), storage_driver="overlay", live_restore=False)
    )
    assert troubles(host) == []


def test_commands_hold_for_any_path() -> None:
    """A path with a blank is one word of a command."""
    odd = Path("/srv/my sandboxes")
    host = replace(SOUND, directory=None, directory_path=odd, another_engine="ID", pin_file=odd / "engine")
    remedies = [line for finding in findings(host) for line in finding.remedy]
    assert {"mkdir -p '/srv/my sandboxes'", "rm '/srv/my sandboxes/engine'  # if this one is meant"} <= {*remedies}


def test_no_advice_names_a_variable_that_nothing_reads() -> None:
    """Where a command sets an environment variable, it is an option of reconciler's own."""
    advice = [
        line for changes, _ in CASES.values() for one in findings(replace(SOUND, **changes)) for line in one.remedy
    ]
    named = {name for line in advice for name in re.findall(r"^[A-Z_]+(?==)", line)}
    assert named <= {f"RECONCILER_{option.upper()}" for option in ("dir", "policy", "state", "host", "instance")}
