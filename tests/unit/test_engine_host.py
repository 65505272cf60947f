"""What the kernel tells of the engine's host, from files that look like its own."""

from pathlib import Path

import pytest

from reconciler.engine.host import EngineHost
from reconciler.model.capabilities import ALL
from reconciler.model.container import BindMount
from reconciler.model.world import EngineFacts, Network

DOCKER = EngineFacts("Docker", "28.1.0", "1.49", ALL)
PODMAN = EngineFacts("Podman", "5.8.0", "1.41", ALL)

NETWORK = Network("reconciler.default", "n" * 64, bridge="br-0123456789ab")
HERE = "    lo: 0 0\nbr-0123456789ab: 12 3\n"

FILTER = "sys/net/bridge/bridge-nf-call-iptables"


@pytest.mark.parametrize(
    ("files", "engine", "why"),
    [
        ({"self/net/dev": HERE, FILTER: "1\n"}, DOCKER, None),
        ({"self/net/dev": HERE, FILTER: "0\n"}, DOCKER, "net.bridge.bridge-nf-call-iptables is 0"),
        ({"self/net/dev": HERE, "sys/net/core": ""}, DOCKER, "the kernel's module br_netfilter is missing"),
        ({"self/net/dev": HERE}, DOCKER, None),
        ({"self/net/dev": HERE, FILTER: "0\n"}, PODMAN, None),
        ({"self/net/dev": "lo: 0\nbr-0123456789abc: 0\n", FILTER: "0\n"}, DOCKER, None),
        ({FILTER: "0\n"}, DOCKER, None),
    ],
    ids=["on", "off", "no module", "hidden settings", "Podman", "a bridge elsewhere", "not Linux"],
)
def test_whether_the_rules_hold_on_a_bridge(
    tmp_path: Path, files: dict[str, str], engine: EngineFacts, why: str | None
) -> None:
    """Only where all of it can be seen is anything held against the host."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert EngineHost(None, {}, tmp_path).why_unfiltered(NETWORK, engine) == why


CONTAINER = "c" * 64
PID = 4242
OURS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 8:2 / /srv rw,relatime shared:2 master:1 - xfs /dev/sdb1 rw,prjquota
31 30 8:1 /data/deep /srv/bound rw - ext4 /dev/sda1 rw
32 30 0:40 / /srv/with\\040space rw - tmpfs tmpfs rw
33 30 0:41 / /srv/over rw - tmpfs tmpfs rw
34 30 0:42 / /srv/over rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("source", "line", "same"),
    [
        ("/home/x", "8:1 /home/x /data ro", True),
        ("/home/x", "8:1 /home/x /data ro,relatime", True),
        ("/home/x", "8:1 / /data ro", False),
        ("/home/x", "8:1 /home/xy /data ro", False),
        ("/home/x", "8:1 /home/x//deleted /data ro", False),
        ("/home/x", "8:2 /home/x /data ro", False),
        ("/home/x", "8:1 /home/x /data rw", False),
        ("/srv/x", "8:2 /x /data ro", True),
        ("/srv", "8:2 / /data ro", True),
        ("/srv/x", "8:1 /srv/x /data ro", False),
        ("/srv/bound", "8:1 /data/deep /data ro", True),
        ("/srv/bound/x y", r"8:1 /data/deep/x\040y /data ro", True),
        ("/srv/with space/x", "0:40 /x /data ro", True),
        ("/srv/over/x", "0:42 /x /data ro", True),
        ("/srv/over/x", "0:41 /x /data ro", False),
        ("/home/x", "8:1 /home/x /mnt/elsewhere ro", True),
        ("/home/x", "8:1 /home /mnt/elsewhere ro", False),
        ("/home/x", "8:1 /home/x /data ro\n8:1 / /data ro", False),
        ("/home/x", "8:1 /home/x /data ro\n8:1 / /data/inside ro", True),
    ],
)
def test_whether_what_is_mounted_is_what_was_judged(tmp_path: Path, source: str, line: str, *, same: bool) -> None:
    """By file system, by the place in it, and by whether it can be written; a target may be a link of the image."""
    host = host_with_process(tmp_path, line)
    volume = BindMount(source, "/data", read_only=True)
    assert host.exchanged(CONTAINER, PID, [volume]) == (() if same else (volume,))


def test_what_may_be_written_may_be_read_only_too(tmp_path: Path) -> None:
    """As on a file system of the host that is mounted read-only; the other volumes are not held against it."""
    host = host_with_process(tmp_path, "8:1 /home/x /data ro\n8:1 /etc /other rw")
    good, bad = BindMount("/home/x", "/data", read_only=False), BindMount("/home/y", "/other", read_only=False)
    assert host.exchanged(CONTAINER, PID, [good, bad]) == (bad,)


@pytest.mark.parametrize("missing", ["another's process", "cgroup", "mountinfo", "self"])
def test_nothing_is_concluded_of_what_is_not_known(tmp_path: Path, missing: str) -> None:
    """Another process has the number here, or none: the engine is on another machine, or the process has ended."""
    host = host_with_process(tmp_path, "8:1 / /data ro", "d" * 64 if missing == "another's process" else CONTAINER)
    if missing == "self":
        (tmp_path / "self" / "mountinfo").unlink()
    if missing in {"cgroup", "mountinfo"}:
        (tmp_path / str(PID) / missing).unlink()
    assert host.exchanged(CONTAINER, PID, [BindMount("/home/x", "/data", read_only=True)]) == ()


def host_with_process(proc: Path, lines: str, cgroup: str = CONTAINER) -> EngineHost:
    """A process in that cgroup, for which this is mounted: device, root, point and options, a line each."""
    for process in (str(PID), "self"):
        (proc / process).mkdir()
    (proc / "self" / "mountinfo").write_text(OURS)
    told = [f"99 98 {line} - fs source rw" for line in ["0:99 / / rw", *lines.split("\n")]]
    (proc / str(PID) / "mountinfo").write_text("\n".join(told) + "\n")
    (proc / str(PID) / "cgroup").write_text(f"0::/system.slice/docker-{cgroup}.scope\n")
    return EngineHost(None, {}, proc)
