"""Linux in user mode: another kernel on this machine, whose only cgroups are of version 2.

It runs one command, as root, on this machine's files, of which it can change none but those in one directory. It has a
network of its own, without a way out, and no address translation.
"""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.debian_root import debian_root
from tests.private_engine import CGROUPS, PATH, NoEngineError

DEBIAN = "testing"
"""Whose kernel is run: that of Debian 13 has panicked on these machines."""
KERNEL = "usr/bin/linux.uml"
MEMORY = "3G"
HERE = "mnt"
"""Where the other Debian's root, in which the kernel's program finds its libraries, has this machine's files."""

BOOT = """
set -e
for directory in proc dev; do mount --rbind "/$directory" "$0/$directory"; done
mount --rbind / "$0/mnt"
exec chroot "$0" env TMPDIR=/dev/shm /usr/bin/linux.uml "$@"
"""

MOUNTS = (
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/run"),
    ("tmpfs", "/var/tmp"),
)

LOAD_MODULE = """\
#!/bin/sh
exec chroot {root} modprobe "$@"
"""

POWER_OFF = 0x4321FEDC


def run(command: Sequence[str], shared: Path) -> int:
    """Returns the command's exit code; `shared` is the directory that it can write to, under the same path.

    Raises `NoEngineError` where such a kernel cannot be had, or ends early.
    """
    root = debian_root(DEBIAN)
    if not (root / KERNEL).exists():
        raise NoEngineError(f"{root} is of a time before it had a kernel; remove it, to have it made anew")
    order, code = shared / "order.json", shared / "code"
    order.write_text(json.dumps({"command": command, "directory": str(Path.cwd())}))
    kernel = (f"mem={MEMORY}", "seccomp=auto", "quiet", "con=null", "con0=null,fd:1")
    files = ("root=/dev/root", "rootfstype=hostfs", f"rootflags=/{HERE}", "ro")
    here = Path(__file__).parents[1]
    first = (f"PYTHONPATH={here}", f"init={sys.executable}", "--", "-m", __spec__.name, str(shared))
    subprocess.run(
        ["unshare", "--mount", "sh", "-c", BOOT, str(root), *kernel, *files, *first],
        env={**os.environ, "PATH": PATH},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if not code.exists():
        raise NoEngineError("the kernel in user mode has ended before its command")
    return int(code.read_text())


def main(shared: str) -> None:
    """The first process of that kernel: it prepares all, runs the command, and waits for whatever ends."""
    os.environ |= {"PATH": PATH, "NETAVARK_FW": "none"}  # whose rules cannot be made without address translation
    for kind, point in MOUNTS:
        Path(point).mkdir(exist_ok=True)
        _mount(kind, point)
    Path("/dev/fd").symlink_to("/proc/self/fd")
    _share(shared)
    _leave_the_first_cgroup()
    _let_modules_be_loaded()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    order = json.loads((Path(shared) / "order.json").read_text())
    child = subprocess.Popen(order["command"], cwd=order["directory"])
    while (ended := os.wait())[0] != child.pid:
        pass
    (Path(shared) / "code").write_text(str(os.waitstatus_to_exitcode(ended[1])))
    os.sync()
    ctypes.CDLL(None).reboot(POWER_OFF)


def _share(directory: str) -> None:
    """It is somewhere in /tmp, which is otherwise empty here."""
    kept = Path("/run/shared")
    kept.mkdir()
    _mount("hostfs", str(kept), "-o", f"/{HERE}{directory}")
    _mount("tmpfs", "/tmp")
    Path(directory).mkdir(parents=True)
    subprocess.run(["mount", "--bind", kept, directory], check=True)


def _leave_the_first_cgroup() -> None:
    """In which an engine does not see that swap can be limited."""
    own = CGROUPS / "own"
    own.mkdir()
    (CGROUPS / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    (own / "cgroup.procs").write_text(str(os.getpid()))


def _let_modules_be_loaded() -> None:
    """They are in the other Debian's root."""
    helper = Path("/run/modprobe")
    helper.write_text(LOAD_MODULE.format(root=debian_root(DEBIAN)))
    helper.chmod(0o755)
    Path("/proc/sys/kernel/modprobe").write_text(str(helper))


def _mount(kind: str, point: str, *options: str) -> None:
    subprocess.run(["mount", "-t", kind, *options, "none", point], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
