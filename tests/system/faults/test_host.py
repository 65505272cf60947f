"""Faults of the host that the controller runs on: disks, clocks, descriptors, and other controllers."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from tests.system.conftest import WITHOUT_CAPABILITIES, Operator, version
from tests.system.faults.proxy import Proxy, delayed
from tests.system.supervisor import Supervisor
from tests.waiting import eventually

CLOCK = """
import time
from pathlib import Path

right = time.time
time.time = lambda: right() + float(Path({offset!r}).read_text())
"""
"""What Python runs first, in a process whose clock is set: all but its time of day is as it was."""

NOBODY = 65534
"""A user and a group that are nobody's."""

SetClock = Callable[[int], None]


# --- 23: a state directory that cannot be written ------------------------------------------------------------------


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


Fault = Callable[[Path], AbstractContextManager[None]]


@contextmanager
def full(directory: Path) -> Iterator[None]:
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    yield
    ballast.unlink()


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """A mount above the directory: the one beneath is in use, and cannot be changed.

    So it is with this one for as long as the controller writes there, which it may do at any moment.
    """
    remount: list[str | Path] = ["mount", "-o", "remount,bind,ro", directory]
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    try:
        eventually(lambda: subprocess.run(remount, check=False).returncode == 0)
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


WHY: dict[Fault, str] = {full: "No space left on device", read_only: "Read-only file system"}


@pytest.mark.parametrize("fault", WHY)
def test_fault_23_statuses_cannot_be_written(operator: Operator, fault: Fault) -> None:
    """It goes on converging; what was written stays whole, and is brought up to date when that is possible."""
    operator.declare("web")
    operator.declare("removed")
    with small_disk(operator.state), operator.run() as process:
        operator.until_phase(web="Running", removed="Running")
        with fault(operator.state):
            operator.declare("web", **version("2"))
            operator.declare("new")
            operator.write("broken.yaml", "image: [")
            operator.remove("removed")
            operator.until(lambda: operator.versions() == {"web": "2", "new": ""})
            assert "cannot write" in operator.log
            told = operator.reconciler("status", code=1).stdout
            assert told.startswith("not written for ")
            assert f"s: {WHY[fault]} · controller alive (pid {process.pid}) · the rest is " in told
            assert operator.status("web")["name"] == "web"
            assert operator.controller()["pid"] == process.pid
            assert operator.journal()
        process.send_signal(signal.SIGHUP)
        operator.until(lambda: operator.phases() == {"web": "Running", "new": "Running", "broken": "Held"})
        assert operator.status("web")["container_id"] == operator.container("web")
        assert operator.reconciler("status").stdout.startswith("controller alive for ")


def test_fault_23_apply_on_a_full_disk(operator: Operator) -> None:
    """What it tells of what it did is what it knows; that nothing of it is written is an error, also for `status`."""
    operator.declare("web")
    with small_disk(operator.state):
        operator.reconciler("apply", code=0)
        with full(operator.state):
            operator.declare("web", **version("2"))
            operator.declare("new")
            done = operator.reconciler("apply", code=1)
            assert "new: create" in done.stdout
            assert f"cannot write to {operator.state}: No space left on device" in done.stderr
            assert operator.versions() == {"web": "2", "new": ""}
            assert "No space left on device · no controller is running" in operator.reconciler("status", code=1).stdout
        operator.reconciler("apply", code=0)
        assert "No space left" not in operator.reconciler("status", code=0).stdout


def test_fault_23_a_forbidden_state_directory(operator: Operator) -> None:
    """Who may not write the state directory is told so, and does nothing."""
    operator.declare("web")
    operator.state.mkdir(mode=0o500)
    operator.before = WITHOUT_CAPABILITIES
    said = operator.reconciler("run", code=1).stderr
    assert f"cannot use the state directory {operator.state}: Permission denied" in said
    assert operator.containers() == []


# --- 24: a clock that jumps ----------------------------------------------------------------------------------------


