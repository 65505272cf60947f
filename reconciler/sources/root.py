"""Opens a directory once, and reads only files that are certainly inside it."""

import errno
import os
import stat
from itertools import islice
from pathlib import Path
from typing import Self

from reconciler.model.errors import DirectoryUnreadable
from reconciler.sources.document import SIZE_BYTES_MAX
from reconciler.sources.names import display
from reconciler.spec.mistake import Mistake

_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""Non-blocking, as a plain open of a FIFO waits for ever."""
LISTED_MAX = 1_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Root:
    """An open directory. Its own path is resolved once; whatever is swapped meanwhile, only this one is read.

    Raises `DirectoryUnreadable` when it cannot be opened or listed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shown = display(str(path))
        try:
            self._real = path.resolve(strict=True)
            self._descriptor = os.open(self._real, _DIRECTORY)
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            raise DirectoryUnreadable(f"cannot open the directory {self._shown}: {_why(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        return _identity(os.fstat(self._descriptor))

    def names(self, remembered: frozenset[str] = frozenset()) -> frozenset[str]:
        """Everything in the directory; bytes that are not UTF-8 are escaped as surrogates.

        A listing may miss a file that is replaced at that moment, so remembered ones are also looked for by name.
        """
        try:
            listed = frozenset(os.listdir(self._descriptor))  # noqa: PTH208 - a descriptor is no path
        except OSError as error:
            raise DirectoryUnreadable(f"cannot list the directory {self._shown}: {_why(error)}") from error
        return listed | {name for name in remembered - listed if self.has(name)}

    def names_in(self, name: str) -> list[str] | None:
        """Up to `LISTED_MAX` names in the directory of that name; None when it is not a directory.

        What a link leads to is not looked into.
        """
        try:
            if not stat.S_ISDIR(os.stat(name, dir_fd=self._descriptor).st_mode):
                return None
        except OSError:
            return None
        try:
            descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self._descriptor)
        except OSError:
            return []
        try:
            with os.scandir(descriptor) as found:
                return [entry.name for entry in islice(found, LISTED_MAX)]
        finally:
            os.close(descriptor)

    def has(self, name: str) -> bool:
        """Whether the name exists, even as a dangling link; if that is unknown, it counts as existing."""
        try:
            os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def check_still_there(self) -> None:
        """Raises `DirectoryUnreadable` when the path leads to another directory now: what was read may mix the two."""
        try:
            now = _identity(self._path.stat())
        except OSError as error:
            raise DirectoryUnreadable(f"the directory {self._shown} went away: {_why(error)}") from error
        if now != self.identity:
            raise DirectoryUnreadable(f"the directory {self._shown} was replaced while it was read")

    def read(self, name: str) -> bytes | None:
        """The contents, up to one byte more than a document may have; None when the file does not exist.

        Raises `Mistake` for everything else that cannot be read.
        """
        try:
            descriptor = self._open(name)
        except FileNotFoundError as error:
            if not self.has(name):
                return None
            raise Mistake("is a dangling link", "fix or delete the link") from error
        except OSError as error:
            raise Mistake(f"cannot be read: {_why(error)}") from error
        return read_regular(descriptor)

    def _open(self, name: str) -> int:
        try:
            return os.open(name, _FILE | os.O_NOFOLLOW, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        return self._open_linked(name)

    def _open_linked(self, name: str) -> int:
        """Opens the target of a link step by step, so that no step can be swapped for a link to elsewhere."""
        real = Path(os.path.realpath(self._real / name, strict=True))
        if not real.is_relative_to(self._real):
            raise Mistake("is a link that leads out of the directory", "put the file itself there")
        *directories, last = real.relative_to(self._real).parts or (".",)
        here = os.dup(self._descriptor)
        try:
            for directory in directories:
                inner = os.open(directory, _DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
                os.close(here)
                here = inner
            return os.open(last, _FILE | os.O_NOFOLLOW, dir_fd=here)
        finally:
            os.close(here)


def open_anywhere(path: Path) -> int:
    """A descriptor for `read_regular`; links are followed. Raises OSError."""
    return os.open(path, _FILE)


def read_regular(descriptor: int, bytes_max: int = SIZE_BYTES_MAX + 1) -> bytes:
    """The contents, up to `bytes_max`, which is one more than a document may have; closes the descriptor.

    Raises `Mistake` for what is no regular file, or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Mistake("is not a regular file", "put a file there")
        return _read(descriptor, bytes_max)
    except OSError as error:
        raise Mistake(f"cannot be read: {_why(error)}") from error
    finally:
        os.close(descriptor)


def _read(descriptor: int, bytes_max: int) -> bytes:
    contents = b""
    while len(contents) < bytes_max and (more := os.read(descriptor, bytes_max - len(contents))):
        contents += more
    return contents


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
