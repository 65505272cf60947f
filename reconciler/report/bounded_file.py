"""A file of lines, rotated so that its size on disk is bounded."""

import contextlib
import os
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Self

from reconciler.report.whole_file import MODE


class BoundedFile:
    """At `bytes_max` it is renamed to `NAME.1`, `NAME.1` to `NAME.2`, and so on; `kept` of them are kept.

    It may be deleted at any time. Only one process may write at a time.
    """

    def __init__(self, path: Path, bytes_max: int, kept: int) -> None:
        self._path, self._bytes_max, self._kept = path, bytes_max, kept
        self._checked_end = False

    @property
    def paths(self) -> list[Path]:
        """The existing files, newest first."""
        return [path for path in (self._path, *map(self._numbered, range(1, self._kept + 1))) if path.exists()]

    def append(self, lines: bytes) -> None:
        """Appends all of `lines` or nothing; raises `OSError`."""
        with contextlib.suppress(FileNotFoundError):
            if not self._checked_end:
                _drop_incomplete_line(self._path)
            if self._path.stat().st_size + len(lines) > self._bytes_max:
                self._rotate()
        self._checked_end = True
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            _write(descriptor, lines)
        finally:
            os.close(descriptor)

    def _rotate(self) -> None:
        for number in range(self._kept - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


class LineReader:
    """Reads from the oldest line on, while another process may be writing. Raises `FileNotFoundError`."""

    def __init__(self, files: BoundedFile) -> None:
        self._files = files
        if not files.paths:
            raise FileNotFoundError
        self._file = files.paths[-1].open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def more_lines(self) -> Iterator[bytes]:
        """The whole lines added since the last call."""
        while True:
            for line in self._file:
                if not line.endswith(b"\n"):
                    self._file.seek(-len(line), os.SEEK_CUR)
                    return
                yield line
            newer = list(takewhile(self._is_another, self._files.paths))
            if not newer:
                return
            self._file.close()
            self._file = newer[-1].open("rb")

    def _is_another(self, path: Path) -> bool:
        return not os.path.samestat(path.stat(), os.fstat(self._file.fileno()))


def _write(descriptor: int, lines: bytes) -> None:
    size = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, lines)
        while written < len(lines):
            written += os.write(descriptor, lines[written:])
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _drop_incomplete_line(path: Path) -> None:
    """Removes an incomplete last line, as a power failure may leave."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - 64 * 1024)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                file.truncate(begin + newline + 1)
                return
            end = begin
        file.truncate(0)
