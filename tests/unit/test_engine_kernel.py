"""What is read of a container from `/proc` and the cgroups of either version, from files that look like theirs."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.host import EngineHost
from reconciler.engine.kernel import read_kernel
from reconciler.model.kernel import KernelFacts, Process
from reconciler.model.world import State
from tests.scene import Scene

CONTAINER = "c" * 64
FIRST = 4242
UPTIME = 5000
TICKS = 100
OWN = Process(FIRST, own=True, user="1000:1000", capabilities=0, no_new_privileges=True, seccomp=True)
LIMITED = KernelFacts(64 << 20, 64 << 20, 0.5, 50, (OWN,))

ONE = {
    "memory/docker/C/memory.limit_in_bytes": "67108864",
    "memory/docker/C/memory.memsw.limit_in_bytes": "67108864",
    "memory/docker/C/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0",
    "cpu/docker/C/cpu.cfs_quota_us": "50000",
    "cpu/docker/C/cpu.cfs_period_us": "100000",
    "pids/docker/C/pids.max": "50",
    "memory/docker/C/cgroup.procs": f"{FIRST}",
}
PLACE_ONE = "9:name=systemd:/docker/C\n4:memory:/docker/C\n3:cpu,cpuacct:/docker/C\n2:pids:/docker/C\n0::/\n"
TWO = {
    "system.slice/docker-C.scope/memory.max": "67108864",
    "system.slice/docker-C.scope/memory.swap.max": "0",
    "system.slice/docker-C.scope/memory.events": "low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\noom_group_kill 0",
    "system.slice/docker-C.scope/cpu.max": "50000 100000",
    "system.slice/docker-C.scope/pids.max": "50",
    "system.slice/docker-C.scope/cgroup.procs": f"{FIRST}",
}
PLACE_TWO = "0::/system.slice/docker-C.scope\n"
SCOPE = "system.slice/docker-C.scope"


class Kernel:
    """The kernel's file systems, in a directory."""

    def __init__(self, root: Path, files: Mapping[str, str], place: str) -> None:
        self.proc, self.cgroups = root / "proc", root / "cgroup"
        for name, text in files.items():
            self.say(name, text)
        self.process(FIRST)
        for name, text in {"uid_map": "0 0 4294967295", "gid_map": "0 0 4294967295", "cgroup": place}.items():
            _write(self.proc / str(FIRST) / name, text.replace("C", CONTAINER))
        _write(self.proc / "uptime", f"{UPTIME}.25 9000.00\n")

    def say(self, name: str, text: str) -> None:
        _write(self.cgroups / name.replace("C", CONTAINER), text)

    def process(self, pid: int, *, parent: int = 1, age: float = 60, state: str = "S", **said: str) -> None:
        """`said` is what its status says otherwise than that of a sandbox's own."""
        none = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0000000000000000")
        usual = {"Name": "sleep", "PPid": str(parent), "Uid": "1000\t1000\t1000\t1000", "Gid": "1000\t1000\t1000\t1000"}
        told = {**usual, **none, "NoNewPrivs": "1", "Seccomp": "2", **said}
        _write(self.proc / str(pid) / "status", "".join(f"{key}:\t{value}\n" for key, value in told.items()))
        numbers = " ".join(["0"] * 18)
        started = int((UPTIME - age) * TICKS)
        _write(self.proc / str(pid) / "uid_map", "0 0 4294967295")
        _write(self.proc / str(pid) / "stat", f"{pid} (a) S 1 \xff) {state} {numbers} {started} 0 0\n")

    def read(self) -> KernelFacts | None:
        return read_kernel(CONTAINER, FIRST, self.proc, self.cgroups)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="latin-1")


@pytest.fixture(params=["version 1", "version 2", "both"])
def kernel(tmp_path: Path, request: pytest.FixtureRequest) -> Kernel:
    match request.param:
        case "version 1":
            return Kernel(tmp_path, ONE, PLACE_ONE)
        case "version 2":
            return Kernel(tmp_path, TWO, PLACE_TWO)
    some = {name: text for name, text in ONE.items() if not name.startswith("pids")}
    mixed = some | {"unified/docker/C/pids.max": "50"}
    return Kernel(tmp_path, mixed, PLACE_ONE.replace("2:pids:/docker/C\n0::/", "0::/docker/C"))


@pytest.fixture
def newest(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path, TWO, PLACE_TWO)


def test_limits_and_processes_are_read_from_either_version(kernel: Kernel) -> None:
    """And from a host that has both."""
    assert kernel.read() == LIMITED


