"""The state directory: a cache of statuses whose files are always complete, whatever happens to process or disk.

Layout: `controller.json`, `status/NAME.json`, `logs/NAME.log`, `journal.jsonl`, `metrics.prom`,
`approval/removals.json`, `requests/NAME.json`, `lock`. Deleting it is safe.
"""

import contextlib
import logging
import time
from pathlib import Path

from pydantic import BaseModel

from reconciler.model.errors import StateUnusable
from reconciler.model.status import Approval, ControllerStatus, Heartbeat, Request, SandboxStatus
from reconciler.report.escaped_json import escaped_json
from reconciler.report.lock import Lock
from reconciler.report.sandbox_log import delete_old_logs
from reconciler.report.whole_file import read_whole, write_whole

log = logging.getLogger(__name__)


class Store:
    """Reads and writes one state directory. Reading writes nothing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = Lock(directory / "lock")
        self._written: dict[Path, bytes] = {}
        self._failing: dict[Path, str] = {}
        """Files that could not be written, and why; the reason is empty for a file not written yet."""
        self._unwritten: tuple[float, str] = (0, "")
        """Since when any file is out of date, and why."""

    # --- reading -------------------------------------------------------------------------------------------------

    def controller(self) -> ControllerStatus | None:
        """None where it was never written, or cannot be read."""
        return read_whole(self._controller, ControllerStatus)

    def statuses(self) -> dict[str, SandboxStatus]:
        """All readable statuses, by name; raises `StateUnusable` when the directory cannot be read."""
        found = (read_whole(path, SandboxStatus) for path in self._status_files())
        return {status.name: status for status in found if status is not None}

    def heartbeat(self) -> Heartbeat:
        """The last heartbeat of the controller; raises `StateUnusable` when it cannot be read."""
        return self._lock.heartbeat()

    def names(self) -> list[str]:
        """The names of the sandboxes with a status file; raises `StateUnusable` when the directory cannot be read."""
        return [path.stem for path in self._status_files()]

    def _status_files(self) -> list[Path]:
        try:
            return sorted((self.directory / "status").glob("*.json"))
        except OSError as error:
            raise StateUnusable(f"cannot read {self.directory}: {error.strerror}") from error

    def approved(self) -> frozenset[str]:
        """Ids of the containers whose removal is approved."""
        approval = read_whole(self._approval, Approval)
        return frozenset(approval.containers) if approval else frozenset()

    def requests(self) -> dict[str, Request]:
        """What people ask of single sandboxes, by name, and has no answer yet; nothing while that cannot be read."""
        paths: list[Path] = []
        with contextlib.suppress(OSError):
            paths += self._requests.glob("*.json")
        found = ((path.stem, read_whole(path, Request)) for path in paths)
        return {name: request for name, request in found if request is not None}

    @property
    def pin_file(self) -> Path:
        """Names the engine that all else is about; whoever takes it away accepts another one."""
        return self.directory / "engine"

    def pinned(self) -> str:
        """The engine in that file; empty where there is none. Raises `StateUnusable` when it cannot be read."""
        try:
            return self.pin_file.read_text().strip()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            raise StateUnusable(f"cannot read {self.pin_file}: {error}") from error

    @property
    def logs(self) -> Path:
        """The directory of what sandboxes have said."""
        return self.directory / "logs"

    @property
    def asked_in(self) -> tuple[Path, ...]:
        """The directories that change when an operator approves or asks for something."""
        return self._approval.parent, self._requests

    @property
    def _approval(self) -> Path:
        return self.directory / "approval" / "removals.json"

    @property
    def _requests(self) -> Path:
        return self.directory / "requests"

    @property
    def _controller(self) -> Path:
        return self.directory / "controller.json"

    # --- writing -------------------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Creates the directory and locks it for this process; raises `StateUnusable`."""
        try:
            for path in (self.directory, self.directory / "status", self.logs, *self.asked_in):
                path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock.take()
            self._failing = {self._controller: ""}
            self._unwritten = time.time(), ""
            self._lock.heartbeat_now(*self._unwritten)
        except BlockingIOError as error:
            holder = self.heartbeat().pid or "unknown"
            raise StateUnusable(
                f"another controller (process {holder}) uses the state directory {self.directory}; "
                "end it, or give this one another --state and --instance"
            ) from error
        except OSError as error:
            raise StateUnusable(f"cannot use the state directory {self.directory}: {error.strerror}") from error
        self._delete_temporary_files()
        self._set_aside_corrupt()

    def heartbeat_now(self) -> None:
        """Writes a heartbeat, which also says whether the files are up to date."""
        try:
            self._lock.heartbeat_now(*self._unwritten)
        except OSError as error:
            log.warning("cannot write %s: %s", self._lock.path, error.strerror)

    def release(self) -> None:
        """A clean shutdown; the lock file still says what could not be written."""
        self._lock.release(*self._unwritten)

    def _delete_temporary_files(self) -> None:
        """Deletes temporary files of a killed controller; not where others write."""
        for pattern in (".*.json.*", "status/.*.json.*", "metrics.prom.*"):
            for path in self.directory.glob(pattern):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _set_aside_corrupt(self) -> None:
        models: dict[Path, type[BaseModel]] = {self._controller: ControllerStatus}
        models[self._approval] = Approval
        models |= dict.fromkeys(self._requests.glob("*.json"), Request)
        models |= dict.fromkeys(self._status_files(), SandboxStatus)
        for path, model in models.items():
            if path.exists() and read_whole(path, model) is None:
                log.warning("cannot parse %s: renamed to .corrupt", path)
                with contextlib.suppress(OSError):
                    path.replace(path.with_suffix(".corrupt"))

    def write_controller(self, status: ControllerStatus) -> None:
        """Logs a failure, and tries again with the next one."""
        self._write(self._controller, status)

    def pin(self, engine: str) -> None:
        """Logs a failure, and tries again in the next pass."""
        try:
            write_whole(self.pin_file, f"{engine}\n".encode())
        except OSError as error:
            self._note(self.pin_file, error.strerror or "unknown")
        else:
            self._note(self.pin_file)

    def write_status(self, status: SandboxStatus) -> bool:
        """Returns whether the status is in the file; it is not synced, as thousands may be written at once."""
        return self._write(self._status(status.name), status, durable=False)

    def forget(self, name: str) -> bool:
        """Deletes the status of a sandbox; returns whether it is gone."""
        path = self._status(name)
        self._written.pop(path, None)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._note(path, error.strerror or "unknown")
            return False
        self._note(path)
        with contextlib.suppress(OSError, StateUnusable):
            delete_old_logs(self.logs, frozenset(self.names()))
        return True

    def approve(self, approval: Approval) -> None:
        """Raises `StateUnusable` when it cannot be written: an approval must not be lost silently."""
        if not self._write(self._approval, approval):
            raise StateUnusable(f"cannot write {self._approval}")

    def spend_approval(self) -> None:
        """It counts no more."""
        self._written.pop(self._approval, None)
        with contextlib.suppress(OSError):
            self._approval.unlink(missing_ok=True)

    def ask(self, name: str, request: Request) -> None:
        """Leaves a request for the controller, in place of the last one of this sandbox; raises `StateUnusable`."""
        if not self._write(path := self._requests / f"{name}.json", request):
            raise StateUnusable(f"cannot write {path}")

    def spend_request(self, name: str, request: Request) -> None:
        """It is answered, unless there is a newer one."""
        if read_whole(path := self._requests / f"{name}.json", Request) == request:
            with contextlib.suppress(OSError):
                path.unlink()

    def _status(self, name: str) -> Path:
        return self.directory / "status" / f"{name}.json"

    def _write(self, path: Path, model: BaseModel, *, durable: bool = True) -> bool:
        """Writes the file unless it has this content already; returns whether it has it now."""
        content = escaped_json(model, indent=2) + b"\n"
        if self._written.get(path) == content:
            return True
        try:
            write_whole(path, content, durable=durable)
        except OSError as error:
            self._written.pop(path, None)
            self._note(path, error.strerror or "unknown")
            return False
        self._written[path] = content
        self._note(path)
        return True

    def _note(self, path: Path, why: str = "") -> None:
        """Records whether a file could be written; a failure is logged once, however often it is retried."""
        if why and not self._failing.get(path):
            log.warning("cannot write %s: %s", path, why)
        if why:
            self._failing[path] = why
        else:
            self._failing.pop(path, None)
        since = (self._unwritten[0] or time.time()) if self._failing else 0
        unwritten = since, max(self._failing.values(), default="")
        if unwritten != self._unwritten:
            self._unwritten = unwritten
            self.heartbeat_now()
