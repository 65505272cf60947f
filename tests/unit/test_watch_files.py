"""What is told of files: each change in time, and nothing that happens ends the watch."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from reconciler.control.messages import Message, Notice
from reconciler.control.watch_files import watch_files

SOON_SECONDS = 10.0
QUIET_SECONDS = 1.5
"""More than the second after which each watch tells once by itself."""

EVENTS_MAX = Path("/proc/sys/fs/inotify/max_queued_events")
"""So many events are kept for a process that does not listen; the rest is lost."""


@dataclass
class Watched:
    """A directory, a policy beside it, and what is told of them."""

    root: Path
    told: queue.SimpleQueue[Message] = field(default_factory=queue.SimpleQueue)

    @property
    def directory(self) -> Path:
        return self.root / "sandboxes.d"

    def hear(self) -> int:
        """How often it is told, soon and until it is quiet again; at least once."""
        assert self.told.get(timeout=SOON_SECONDS) == Notice.FILES_CHANGED
        return 1 + self.rest()

    def rest(self) -> int:
        """How often it is told until it is quiet."""
        for times in count():
            try:
                self.told.get(timeout=QUIET_SECONDS)
            except queue.Empty:
                return times
        raise AssertionError

    def hear_next(self) -> None:
        """A file that is saved now is told of."""
        (self.directory / "next.yaml").write_text("{}")
        self.hear()


@contextmanager
def watching(root: Path) -> Iterator[Watched]:
    watched = Watched(root)
    with watch_files(watched.directory, [root / "policy.yaml"], [root / "approval"], watched.told.put):
        watched.hear()
        yield watched


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    for name in ("sandboxes.d", "approval"):
        (tmp_path / name).mkdir()
    (tmp_path / "sandboxes.d" / "web.yaml").write_text("{}")
    with watching(tmp_path) as watched:
        yield watched


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[Watched]:
    """The directory is a link, as git-sync publishes it."""
    for name in ("1", "2", "approval"):
        (tmp_path / name).mkdir()
    (tmp_path / "sandboxes.d").symlink_to("1")
    with watching(tmp_path) as watched:
        yield watched


def write(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text("{}")


def save_by_rename(root: Path) -> None:
    """As editors do: a file beside it, which takes its place."""
    file = root / "sandboxes.d" / "web.yaml"
    file.rename(file.with_name("web.yaml~"))
    file.with_name(".web.yaml.swp").write_text("image: busybox")
    file.with_name(".web.yaml.swp").rename(file)


def move_in(root: Path) -> None:
    (root / "new.yaml").write_text("{}")
    (root / "new.yaml").rename(root / "sandboxes.d" / "new.yaml")


def point(link: Path, target: str) -> None:
    link.with_name(".link").symlink_to(target)
    link.with_name(".link").replace(link)


def name_in_latin_1(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root / "sandboxes.d") + b"/\xff.yaml")).touch()


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new file": write("sandboxes.d/new.yaml"),
    "a file that is moved there": move_in,
    "a file that is written over": write("sandboxes.d/web.yaml"),
    "a file that an editor saves": save_by_rename,
    "a file that is removed": lambda root: (root / "sandboxes.d" / "web.yaml").unlink(),
    "a link to the data": lambda root: point(root / "sandboxes.d" / "..data", "..2"),
    "a name that is not UTF-8": name_in_latin_1,
    "the policy": write("policy.yaml"),
    "an approval": write("approval/removals.json"),
    "the directory's mode": lambda root: (root / "sandboxes.d").chmod(0o700),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_told(watched: Watched, what: str) -> None:
    """And so is the next one: nothing that happens ends the watch."""
    CHANGES[what](watched.root)
    watched.hear()
    watched.hear_next()


def test_many_changes_at_once_are_told_as_few(watched: Watched) -> None:
    """A checkout writes hundreds of files; they are not read a hundred times."""
    for number in range(300):
        (watched.directory / f"s{number}.yaml").touch()
    assert watched.hear() < 20


def test_reading_and_neighbours_are_not_told(watched: Watched) -> None:
    """What the controller itself does there, and what lies beside it, wakes nobody."""
    (watched.directory / "web.yaml").read_text()
    (watched.root / "neighbour.yaml").write_text("{}")
    assert watched.rest() == 0


def test_a_directory_removed_and_made_anew_at_once_is_watched(watched: Watched) -> None:
    """Also when the file system gives it the inode of the old one."""
    (watched.directory / "web.yaml").unlink()
    watched.hear()
    watched.directory.rmdir()
    watched.directory.mkdir()
    watched.hear()
    watched.hear_next()


def test_a_directory_moved_away_and_made_anew_is_watched(watched: Watched) -> None:
    """The watch does not stay with the old one; while there is none, nobody is woken in vain."""
    watched.directory.rename(watched.root / "old")
    watched.hear()
    assert watched.rest() == 0
    watched.directory.mkdir()
    watched.hear()
    (watched.root / "old" / "web.yaml").touch()
    assert watched.rest() == 0
    watched.hear_next()


def test_a_directory_swapped_by_link_is_watched(linked: Watched) -> None:
    """A change in the revision that was swapped away concerns nobody."""
    point(linked.directory, "2")
    linked.hear()
    (linked.root / "1" / "web.yaml").touch()
    assert linked.rest() == 0
    linked.hear_next()


def test_what_is_above_the_parent_may_be_swapped(tmp_path: Path) -> None:
    """Nothing tells of that, and it is found by comparing."""
    for name in ("1", "2"):
        (tmp_path / name / "sandboxes.d").mkdir(parents=True)
    (tmp_path / "current").symlink_to("1")
    with watching(tmp_path / "current") as watched:
        point(watched.root, "2")
        watched.hear()
        watched.hear_next()


def test_a_directory_whose_parent_comes_later_is_watched(tmp_path: Path) -> None:
    """Nothing is there to be watched, and nobody is woken in vain."""
    with watching(tmp_path / "later") as watched:
        assert watched.rest() == 0
        watched.directory.mkdir(parents=True)
        watched.hear()
        watched.hear_next()


def test_one_parent_by_two_names_is_watched_by_both(tmp_path: Path) -> None:
    """The kernel tells of an inode once, whatever it was called."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    watched = Watched(tmp_path / "link")
    with watch_files(watched.directory, [tmp_path / "real" / "policy.yaml"], [tmp_path / "approval"], watched.told.put):
        watched.hear()
        (tmp_path / "link" / "policy.yaml").touch()
        watched.hear()
        watched.directory.mkdir()
        watched.hear()
        watched.hear_next()


