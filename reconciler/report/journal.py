"""`journal.jsonl`: every action and every refusal, one JSON object a line, bounded by rotation."""

import logging
import os
from pathlib import Path

from reconciler.model.status import JournalEntry

log = logging.getLogger(__name__)

BYTES_MAX = 10 * 1024 * 1024
KEPT = 3
"""So many full files stay beside the current one: `journal.jsonl.1` is the newest of them."""


class Journal:
    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max

    def write(self, entry: JournalEntry) -> None:
        """Appends one line, whole or not at all. A write that fails is logged; it never fails the caller."""
        line = entry.model_dump_json().encode("utf-8", "backslashreplace") + b"\n"
        try:
            self._rotate(len(line))
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                size = os.fstat(descriptor).st_size
                if os.write(descriptor, line) != len(line):
                    os.ftruncate(descriptor, size)
                    log.warning("cannot write %s: no space left", self._path)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("cannot write %s: %s", self._path, error.strerror)

    def _rotate(self, coming_bytes: int) -> None:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return
        if size + coming_bytes <= self._bytes_max:
            return
        for number in range(KEPT - 1, 0, -1):
            if self._numbered(number).exists():
                self._numbered(number).replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
