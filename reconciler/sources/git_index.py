"""Reads which files git tracks in a directory from the work tree's index, see gitformat-index(5)."""

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.sources.git_head import Checkout
from reconciler.sources.names import meant
from reconciler.sources.root import open_anywhere, read_regular
from reconciler.spec.mistake import Mistake

BYTES_MAX = 32 * 1024 * 1024
"""The size of an index of about 250,000 files."""

VERSIONS = (2, 3)
PARTIAL = {b"link", b"sdir"}
"""Extensions of an index that does not list every file."""

MALFORMED = (ValueError, struct.error)

LINK = 0o120000
TYPE, NAME_LENGTH, STAGE, EXTENDED = 0o170000, 0xFFF, 0x3000, 0x4000
SKIP_WORKTREE = 0x4000
"""Of the extended flags."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """`blobs` are the hashes of the sandboxes' files directly in one directory.

    `incomparable` are files whose contents cannot be compared: links, and files that a sparse checkout leaves out.
    """

    blobs: Mapping[str, bytes] = field(default_factory=dict)
    incomparable: frozenset[str] = frozenset()


class Index:
    """The index of one work tree, read again when the file has changed."""

    def __init__(self) -> None:
        self._key: object = None
        self._tracked: Tracked | None = None

    def tracked(self, checkout: Checkout) -> Tracked | None:
        """None if the index cannot be read, is too large, or its format is not supported. Never raises."""
        try:
            found = checkout.index.stat()
            key = (checkout, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if key != self._key:
                self._tracked = _read(checkout)
                self._key = key
        except (OSError, Mistake, *MALFORMED):
            self._key = self._tracked = None
        return self._tracked


def _read(checkout: Checkout) -> Tracked | None:
    contents = read_regular(open_anywhere(checkout.index), BYTES_MAX)
    if len(contents) == BYTES_MAX:
        return None
    return parse(contents, checkout.inner, len(checkout.commit) // 2)


def parse(contents: bytes, inner: str, hash_bytes: int) -> Tracked | None:
    """The tracked files of the directory `inner`. Raises one of `MALFORMED` for a truncated index."""
    magic, version, count = struct.unpack_from(">4sII", contents)
    if magic != b"DIRC" or version not in VERSIONS:
        return None
    entry, prefix = struct.Struct(f">I12x{hash_bytes}sH"), os.fsencode(inner)
    blobs: dict[str, bytes] = {}
    incomparable: set[str] = set()
    position = 12
    for _ in range(count):
        mode, blob, flags = entry.unpack_from(contents, position + 24)
        begin, extended = position + 24 + entry.size, 0
        if flags & EXTENDED:
            (extended,) = struct.unpack_from(">H", contents, begin)
            begin += 2
        length = flags & NAME_LENGTH
        end = begin + length if length < NAME_LENGTH else contents.index(0, begin)
        if contents.startswith(prefix, begin) and contents.find(b"/", begin + len(prefix), end) < 0:
            name = os.fsdecode(contents[begin + len(prefix) : end])
            if mode & TYPE == LINK or extended & SKIP_WORKTREE:
                incomparable.add(name)
            elif meant(name):
                blobs[name] = b"" if flags & STAGE else blob
        position += (end - position) // 8 * 8 + 8
    return None if PARTIAL & _extensions(contents, position, hash_bytes) else Tracked(blobs, frozenset(incomparable))


def _extensions(contents: bytes, position: int, hash_bytes: int) -> set[bytes]:
    found = set()
    while position < len(contents) - hash_bytes:
        name, size = struct.unpack_from(">4sI", contents, position)
        found.add(name)
        position += 8 + size
    if position != len(contents) - hash_bytes:
        raise ValueError("it does not end where it should")
    return found