def test_what_cannot_be_watched_is_looked_at_ever_less_often(tmp_path: Path) -> None:
    """watchfiles takes no path that is not UTF-8."""
    watched = Watched(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")))
    watched.directory.mkdir(parents=True)
    with watch_files(watched.directory, [], [tmp_path], watched.told.put):
        for _ in range(3):
            watched.told.get(timeout=SOON_SECONDS)
        time.sleep(2.0)
        assert watched.told.qsize() <= 3


def test_files_can_be_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing tells of what another host writes: the switch is watchfiles' own."""
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "true")
    with watching(tmp_path / "later") as watched:
        watched.directory.mkdir(parents=True)
        watched.hear()
        watched.hear_next()


def test_a_watch_ends_with_its_block(tmp_path: Path) -> None:
    """No thread is left inside watchfiles, which can abort a process that ends meanwhile."""
    with watching(tmp_path) as watched:
        assert "files" in {thread.name for thread in threading.enumerate()}
    assert "files" not in {thread.name for thread in threading.enumerate()}
    (tmp_path / "policy.yaml").touch()
    assert watched.rest() == 0


TELL = """
import sys, time
from pathlib import Path
from reconciler.control.watch_files import watch_files
root = Path(sys.argv[1])
with watch_files(root / "sandboxes.d", [], [root / "approval"], lambda message: print(message, flush=True)):
    time.sleep(600)
"""


@pytest.mark.skipif(not EVENTS_MAX.exists(), reason="not Linux")
def test_changes_that_the_kernel_drops_are_told_with_those_before_them(tmp_path: Path) -> None:
    """Whoever was stopped hears of the flood, looks when it is over, and hears of the next change."""
    watched = Watched(tmp_path)
    watched.directory.mkdir()
    files = [watched.directory / name for name in ("a.yaml", "b.yaml")]
    for file in files:
        file.touch()
    command = [sys.executable, "-c", TELL, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        threading.Thread(
            target=lambda out: [watched.told.put(Notice.FILES_CHANGED) for _ in out], args=(process.stdout,)
        ).start()
        try:
            watched.hear()
            process.send_signal(signal.SIGSTOP)
            for number in range(int(EVENTS_MAX.read_text()) + 1_000):
                os.utime(files[number % 2])  # twice the same would be kept once
            process.send_signal(signal.SIGCONT)
            watched.hear()
            watched.hear_next()
        finally:
            process.kill()
