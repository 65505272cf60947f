"""`make run` in a clone, at a terminal: what it says, and that nothing of it outlives what has started it."""

import fcntl
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine_api import ask
from tests.private_engine import PrivateEngine
from tests.system.clone import Clone, Terminal
from tests.waiting import eventually

ALONE = """\
ip link set lo up
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
"""
"""For a network and mounts of its own: no engine of this machine is found, and its own is in nobody's way."""

NETWORK = """{
ip -brief link
iptables-save | sed -n 's/ *\\[.*//; /^-A/p; /DROP$/p; /-$/p'
cat /proc/sys/net/ipv4/ip_forward
}"""
"""Links, rules, chains, what is dropped if no rule says otherwise, and whether packets are passed on."""

CTRL_C = b"\x03"


@pytest.fixture
def clone(tmp_path: Path, private_engine: PrivateEngine, engine_instance: str) -> Clone:
    environment = {"RECONCILER_HOST": private_engine.host, "RECONCILER_INSTANCE": engine_instance}
    return Clone.at(tmp_path / "clone", environment)


@pytest.fixture
def alone() -> Iterator[None]:
    """No other test starts `make run`'s own engine meanwhile: it has one name, and its end would end this one's."""
    with Path(__file__).open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def kill_parent(terminal: Terminal) -> None:
    terminal.process.kill()
    terminal.process.wait()


@pytest.mark.parametrize(
    ("run", "end"),
    [
        pytest.param("exec make run", Terminal.close, id="the-terminal"),
        pytest.param("make run; exit", Terminal.close, id="the-terminal-of-a-shell"),
        pytest.param("exec make run", kill_parent, id="make"),
    ],
)
@pytest.mark.usefixtures("private_engine", "alone")  # with the first, all that it needs is installed
def test_nothing_outlives_what_has_started_it(tmp_path: Path, run: str, end: Callable[[Terminal], None]) -> None:
    """In a terminal that is closed, and without its parent, `make run` ends with the sandboxes and their engine."""
    clone = Clone.at(tmp_path / "clone", {})
    with clone.terminal("unshare", "--net", "--mount", "sh", "-ec", ALONE + run) as terminal:
        eventually(clone.run_all, 180)
        mounts = mounts_of(terminal.process.pid)
        assert len(list(those_in(mounts))) > 4
        end(terminal)
        eventually(lambda: not list(those_in(mounts)), 180)
    assert not [*Path("/sys/fs/cgroup").glob("*/reconciler-engine"), *Path("/sys/fs/cgroup").glob("reconciler-engine")]
    assert clone.status("hello").phase == "Running"


@pytest.mark.parametrize(
    ("first", "there"),
    [("iptables -N DOCKER-USER", "DOCKER-USER"), ("echo 0 > /proc/sys/net/ipv4/ip_forward", "\n0\n")],
    ids=["a Docker was there", "no rule was there and nothing was forwarded"],
)
@pytest.mark.usefixtures("private_engine", "alone")
def test_the_network_is_left_as_it_was(tmp_path: Path, first: str, there: str) -> None:
    """With an engine of its own, `make run` takes its bridges and rules away; what a Docker had made before stays.

    Also where the tools for that are not in the user's own PATH.
    """
    clone, before, after = Clone.at(tmp_path / "clone", {}), tmp_path / "before", tmp_path / "after"
    make = "PATH=$(echo $PATH | tr : '\n' | grep -v sbin | paste -sd :) make run || true"
    run = f"trap : INT; {first}; {NETWORK} > {before}; {make}; {NETWORK} > {after}"
    with clone.terminal("unshare", "--net", "--mount", "sh", "-ec", ALONE + run) as terminal:
        eventually(clone.run_all, 180)
        terminal.press(CTRL_C)
        terminal.process.wait(180)
    assert there in before.read_text()
    assert after.read_text() == before.read_text()


def test_ctrl_c_says_what_runs_on(clone: Clone, private_engine: PrivateEngine) -> None:
    """On an engine that was there before, the sandboxes run on; that is said, with what ends them."""
    with clone.terminal("make", "run") as terminal:
        eventually(clone.run_all)
        assert f"\nexport PATH={clone.root}/.venv/bin:$PATH\nexport RECONCILER_HOST={private_engine.host}\n" in (
            terminal.said()
        )
        terminal.press(CTRL_C)
        terminal.process.wait(60)
        told = re.search(r"these run on: (.*); to end them: docker --host (\S+) rm .*--filter (\S+)\)", terminal.said())
    assert told
    names, host, label = told.groups()
    assert (names, host) == ("clock, hello", private_engine.host)
    rows = json.loads(ask(host, "GET", "/containers/json", {"filters": json.dumps({"label": [label[6:]]})}))
    assert sorted(row["Labels"]["reconciler.sandbox"] for row in rows) == ["clock", "hello"]


def those_in(mounts: str) -> Iterator[Path]:
    """The processes that see these mounts: a controller and an engine, but not its containers."""
    return (process for process in Path("/proc").glob("[0-9]*") if mounts_of(int(process.name)) == mounts)


def mounts_of(pid: int) -> str:
    """Empty for a process that is gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""
