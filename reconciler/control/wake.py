"""Everything that can wake the controller puts one message on its queue: files, the engine, signals, and its own lanes.

Files and events are only hints. The controller looks for itself, and also when no hint comes.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from inotify_simple import Event as Change
from inotify_simple import INotify, flags

from reconciler.engine.protocol import SUBSCRIBED, EngineReader
from reconciler.model.plan import Lane, Outcome
from reconciler.model.world import Event

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

RECONNECT_SECONDS_MIN = 0.1
RECONNECT_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """The watched directory, the policy or an approval may have changed."""


@dataclass(frozen=True, slots=True)
class EngineConnected:
    """The engine's events can be heard, from now on."""


@dataclass(frozen=True, slots=True)
class EngineSilent:
    """The engine's events cannot be heard."""


@dataclass(frozen=True, slots=True)
class EngineSaid:
    event: Event


@dataclass(frozen=True, slots=True)
class ResyncAsked:
    """SIGHUP."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """SIGTERM or SIGINT."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A lane tells how far a long action is; `share` is 0 to 1, None as long as nobody knows."""

    lane: Lane
    text: str
    share: float | None


@dataclass(frozen=True, slots=True)
class LaneEnded:
    lane: Lane


@dataclass(frozen=True, slots=True)
class OutputEnded:
    """A container has stopped, and all that it said is written down."""

    sandbox: str
    container: str
    last_words: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DiskMeasured:
    """The bytes that each container of this instance has written, by full id."""

    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SaidTooMuch:
    """A container had said more than the policy allows at a moment, by the engine's time in seconds since the epoch."""

    sandbox: str
    container: str
    at: float


Message = (
    FilesChanged
    | EngineConnected
    | EngineSilent
    | EngineSaid
    | ResyncAsked
    | StopAsked
    | Progress
    | Outcome
    | LaneEnded
    | OutputEnded
    | DiskMeasured
    | SaidTooMuch
)
Tell = Callable[[Message], None]


def on_signals(tell: Tell) -> None:
    """From now on, SIGTERM and SIGINT ask to stop and SIGHUP asks for a full resync. Main thread only."""
    signal.signal(signal.SIGTERM, lambda *_: tell(StopAsked()))
    signal.signal(signal.SIGINT, lambda *_: tell(StopAsked()))
    signal.signal(signal.SIGHUP, lambda *_: tell(ResyncAsked()))


def watch_files(directory: Path, policy_file: Path | None, approvals: Path, tell: Tell) -> None:
    """Starts to tell of changes in the directories and of the file, for as long as we live."""
    _background("files", lambda: _watch_files(directory, policy_file, approvals, tell))


def watch_engine(engine: EngineReader, tell: Tell) -> None:
    """Starts to tell of the engine's events, and of its going and coming, for as long as we live."""
    _background("events", lambda: _watch_engine(engine, tell))


def _background(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()


def _watch_files(directory: Path, policy_file: Path | None, approvals: Path, tell: Tell) -> None:
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


def _watch_engine(engine: EngineReader, tell: Tell) -> None:
    """Begins each connection with `EngineConnected`: what happened before it was not heard."""
    pause = RECONNECT_SECONDS_MIN
    while True:
        try:
            for event in engine.events():
                pause = RECONNECT_SECONDS_MIN
                tell(EngineConnected() if event == SUBSCRIBED else EngineSaid(event))
        except Exception as error:  # whatever ended it, the next connection may do better
            log.debug("the engine's events ended: %s", error)
        tell(EngineSilent())
        time.sleep(pause)
        pause = min(pause * 2, RECONNECT_SECONDS_MAX)
