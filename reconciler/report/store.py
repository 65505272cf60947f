"""The state directory: a cache of statuses that is always whole, whatever happens to the process or the disk.

Layout: `controller.json`, `status/NAME.json`, `logs/NAME.log`, `journal.jsonl`, `metrics.prom`,
`approval/removals.json`, `lock`. Deleting it is safe.
"""

import contextlib
import fcntl
import logging
import os
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from reconciler.model.errors import StateUnusable
from reconciler.model.status import Approval, ControllerStatus, Heartbeat, SandboxStatus

log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=BaseModel)

MODE = 0o640
PID_DIGITS_MAX = 20

GONE_LOGS_KEPT = 20
"""Of so many sandboxes that are gone, what they have said is kept."""


class Store:
    """Reads and writes one state directory. Reading writes nothing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: int | None = None
        self._written: dict[Path, str] = {}
        self._failing: set[Path] = set()

    # --- reading -------------------------------------------------------------------------------------------------

    def controller(self) -> ControllerStatus | None:
        return _read(self.directory / "controller.json", ControllerStatus)

    def statuses(self) -> dict[str, SandboxStatus]:
        """All statuses that can be read, by name."""
        found = (_read(path, SandboxStatus) for path in sorted((self.directory / "status").glob("*.json")))
        return {status.name: status for status in found if status is not None}

    def heartbeat(self) -> Heartbeat:
        """The last sign of life of whoever claimed the directory."""
        try:
            with self._lock_file.open() as file:
                return Heartbeat(_process(file.read(PID_DIGITS_MAX)), os.fstat(file.fileno()).st_mtime)
        except (OSError, UnicodeDecodeError):
            return Heartbeat(None, 0)

    def names(self) -> list[str]:
        """Of the sandboxes that have a status, which is not read."""
        return sorted(path.stem for path in (self.directory / "status").glob("*.json"))

    def approved(self) -> frozenset[str]:
        """Ids of the containers whose removal is approved."""
        approval = _read(self._approval, Approval)
        return frozenset(approval.containers) if approval else frozenset()

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def approvals(self) -> Path:
        """The directory that changes when an operator approves something."""
        return self._approval.parent

    @property
    def _approval(self) -> Path:
        return self.directory / "approval" / "removals.json"

    @property
    def _lock_file(self) -> Path:
        return self.directory / "lock"

    # --- writing -------------------------------------------------------------------------------------------------

    def claim(self) -> None:
        """Makes the directory and takes it for this process alone; raises `StateUnusable`."""
        try:
            for path in (self.directory, self.directory / "status", self.logs, self.approvals):
                path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = self.heartbeat().pid or "unknown"
            raise StateUnusable(
                f"another controller (process {holder}) uses the state directory {self.directory}; "
                "end it, or give this one another --state and --instance"
            ) from error
        except OSError as error:
            raise StateUnusable(f"cannot use the state directory {self.directory}: {error.strerror}") from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        self._clear_half_written()
        self._set_aside_corrupt()

    def beat(self) -> None:
        """A sign of life: the lock file is of now."""
        if self._lock is not None:
            try:
                os.utime(self._lock)
            except OSError as error:
                self._complain(self._lock_file, error)

    def release(self) -> None:
        """The end in good order: nobody's process id is left in the lock file."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def _clear_half_written(self) -> None:
        """What a controller that was killed has left; not among the approvals, where others write."""
        for pattern in (".*.json.*", "status/.*.json.*", "metrics.prom.*"):
            for path in self.directory.glob(pattern):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _set_aside_corrupt(self) -> None:
        models: dict[Path, type[BaseModel]] = {self.directory / "controller.json": ControllerStatus}
        models[self._approval] = Approval
        models |= dict.fromkeys((self.directory / "status").glob("*.json"), SandboxStatus)
        for path, model in models.items():
            if path.exists() and _read(path, model) is None:
                log.warning("set aside %s, which cannot be read", path)
                with contextlib.suppress(OSError):
                    path.replace(path.with_suffix(".corrupt"))

    def write_controller(self, status: ControllerStatus) -> None:
        self._write(self.directory / "controller.json", status)

    def write_status(self, status: SandboxStatus) -> bool:
        """Whether it is written."""
        return self._write(self._status(status.name), status)

    def forget(self, name: str) -> bool:
        """Whether the sandbox's status is gone."""
        path = self._status(name)
        self._written.pop(path, None)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._complain(path, error)
            return False
        self._failing.discard(path)
        self._forget_old_output()
        return True

    def _forget_old_output(self) -> None:
        """Sandboxes come and go; the disk stays."""
        known = set(self.names())
        gone = (path for path in self.logs.glob("*.log") if path.stem not in known)
        with contextlib.suppress(OSError):
            for log_file in sorted(gone, key=lambda path: path.stat().st_mtime)[:-GONE_LOGS_KEPT]:
                for path in self.logs.glob(f"{log_file.name}*"):
                    path.unlink()

    def approve(self, approval: Approval) -> None:
        """Raises `StateUnusable` when it cannot be written: an approval must not be lost in silence."""
        if not self._write(self._approval, approval):
            raise StateUnusable(f"cannot write {self._approval}")

    def spend_approval(self) -> None:
        self._written.pop(self._approval, None)
        with contextlib.suppress(OSError):
            self._approval.unlink(missing_ok=True)

    def _status(self, name: str) -> Path:
        return self.directory / "status" / f"{name}.json"

    def _write(self, path: Path, model: BaseModel) -> bool:
        """Writes what is not there yet, and says whether it is there now."""
        text = model.model_dump_json(indent=2) + "\n"
        if self._written.get(path) == text:
            return True
        try:
            write_whole(path, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._written.pop(path, None)
            self._complain(path, error)
            return False
        self._written[path] = text
        self._failing.discard(path)
        return True

    def _complain(self, path: Path, error: OSError) -> None:
        """Once, however often it is tried again."""
        if path not in self._failing:
            log.warning("cannot write %s: %s", path, error.strerror)
        self._failing.add(path)


def write_whole(path: Path, content: bytes) -> None:
    """The file has the old content or the new one at any moment, also after a crash or on a full disk."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _process(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _read(path: Path, model: type[Model]) -> Model | None:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
