"""A Docker Engine of our own: for the tests, and for `make run` where there is none.

The standard library only, as it also runs before the environment is there. It needs root, and on a bare Debian it
installs what is missing.
"""

import atexit
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.busybox_image import static_busybox
from tests.engine_api import answers

PACKAGES = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "umount": "mount",
}
"""What an engine of our own needs, and the Debian package that has it."""

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"

CGROUPS = Path("/sys/fs/cgroup")
PODMAN_CGROUPS = "libpod_parent"

ENTER_ROOT = """
set -e
umount -q /sys/fs/cgroup/unified || true
for directory in etc usr; do mount --bind "$0/$directory" "/$directory"; done
for directory in run var/lib dev/shm; do mount -t tmpfs tmpfs "/$directory"; done
"""
"""What makes a mount namespace another Debian's, where an engine finds none of this machine's files and leaves none.

Without the hierarchy of cgroups of version 2 beside those of version 1, as crun does not start with both.
"""

FETCH = """
import sys, urllib.request
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sys.stdout.write(direct.open(sys.argv[1], timeout=5).read().decode())
"""

START_SECONDS = 60
STOP_SECONDS = 60
END_SECONDS = 20

PR_SET_PDEATHSIG = 1


class NoEngineError(Exception):
    """An engine of our own cannot be had here; the text says what to do."""


def say(text: str, label: str = "engine: ") -> None:
    """To people; a terminal that was closed meanwhile is no reason to stop."""
    with suppress(OSError):
        print(label + text, file=sys.stderr, flush=True)


