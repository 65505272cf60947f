"""Tells the controller of changed files.

What watchfiles tells is a hint: a watch stays with the inode that it was given, does not tell that the kernel had to
drop events, and ends with a name that is not UTF-8. So a watch is compared with what is there and made anew, and what
is lost all the same is found by the controller's resync.
"""

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from watchfiles import watch

from reconciler.control.messages import Notice, Tell

log = logging.getLogger(__name__)

STEP_MILLISECONDS = 50
"""How often watchfiles looks whether it has heard something; it tells in the first look that finds nothing more."""

DEBOUNCE_MILLISECONDS = 100
"""How long changes are gathered at most: editors and checkouts write in several steps."""

COMPARE_MILLISECONDS = 1_000
"""How often the watch is compared with what is there while nothing changes."""

PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 5.0
"""How often the controller is told to look while nothing can be watched."""

STOP_SECONDS_MAX = 1.0


@contextmanager
def watch_files(directory: Path, files: Collection[Path], asked_in: Collection[Path], tell: Tell) -> Iterator[None]:
    """Tells of changes in the directories and of the files, until it is left; `asked_in` are those of the state."""
    whole = {path.absolute() for path in (directory, *asked_in)}
    replaceable = {path.absolute() for path in (directory, *files)}
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(whole, replaceable, tell, stop), name="files", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(STOP_SECONDS_MAX)  # a thread inside watchfiles while Python ends can abort the process


def _watch(whole: Collection[Path], replaceable: Collection[Path], tell: Tell, stop: threading.Event) -> None:
    pause = PAUSE_SECONDS_MIN
    while not stop.is_set():
        try:
            for changed in _changes(whole, replaceable, stop):
                pause = PAUSE_SECONDS_MIN
                if changed:
                    tell(Notice.FILES_CHANGED)
        except Exception as error:  # whatever ended it, the next watch may do better
            log.debug("cannot watch files: %s", error)
            stop.wait(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)
            tell(Notice.FILES_CHANGED)


def _changes(whole: Collection[Path], replaceable: Collection[Path], stop: threading.Event) -> Iterator[bool]:
    """True for a change that concerns us, False for another and now and then; ends when another watch is needed.

    The parents are watched too: what is swapped, removed or made anew there does not tell it by itself.
    """
    parents = {path.parent for path in replaceable} - set(whole)
    watched = {*whole, *parents}
    names = {path.name for path in (*whole, *replaceable)}
    there = _identities(watched)
    told = watch(
        *there,
        watch_filter=None,
        stop_event=stop,
        step=STEP_MILLISECONDS,
        debounce=DEBOUNCE_MILLISECONDS,
        rust_timeout=COMPARE_MILLISECONDS,
        yield_on_timeout=True,
        recursive=False,
        ignore_permission_denied=True,
    )
    for number, changes in enumerate(told):
        paths = {Path(path) for _, path in changes}
        first = number == 0  # what happened before the watch began was not heard
        yield first or any(path.parent not in parents or path.name in names for path in paths)
        if not paths.isdisjoint(watched) or _identities(watched) != there:
            return


def _identities(directories: Collection[Path]) -> dict[Path, tuple[int, int]]:
    """Device and inode of those that are there."""
    found = {}
    for directory in directories:
        with suppress(OSError):
            status = directory.stat()
            found[directory] = status.st_dev, status.st_ino
    return found