@pytest.mark.parametrize(
    ("place", "file", "text", "knob", "value"),
    [
        (PLACE_ONE, "memory/docker/C/memory.limit_in_bytes", "9223372036854771712", "mem_limit", inf),
        (PLACE_ONE, "memory/docker/C/memory.memsw.limit_in_bytes", "134217728", "memswap_limit", 128 << 20),
        (PLACE_ONE, "memory/docker/C/memory.oom_control", "oom_kill_disable 0\noom_kill 3", "oom_kills", 3),
        (PLACE_ONE, "memory/docker/C/memory.oom_control", "oom_kill_disable 0", "oom_kills", 0),
        (PLACE_ONE, "cpu/docker/C/cpu.cfs_quota_us", "-1", "cpus", inf),
        (PLACE_ONE, "pids/docker/C/pids.max", "max", "pids_limit", inf),
        (PLACE_TWO, f"{SCOPE}/memory.swap.max", "1048576", "memswap_limit", 65 << 20),
        (PLACE_TWO, f"{SCOPE}/memory.swap.max", "max", "memswap_limit", inf),
        (PLACE_TWO, f"{SCOPE}/memory.events", "oom 9\noom_kill 2", "oom_kills", 2),
        (PLACE_TWO, f"{SCOPE}/cpu.max", "max 100000", "cpus", inf),
        (PLACE_TWO, f"{SCOPE}/pids.max", "max", "pids_limit", inf),
    ],
)
def test_what_is_otherwise(tmp_path: Path, place: str, file: str, text: str, knob: str, value: float) -> None:
    """One file says something else than what the sandbox was given."""
    kernel = Kernel(tmp_path, ONE if place is PLACE_ONE else TWO, place)
    kernel.say(file, text)
    facts = kernel.read()
    assert facts is not None
    assert getattr(facts, knob) == value
    assert replace(facts, **{knob: getattr(LIMITED, knob)}) == LIMITED


def test_of_two_cgroups_the_lower_limit_holds(tmp_path: Path) -> None:
    """Some engines limit a cgroup, and have the processes in another one below it."""
    kernel = Kernel(tmp_path, TWO, "0::/system.slice/docker-C.scope/container\n")
    for name in ("memory.max", "memory.swap.max", "pids.max"):
        kernel.say(f"{SCOPE}/container/{name}", "max")
    kernel.say(f"{SCOPE}/container/cpu.max", "25000 100000")
    kernel.say(f"{SCOPE}/cgroup.procs", "")
    kernel.say(f"{SCOPE}/container/cgroup.procs", f"{FIRST}")
    assert kernel.read() == replace(LIMITED, cpus=0.25)


@pytest.mark.parametrize("file", ["memory.swap.max", "cpu.max", "pids.max"])
def test_what_cannot_be_read_is_not_known(newest: Kernel, file: str) -> None:
    """As where a controller is not given to a rootless engine; the rest is."""
    (newest.cgroups / SCOPE.replace("C", CONTAINER) / file).unlink()
    facts = newest.read()
    assert facts is not None
    knobs = {"memory.swap.max": "memswap_limit", "cpu.max": "cpus", "pids.max": "pids_limit"}
    unknown: dict[str, Any] = {knobs[file]: None}
    assert facts == replace(LIMITED, **unknown)


@pytest.mark.parametrize(
    ("said", "other"),
    [
        ({"Uid": "1000\t0\t1000\t1000"}, {"user": "0:1000"}),
        ({"Gid": "1000\t1000\t5\t1000"}, {"user": "1000:5"}),
        ({"CapBnd": "000001ffffffffff"}, {"capabilities": 0x1FFFFFFFFFF}),
        ({"CapAmb": "0000000000000400"}, {"capabilities": 1024}),
        ({"NoNewPrivs": "0"}, {"no_new_privileges": False}),
        ({"Seccomp": "0"}, {"seccomp": False}),
        ({"Name": "x\\nUid:\t0"}, {}),
    ],
)
def test_the_rights_of_each_process_are_told(newest: Kernel, said: dict[str, Any], other: dict[str, Any]) -> None:
    """One whose rights are those of the first is of the same kind, and is not told."""
    newest.process(4250, parent=FIRST)
    newest.process(4251, parent=4250, **said)
    newest.say(f"{SCOPE}/cgroup.procs", f"4251\n4250\n{FIRST}")
    facts = newest.read()
    assert facts is not None
    assert {*facts.processes} == {OWN, *([replace(OWN, pid=4251, **other)] if other else [])}


def test_whose_process_it_is(newest: Kernel) -> None:
    """What descends from the first process is the sandbox's own; what was put into its cgroup is not."""
    for pid, parent in ((4300, 1), (4301, 4300), (4302, 4303), (4303, FIRST)):
        newest.process(pid, parent=parent, Uid="0\t0\t0\t0")
    newest.say(f"{SCOPE}/deeper/cgroup.procs", "4300\n4301\n4302")
    newest.say(f"{SCOPE}/cgroup.procs", f"{FIRST}\n4303")
    facts = newest.read()
    assert facts is not None
    assert {(one.pid, one.own) for one in facts.processes} == {(FIRST, True), (4300, False), (4302, True)}


