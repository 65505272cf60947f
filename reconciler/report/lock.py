"""The state directory's lock file: which process holds the directory, its last heartbeat, and what it failed to write.

Its single line has a fixed width and is written in place, which needs no space on a full disk: the PID, SINCE when
(seconds since the epoch, 0: everything is written) files are out of date, the DEVICE that the file is on, and WHY.

Two locks are held. `flock` excludes other controllers, older versions included. The other is a lock on the byte whose
offset is the process id: whoever may read the file can ask the kernel who holds it, without taking it. It is visible
only where the file is on the same DEVICE: another host, or another layer of an overlay, has its own locks.
"""

import contextlib
import fcntl
import os
import struct
import time
from pathlib import Path

from reconciler.model.errors import StateUnusable
from reconciler.model.status import Heartbeat
from reconciler.report.whole_file import MODE

FIELD, WHY = 20, 67
"""Characters of each of the first three fields, and of the last."""

FIELDS = ((0, FIELD), (FIELD, FIELD), (2 * FIELD, FIELD), (3 * FIELD, WHY))
LENGTH = 3 * FIELD + WHY + 1

FLOCK = "hhqqi"
"""C's `struct flock`: type, whence, start, length, pid."""


class Lock:
    """Times are in seconds since the epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._device = ""

    def take(self) -> None:
        """Takes the lock for this process; raises `BlockingIOError` when another holds it, and other `OSError`s."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise
        self._file = file
        byte = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, os.getpid(), 1, 0)
        with contextlib.suppress(OSError, AttributeError):  # without such locks, the heartbeat has to do
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, byte)
            self._device = str(os.fstat(file).st_dev)

    def heartbeat_now(self, since: float, why: str) -> None:
        """Writes a heartbeat if this process holds the lock; raises `OSError`."""
        if self._file is not None:
            self._write(self._file, str(os.getpid()), since, why)

    def release(self, since: float, why: str) -> None:
        """A clean shutdown: no process id is left in the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._write(self._file, "", since, why)
            os.close(self._file)
            self._file = None

    def _write(self, file: int, pid: str, since: float, why: str) -> None:
        line = f"{pid:{FIELD}}{int(since):<{FIELD}}{self._device:{FIELD}}{why[:WHY]:{WHY}}\n"
        os.pwrite(file, line.encode("ascii", "replace"), 0)

    def heartbeat(self) -> Heartbeat:
        """The last heartbeat of the holder; raises `StateUnusable` when the file cannot be read."""
        try:
            with self.path.open("rb") as file:
                line, holder = _line_and_holder(file.fileno())
                status = os.fstat(file.fileno())
        except FileNotFoundError:
            return Heartbeat(None, 0)
        except OSError as error:
            raise StateUnusable(f"cannot read {self.path}: {error.strerror}") from error
        pid, since, device, why = (line[at : at + width].strip() for at, width in FIELDS)
        known = holder is not None or device == str(status.st_dev)
        just_taken = holder and holder != _number(pid)
        return Heartbeat(
            pid=holder or _number(pid) or None,
            at=time.time() if just_taken else status.st_mtime,
            locked=holder is not None if known else None,
            unwritten_since=_number(since),
            unwritten_why=why,
        )


def _line_and_holder(file: int) -> tuple[str, int | None]:
    """The line and, from the same moment, the process that holds the lock: None for nobody, 0 for unknown."""
    before = None
    while before != (line := os.pread(file, LENGTH, 0)):
        before, holder = line, _holder(file)
    return line.decode("ascii", "replace"), holder


def _holder(file: int) -> int | None:
    anywhere = struct.pack(FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    try:
        kind, _, start, *_ = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_OFD_GETLK, anywhere))
    except (OSError, AttributeError):
        return None
    return None if kind == fcntl.F_UNLCK else int(start)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
