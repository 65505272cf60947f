"""Tells the controller of changed files."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from inotify_simple import Event as Change
from inotify_simple import INotify, flags

from reconciler.control.messages import FilesChanged, Tell

log = logging.getLogger(__name__)

CHANGES = (
    *(flags.CREATE, flags.MODIFY, flags.CLOSE_WRITE, flags.ATTRIB, flags.MOVED_FROM, flags.MOVED_TO, flags.DELETE),
    *(flags.DELETE_SELF, flags.MOVE_SELF),
)
"""What the kernel is asked to tell of a directory: all but that somebody reads."""

QUIET_MILLISECONDS = 20
"""A change is told of when no other has come for so long: editors and checkouts write in several steps."""

BURST_SECONDS_MAX = 0.1
LOOK_MILLISECONDS = 1_000
"""How often a watcher checks that the directory is still the one that it watches."""

UNWATCHED_SECONDS = 5.0
"""How often to look where watching is not possible, such as on another system than Linux."""


def watch_files(directory: Path, policy_file: Path | None, approvals: Path, tell: Tell) -> None:
    """Starts to tell of changes in the directories and of the file, for as long as we live."""
    threading.Thread(target=_watch, args=(directory, policy_file, approvals, tell), name="files", daemon=True).start()


def _watch(directory: Path, policy_file: Path | None, approvals: Path, tell: Tell) -> None:
    """A watch stays with the inode that it was given: when that is gone or another one is there, it begins anew."""
    while True:
        identity = _identity(directory)
        try:
            for changed in _changes(directory, policy_file, approvals):
                if changed:
                    tell(FilesChanged())
                if _identity(directory) != identity:
                    break
        except Exception as error:  # what cannot be watched is looked at now and then
            log.debug("cannot watch files: %s", error)
            time.sleep(UNWATCHED_SECONDS)
        tell(FilesChanged())


def _changes(directory: Path, policy_file: Path | None, approvals: Path) -> Iterator[bool]:
    """True for a change that concerns us, False now and then, so that the caller can look; ends with what it watches.

    The parents are watched too: what is swapped, removed or made anew there is not told of by the thing itself.
    """
    replaceable = [path.absolute() for path in (directory, policy_file) if path is not None]
    with INotify() as kernel:
        whole = {kernel.add_watch(path, sum(CHANGES)) for path in (directory, approvals) if path.exists()}
        named = {
            (kernel.add_watch(path.parent, sum(CHANGES)), path.name) for path in replaceable if path.parent.exists()
        }
        yield True  # what happened before was not heard
        while True:
            events = _burst(kernel)
            yield any(
                event.wd in whole or (event.wd, event.name) in named or event.mask & flags.Q_OVERFLOW
                for event in events
            )
            if any(event.mask & flags.IGNORED for event in events):
                return


def _burst(kernel: INotify) -> list[Change]:
    """All that happens at about the same time; nothing when nothing has for a while."""
    events: list[Change] = list(kernel.read(LOOK_MILLISECONDS))
    until = time.monotonic() + BURST_SECONDS_MAX
    while events and time.monotonic() < until and (more := list(kernel.read(QUIET_MILLISECONDS))):
        events += more
    return events


def _identity(directory: Path) -> tuple[int, int] | None:
    try:
        found = directory.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