@pytest.fixture
def set_clock(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the clock of the controllers that the test starts, so many seconds before the right time."""
    directory = operator.root / "clock"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(CLOCK.format(offset=str(directory / "offset")))
    monkeypatch.setenv("PYTHONPATH", str(directory), prepend=os.pathsep)

    def set_clock(seconds: int) -> None:
        (directory / "new").write_text(str(seconds))
        (directory / "new").replace(directory / "offset")

    set_clock(0)
    return set_clock


@pytest.mark.parametrize("jump_seconds", [3600, -3600])
def test_fault_24_the_clock_jumps_an_hour(operator: Operator, set_clock: SetClock, jump_seconds: int) -> None:
    """Nothing is restarted for it, edits are handled, and what rests after a failure does not rest for an hour."""
    operator.declare("crash", command=["sh", "-c", "exit 3"])
    operator.declare("web")
    with operator.run():
        operator.until(lambda: operator.status("crash").get("failures", 0) >= 3)
        operator.until_phase(crash="Backoff", web="Running")
        restarts, started = operator.status("crash")["restarts"], operator.inspect("web")["State"]["StartedAt"]
        set_clock(jump_seconds)
        operator.until(lambda: operator.status("crash")["restarts"] > restarts)
        operator.declare("new")
        operator.until_phase(new="Running", web="Running")
        assert operator.inspect("web")["State"]["StartedAt"] == started
        told = operator.controller()["last_pass_at"]
        assert abs(told - (time.time() + jump_seconds)) < 600


# --- 25: other controllers, and what a process runs out of ---------------------------------------------------------


def test_fault_25_two_controllers_on_one_state(operator: Operator) -> None:
    """One state directory, one controller; and the first one is not disturbed."""
    with operator.run() as process:
        assert f"process {process.pid}" in operator.reconciler("run", code=1).stderr
        assert "state directory" in operator.reconciler("apply", code=1).stderr


def test_fault_25_two_controllers_with_states_of_their_own(operator: Operator) -> None:
    """Of two for one instance, engine and source only one is at work; when it has ended, the other goes on."""
    second = Operator(operator.root / "second", operator.engine, operator.instance)
    second.root.mkdir()
    second.directory.symlink_to(operator.directory)
    operator.declare("a", **version(1))
    with operator.run():
        operator.until_phase(a="Running")
        source = operator.controller()["source"]
        refused = second.reconciler("--source", source, "apply", code=1)
        assert "another controller manages instance" in refused.stderr
        operator.declare("a", **version(2))
        operator.until(lambda: operator.versions() == {"a": "2"} and len(operator.containers()) == 1)
    second.reconciler("--source", source, "plan", code=0)
    operator.declare("b")
    second.reconciler("--source", source, "apply", code=0)
    assert operator.versions() == {"a": "2", "b": ""}


def test_fault_25_a_lock_that_a_killed_controller_left(operator: Operator) -> None:
    """The file alone locks nothing, even when it names a process that lives."""
    operator.declare("web")
    killed = kill(operator)
    line = (operator.state / "lock").read_text()
    assert line.split()[0] == str(killed)
    (operator.state / "lock").write_text(line.replace(str(killed), str(os.getpid()), 1))
    container = operator.container("web")
    with operator.run():
        operator.until_phase(web="Running")
        assert operator.container("web") == container


def test_fault_25_that_it_was_killed_is_told_at_once(operator: Operator) -> None:
    """Also to who may only read; and who may not even do that is told so."""
    operator.declare("web")
    killed = kill(operator)
    operator.before = WITHOUT_CAPABILITIES
    for group, told in (0, f"the controller has died (pid {killed})"), (NOBODY, "cannot read"):
        for path in (operator.state, *operator.state.rglob("*")):
            os.chown(path, NOBODY, group)
        done = operator.reconciler("status", code=1)
        assert told in done.stdout + done.stderr
    operator.before = ()
    with operator.run() as process:
        for path in (operator.state, *operator.state.rglob("*")):
            os.chown(path, NOBODY, 0)
        operator.before = WITHOUT_CAPABILITIES
        told = operator.reconciler("status", code=0).stdout
        assert told.startswith("controller alive for ")
        assert f"(pid {process.pid})" in told


def kill(operator: Operator) -> int:
    """The id of a controller that was killed while `web` ran."""
    with suppress(AssertionError), operator.run() as process:
        operator.until_phase(web="Running")
        process.kill()
        process.wait()
    return process.pid


def test_fault_25_no_file_descriptors_left(operator: Operator) -> None:
    """While it can open nothing it does nothing wrong; with descriptors again, it does what it missed."""
    for name in ("edited", "killed", "removed"):
        operator.declare(name)
    with operator.run() as process:
        operator.until_phase(edited="Running", killed="Running", removed="Running")
        allowed, most = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, most))
        operator.declare("edited", **version("2"))
        operator.remove("removed")
        operator.api("POST", f"/containers/{operator.container('killed')}/kill")
        operator.until(lambda: "Too many open files" in operator.log)
        assert len(operator.containers()) == 3
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (allowed, most))
        operator.until(lambda: operator.versions() == {"edited": "2", "killed": ""}, 90)
        operator.until_phase(edited="Running", killed="Running")
        operator.until(lambda: len(operator.containers()) == 2)


def test_fault_25_a_loop_that_hangs_under_the_watchdog(
    operator: Operator, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that hangs no longer says that it is alive; killed for that and started again, it converges."""
    operator.declare("web")
    with Supervisor(operator.root / "notify.sock") as supervisor:
        for name, value in supervisor.environment.items():
            monkeypatch.setenv(name, value)
        with suppress(AssertionError), operator.run() as process:
            operator.until_phase(web="Running")
            operator.until(lambda: supervisor.said.count("WATCHDOG=1") > 2)
            proxy.on("GET /containers/json", delayed(15))
            operator.declare("web", **version("2"))
            operator.until(lambda: supervisor.misses_a_beat)
            process.send_signal(signal.SIGABRT)
            process.wait()
        assert process.returncode == -signal.SIGABRT
        proxy.heal()
        beats = supervisor.said.count("WATCHDOG=1")
        with operator.run():
            operator.until(lambda: operator.versions() == {"web": "2"} and len(operator.containers()) == 1)
            operator.until_phase(web="Running")
            operator.until(lambda: supervisor.said.count("WATCHDOG=1") > beats)
        assert supervisor.said[0] == "READY=1"
        assert supervisor.said.count("READY=1") == 2
        operator.until(lambda: supervisor.said[-1] == "STOPPING=1")