def end_with_parent() -> None:
    """Linux sends SIGTERM to this process when the thread that has started it is gone, however that came about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def install() -> None:
    """Installs what is missing, and says so. Raises `NoEngineError` where that cannot be done."""
    missing = [package for tool, package in PACKAGES.items() if not shutil.which(tool, path=PATH)]
    if static_busybox() is None:
        missing.append("busybox-static")
    if os.geteuid() != 0:
        raise NoEngineError("a Docker Engine of our own needs root; start Docker, or run this as root")
    if missing:
        install_packages(*missing)


def install_packages(*packages: str) -> None:
    """Installs Debian packages, and says so; one process at a time, as apt-get does not wait for another one.

    Raises `NoEngineError` where that cannot be done.
    """
    if not shutil.which("apt-get", path=PATH):
        raise NoEngineError(f"there is no apt-get to install {', '.join(packages)} with; install them by hand")
    say(f"installing {', '.join(packages)} with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with Path(__file__).open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *packages]):
            if subprocess.run(["apt-get", *command], env=environment, stdout=sys.stderr, check=False).returncode:
                raise NoEngineError(f"apt-get {command[0]} failed; see above")


@dataclass(frozen=True)
class Program:
    """What runs as an engine: `dockerd` or `podman`, this machine's own or the one in another Debian's `root`."""

    name: str = "dockerd"
    flags: tuple[str, ...] = ()
    root: Path | None = None


class PrivateEngine:
    """One Docker Engine, or a Podman that speaks its API, with everything in directories of its own.

    `isolated` gives it a network namespace of its own too: nothing of the host's network is touched, and published
    ports are reached from inside only, with `get` or with a command that begins with `inside`.
    """

    def __init__(self, name: str, data: Path, run: Path, *, isolated: bool, program: Program = Program()) -> None:
        self.host = f"unix://{run}/docker.sock"
        self.inside: tuple[str, ...] = ("nsenter", f"--net=/run/netns/{name}") if isolated else ()
        self.data = data
        self.run = run
        self._name = name
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def for_tests(cls, program: Program = Program()) -> "PrivateEngine":
        """Isolated, empty, in a new directory, and gone for good when this process ends."""
        base = Path(tempfile.mkdtemp(prefix="rec-", dir="/tmp"))
        base.chmod(0o711)  # with users remapped, an engine wants its data to be reachable for them
        engine = cls(base.name, base / "data", base / "run", isolated=True, program=program)
        atexit.register(engine.erase)
        return engine

    @property
    def pid(self) -> int:
        """Of the engine's own process, for what tests do to it."""
        if self._process is None:
            raise RuntimeError("the engine was never started")
        return self._process.pid

    def start(self, *flags: str) -> None:
        """Starts it, with more `flags` for its program, and returns when it answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(parents=True, exist_ok=True)
        self._make_namespaces()
        self._forget_the_dead()
        (self.run / "daemon.json").write_text("{}")
        log = self.run / "engine.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.inside, *self._in_root(), *self._command(), *self.program.flags, *flags],
                env={**os.environ, "PATH": PATH},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C at the terminal is not for it
                preexec_fn=None if self.inside else end_with_parent,  # noqa: PLW1509 - we have one thread then
            )
        if not _until(lambda: answers(self.host) or not self._alive(), START_SECONDS) or not self._alive():
            end = log.read_text(errors="replace")[-2000:]
            raise NoEngineError(f"{self.program.name} did not start; the end of {log}:\n{end}")

    def _command(self) -> list[str]:
        return self._podman() if self.program.name == "podman" else self._dockerd()

    def _dockerd(self) -> list[str]:
        return [
            "dockerd",
            *("--config-file", f"{self.run}/daemon.json"),  # the machine's own file must not speak for this one
            *("--data-root", str(self.data)),
            *("--exec-root", f"{self.run}/exec"),
            *("--host", self.host),
            *("--pidfile", f"{self.run}/docker.pid"),
            *("--cgroup-parent", f"/{self._name}"),
            *("--exec-opt", "native.cgroupdriver=cgroupfs"),
        ]

    def _podman(self) -> list[str]:
        return [
            "podman",
            *("--root", str(self.data)),
            *("--runroot", f"{self.run}/exec"),
            *("--tmpdir", f"{self.run}/tmp"),
            *("--network-config-dir", f"{self.run}/networks"),
            *("--cgroup-manager", "cgroupfs"),
            *("--events-backend", "file"),
            *("system", "service", "--time=0", self.host),
        ]

    def stop(self) -> None:
        """Ends it as an orderly shutdown does; its containers stop, images and containers stay."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends it as a crash does; what it left behind is cleared away by the next start."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def restart(self, *flags: str) -> None:
        self.stop()
        self.start(*flags)

    def get(self, port: int, path: str = "/") -> str:
        """What a published port answers to HTTP. Raises `ConnectionError` when there is no answer."""
        url = f"http://127.0.0.1:{port}{path}"
        done = subprocess.run(
            [*self.inside, sys.executable, "-c", FETCH, url], capture_output=True, text=True, timeout=30, check=False
        )
        if done.returncode:
            raise ConnectionError(f"{url}: {done.stderr.strip().rpartition(chr(10))[2]}")
        return done.stdout

    def end(self) -> None:
        """Stops it, and leaves nothing of it but its data, even when it had crashed."""
        self.stop()
        self._end_processes()
        self._unmount()
        self._remove_shim_sockets()
        self._remove_cgroups()
        if self.inside and (Path("/run/netns") / self._name).exists():
            _run("ip", "netns", "delete", self._name)
        shutil.rmtree(self.run, ignore_errors=True)

    def erase(self) -> None:
        """Leaves nothing of it at all."""
        if self.data.parent.exists():
            self.end()
            shutil.rmtree(self.data.parent)

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _make_namespaces(self) -> None:
        """Entered without `ip netns exec`, which mounts another /sys, without the cgroups."""
        if self.inside and not (Path("/run/netns") / self._name).exists():
            _run("ip", "netns", "add", self._name)
            _run("ip", "-n", self._name, "link", "set", "lo", "up")
        if self.program.root and not self._mounts.exists():
            self._mounts.parent.mkdir()
            self._mounts.touch()
            _run("mount", "--bind", self._mounts.parent, self._mounts.parent)
            _run("mount", "--make-private", self._mounts.parent)
            unshare = ("unshare", f"--mount={self._mounts}", "--propagation", "slave")
            _run(*unshare, "sh", "-c", ENTER_ROOT, self.program.root)

    @property
    def _mounts(self) -> Path:
        """The mount namespace for all of its lives, as containers that outlive their engine keep theirs."""
        return self.run / "mounts/namespace"

    def _in_root(self) -> list[str]:
        return ["nsenter", f"--mount={self._mounts}"] if self.program.root else []

    def _forget_the_dead(self) -> None:
        """After a crash the pid files stay, and may name a process that lives: an engine would not start."""
        for file in (self.run / "docker.pid", self.run / "exec/containerd/containerd.pid"):
            if file.exists():
                pid = int(file.read_text())
                if str(self.run) in _command_line(pid):
                    os.kill(pid, signal.SIGKILL)
                file.unlink()

    def _end_processes(self) -> None:
        def none_left() -> bool:
            left = list(self._processes())
            for pid in left:
                _kill(pid)
            return not left

        if not _until(none_left, END_SECONDS):
            raise RuntimeError(f"processes of {self._name} do not end: {list(self._processes())}")

    def _processes(self) -> Iterator[int]:
        """The engine's own name its directory, those of the containers are in its cgroups."""
        for directory in Path("/proc").glob("[0-9]*"):
            if f"{self.run}/" in _command_line(int(directory.name)):
                yield int(directory.name)
        for cgroup in self._cgroups():
            for file in cgroup.rglob("cgroup.procs"):
                yield from map(int, file.read_text().split())

    def _unmount(self) -> None:
        """The innermost first; those still in use vanish with their last user."""
        mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in reversed(mounted):
            if any(Path(point).is_relative_to(directory) for directory in (self.run, self.data)):
                _run("umount", "--lazy", point)

    def _remove_shim_sockets(self) -> None:
        """The only files outside of our directories: killed shims cannot remove them."""
        for file in self.run.glob("exec/containerd/daemon/*/moby/*/address"):
            Path(file.read_text().removeprefix("unix://")).unlink(missing_ok=True)

    def _cgroups(self) -> list[Path]:
        """One for each hierarchy of version 1, or the one of version 2; of Podman those of each container."""
        containers = [path.name for path in self.data.glob("overlay-containers/*/")]
        podmans = [f"{PODMAN_CGROUPS}/libpod-{kind}{name}" for name in containers for kind in ("", "conmon-")]
        names = [self._name, *podmans]
        return [path for name in names for path in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")) if path.is_dir()]

    def _remove_cgroups(self) -> None:
        for top in self._cgroups():
            for cgroup in (*sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True), top):
                cgroup.rmdir()
        for shared in (f"{PODMAN_CGROUPS}/conmon", PODMAN_CGROUPS):
            for cgroup in (CGROUPS / shared, *CGROUPS.glob(f"*/{shared}")):
                with suppress(OSError):  # there is none, or another Podman uses it
                    cgroup.rmdir()


def _run(*command: str | Path) -> None:
    subprocess.run(command, env={**os.environ, "PATH": PATH}, check=True)


def _until(true: Callable[[], bool], seconds: float) -> bool:
    """Waits until `true`, and says whether it came to be."""
    deadline = time.monotonic() + seconds
    while not (is_true := true()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_true


def _command_line(pid: int) -> str:
    """Empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