@pytest.mark.parametrize(
    ("age", "state", "counts"), [(10.5, "S", True), (9.5, "S", False), (60, "Z", False), (60, "R", True)]
)
def test_what_is_young_or_dead_does_not_count(newest: Kernel, age: float, state: str, counts: bool) -> None:
    """A health check, and a shell for somebody, begin as root; a zombie does nothing more."""
    newest.process(4300, age=age, state=state, Uid="0\t0\t0\t0")
    newest.say(f"{SCOPE}/cgroup.procs", f"{FIRST}\n4300")
    facts = newest.read()
    assert facts is not None
    assert (4300 in [one.pid for one in facts.processes]) is counts


def test_a_process_that_ends_meanwhile_is_left_out(newest: Kernel) -> None:
    """All others are told."""
    newest.say(f"{SCOPE}/cgroup.procs", f"{FIRST}\n4300")
    assert newest.read() == LIMITED


@pytest.mark.parametrize(
    ("uids", "told"),
    [("0 100000 65536", "1000:1000"), ("0 0 1\n1 200000 65536", "101000 of the host:101000 of the host")],
)
def test_with_users_remapped_ids_are_those_inside(newest: Kernel, uids: str, told: str) -> None:
    """By the first process's own map; an id that is not in it is nobody's inside."""
    newest.process(FIRST, Uid="101000\t101000\t101000\t101000", Gid="101000\t101000\t101000\t101000")
    for name in ("uid_map", "gid_map"):
        _write(newest.proc / str(FIRST) / name, uids)
    facts = newest.read()
    assert facts is not None
    assert [one.user for one in facts.processes] == [told]


def test_what_confines_it_is_told(newest: Kernel) -> None:
    """The label of AppArmor or of SELinux."""
    _write(newest.proc / str(FIRST) / "attr/current", "docker-default (enforce)\n")
    assert str(newest.read()) == "read, docker-default (enforce)"


def test_capabilities_in_a_user_namespace_of_its_own_are_none(newest: Kernel) -> None:
    """As a browser makes it where the engine's filter lets it: they hold for nothing of the container's."""
    newest.process(4250, parent=FIRST, CapEff="000001ffffffffff", CapBnd="000001ffffffffff")
    newest.say(f"{SCOPE}/cgroup.procs", f"{FIRST}\n4250")
    _write(newest.proc / "4250/uid_map", "0 1000 1\n")
    assert newest.read() == LIMITED


@pytest.mark.parametrize(
    "missing", ["the process", "its ids", "the cgroup", "its processes", "another's process", "uptime", "form"]
)
def test_of_what_is_not_seen_nothing_is_told(newest: Kernel, missing: str) -> None:
    """It has ended, or runs in another kernel, where the number is nobody's or another's."""
    first = newest.proc / str(FIRST)
    match missing:
        case "the process":
            (first / "cgroup").unlink()
        case "its ids":
            (first / "uid_map").unlink()
        case "the cgroup":
            _write(first / "cgroup", f"0::/../../docker/{CONTAINER}\n")
        case "its processes":
            newest.say(f"{SCOPE}/cgroup.procs", "")
            (newest.cgroups / SCOPE.replace("C", CONTAINER)).rename(newest.cgroups / "gone")
        case "another's process":
            _write(first / "cgroup", "0::/user.slice\n")
        case "uptime":
            (newest.proc / "uptime").unlink()
        case "form":
            newest.say(f"{SCOPE}/memory.max", "much")
    assert newest.read() is None


# --- the engine's host -----------------------------------------------------------------------------------------------


def host(kernel: Kernel, remote: str | None = None) -> EngineHost:
    return EngineHost(None, {}, kernel.proc, remote, kernel.cgroups)


@pytest.mark.parametrize(
    ("runtime", "state", "told"),
    [
        (None, State.RUNNING, LIMITED),
        ("runc", State.PAUSED, LIMITED),
        ("crun", State.EXITED, None),
        ("runsc", State.RUNNING, replace(LIMITED, processes=(), why_unknown="its kernel may be runsc's own")),
        ("runsc", State.CREATED, KernelFacts(why_unknown="its kernel may be runsc's own")),
    ],
)
def test_of_which_containers_the_kernel_tells(
    newest: Kernel, runtime: str | None, state: State, told: KernelFacts | None
) -> None:
    """Of those that run, and of a runtime with a kernel of its own only the limits."""
    inspection = Scene().container("web", state).inspection
    assert inspection.spec is not None
    inspection = replace(inspection, pid=FIRST, spec=replace(inspection.spec, runtime=runtime))
    assert host(newest).kernel(CONTAINER, inspection) == told


def test_of_another_host_nothing_is_known(newest: Kernel) -> None:
    """Whatever process has the number here."""
    inspection = replace(Scene().container("web").inspection, pid=FIRST)
    assert str(host(newest, "box").kernel(CONTAINER, inspection)) == "unknown: the engine is on another host: box"
