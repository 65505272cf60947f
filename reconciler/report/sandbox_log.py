"""`logs/NAME.log`: the output of a sandbox, across restarts and replacements, bounded by rotation.

Each line is `TIME CONTAINER STREAM TAG TEXT`: the engine's time, twelve digits of the container's id, `stdout`,
`stderr` or `gap` (the text says what is missing), and `F` for a full line or `P` for a part of one. The file itself
records how far each container was read, so that position and content cannot disagree. The text is as the sandbox wrote
it: read it with `reconciler logs`, which escapes control characters.
"""

import mmap
import os
from collections import deque
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import NamedTuple

from reconciler.model.output import Output
from reconciler.report.bounded_file import BoundedFile, LineReader

BYTES_MAX = 10 * 1024 * 1024
KEPT = 2
GONE_KEPT = 20
"""The number of removed sandboxes whose output is kept."""

TIME_LENGTH = len("2026-11-23T16:17:21.540083684Z")
ID_LENGTH = 12
TAIL_BYTES = 64 * 1024


class Position(NamedTuple):
    """The time of the last line written for a container, and how many written lines have that time."""

    at: bytes = b""
    lines: int = 0


class Line(NamedTuple):
    """One line of the file. `whole` is false for a part that the next line of the same stream continues."""

    at: bytes
    container: bytes
    stream: bytes
    whole: bool
    text: bytes


class SandboxLog:
    """The output of one sandbox. Only one thread may write at a time."""

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._file = BoundedFile(path, bytes_max, KEPT)
        self._read = ("", Position())

    def append(self, container: str, outputs: Iterable[Output]) -> None:
        """Appends the output of a container, all or nothing; raises `OSError`."""
        at, count = self.position(container)
        lines = []
        for output in outputs:
            lines.append(_line(container, output))
            at, count = output.at, count + 1 if output.at == at else 1
        if lines:
            self._file.append(b"".join(lines))
            self._read = container, Position(at, count)

    def position(self, container: str) -> Position:
        """How far the container has been read, also by earlier controllers."""
        if self._read[0] != container:
            found = (_position(path, _short(container)) for path in self._file.paths)
            self._read = container, next(filter(None, found), Position())
        return self._read[1]

    def last_output(self, container: str, count: int) -> tuple[bytes, ...]:
        """The last lines of a container, of those near the end of the files; a line in parts counts as one."""
        end = b"".join(map(_end, reversed(self._file.paths)))
        ours = (line for line in map(parsed, end.split(b"\n")) if line and line.container == _short(container))
        return tuple(deque(joined(ours), maxlen=count))


class LogReader(LineReader):
    """Reads a log from its oldest line on, while another process may be writing it. Raises `FileNotFoundError`."""

    def __init__(self, path: Path) -> None:
        super().__init__(BoundedFile(path, BYTES_MAX, KEPT))

    def more(self) -> Iterator[Line]:
        """The lines added since the last call."""
        return filter(None, map(parsed, self.more_lines()))


def delete_old_logs(directory: Path, sandboxes: Set[str]) -> None:
    """Deletes the output of removed sandboxes but for the newest `GONE_KEPT`; raises `OSError`."""
    gone = [path for path in directory.glob("*.log") if path.stem not in sandboxes]
    for log_file in sorted(gone, key=lambda path: path.stat().st_mtime)[:-GONE_KEPT]:
        for path in directory.glob(f"{log_file.name}*"):
            path.unlink()


def parsed(line: bytes) -> Line | None:
    """None for a malformed line."""
    parts = line.removesuffix(b"\n").split(b" ", 4)
    if len(parts) != 5 or len(parts[0]) != TIME_LENGTH or parts[3] not in {b"F", b"P"}:
        return None
    return Line(parts[0], parts[1], parts[2], parts[3] == b"F", parts[4])


def joined(lines: Iterable[Line]) -> Iterator[bytes]:
    """The texts of whole lines, their parts joined."""
    begun: dict[bytes, list[bytes]] = {}
    for line in lines:
        pieces = begun.setdefault(line.stream, [])
        pieces.append(line.text)
        if line.whole:
            yield b"".join(begun.pop(line.stream))
    yield from map(b"".join, begun.values())


def _line(container: str, output: Output) -> bytes:
    tag = b"F" if output.text.endswith(b"\n") else b"P"
    return b"%b %b %b %b %b\n" % (output.at, _short(container), output.stream, tag, output.text.removesuffix(b"\n"))


def _short(container: str) -> bytes:
    return container[:ID_LENGTH].encode()


def _position(path: Path, container: bytes) -> Position | None:
    """Matches the id only in its own column: a sandbox may print anything."""
    at, count = b"", 0
    for line in _backwards(path, b"Z %b " % container):
        if at and line[:TIME_LENGTH] != at:
            break
        at, count = line[:TIME_LENGTH], count + 1
    return Position(at, count) if at else None


def _backwards(path: Path, mark: bytes) -> Iterator[bytes]:
    """The lines with the mark at the end of their time, last first."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            end = len(text)
            while (found := text.rfind(mark, 0, end)) >= 0:
                end = text.rfind(b"\n", 0, found) + 1
                marked = end + TIME_LENGTH - 1
                if text[marked : marked + len(mark)] == mark:
                    yield text[end:marked] + mark


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read()
