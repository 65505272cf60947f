"""What the kernel tells of files."""

import os
import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from reconciler.control.messages import FilesChanged, Message
from reconciler.control.watch_files import watch_files

SOON_SECONDS = 5.0
QUIET_SECONDS = 0.5


@dataclass
class Watched:
    """A directory, a policy beside it, and what is told of them."""

    root: Path
    told: queue.SimpleQueue[Message] = field(default_factory=queue.SimpleQueue)

    @property
    def directory(self) -> Path:
        return self.root / "sandboxes.d"

    def begin(self) -> None:
        for name in ("sandboxes.d", "approval"):
            (self.root / name).mkdir()
        watch_files(self.directory, self.root / "policy.yaml", self.root / "approval", self.told.put)
        self.hear()

    def hear(self) -> int:
        """How often it is told, soon and until it is quiet again; at least once."""
        assert self.told.get(timeout=SOON_SECONDS) == FilesChanged()
        return 1 + self.rest()

    def rest(self) -> int:
        """How often it is told until it is quiet."""
        for times in count():
            try:
                self.told.get(timeout=QUIET_SECONDS)
            except queue.Empty:
                return times
        raise AssertionError


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    watched = Watched(tmp_path)
    watched.begin()
    return watched


def write(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text("{}")


def change_mode(root: Path) -> None:
    (root / "sandboxes.d").chmod(0o700)


def name_in_latin_1(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root / "sandboxes.d") + b"/\xff.yaml")).touch()


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new file": write("sandboxes.d/web.yaml"),
    "a name that is not UTF-8": name_in_latin_1,
    "the policy": write("policy.yaml"),
    "an approval": write("approval/removals.json"),
    "the directory's mode": change_mode,
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_told(watched: Watched, what: str) -> None:
    """And so is the next one: nothing that happens ends the watch."""
    CHANGES[what](watched.root)
    watched.hear()
    (watched.directory / "next.yaml").touch()
    watched.hear()


def test_many_changes_at_once_are_told_as_few(watched: Watched) -> None:
    """A checkout writes hundreds of files; they are not read a hundred times."""
    for number in range(300):
        (watched.directory / f"s{number}.yaml").touch()
    assert watched.hear() < 20


def test_reading_and_neighbours_are_not_told(watched: Watched) -> None:
    """What the controller itself does there, and what lies beside it, wakes nobody."""
    (watched.directory / "web.yaml").write_text("{}")
    watched.hear()
    (watched.directory / "web.yaml").read_text()
    (watched.root / "neighbour.yaml").write_text("{}")
    assert watched.rest() == 0


def test_a_directory_removed_and_made_anew_at_once_is_watched(watched: Watched) -> None:
    """Also when the file system gives it the inode of the old one."""
    watched.directory.rmdir()
    watched.directory.mkdir()
    watched.hear()
    (watched.directory / "web.yaml").touch()
    watched.hear()


def test_a_directory_made_anew_is_watched(watched: Watched) -> None:
    """The watch does not stay with the one that is gone."""
    watched.directory.rename(watched.root / "old")
    watched.hear()
    watched.directory.mkdir()
    watched.hear()
    (watched.root / "old" / "web.yaml").touch()
    assert watched.rest() == 0
    (watched.directory / "web.yaml").touch()
    watched.hear()
