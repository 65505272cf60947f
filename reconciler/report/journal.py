"""`journal.jsonl`: every action and every refusal, one JSON object a line, bounded by rotation."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from reconciler.model.status import JournalEntry
from reconciler.report.bounded_file import BoundedFile, LineReader
from reconciler.report.escaped_json import escaped_json

log = logging.getLogger(__name__)

BYTES_MAX = 10 * 1024 * 1024
KEPT = 3


class Journal:
    """A file of lines in JSON, of bounded size."""

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._path = path
        self._file = BoundedFile(path, bytes_max, KEPT)

    def write(self, entry: JournalEntry) -> None:
        """Appends one line. A failed write is logged and never fails the caller."""
        try:
            self._file.append(escaped_json(entry) + b"\n")
        except OSError as error:
            log.warning("cannot write %s: %s", self._path, error.strerror)


class JournalReader(LineReader):
    """Reads a journal from its oldest entry on, while a controller may be writing it. Raises `FileNotFoundError`."""

    def __init__(self, path: Path) -> None:
        super().__init__(BoundedFile(path, BYTES_MAX, KEPT))

    def more(self) -> Iterator[JournalEntry]:
        """The entries added since the last call; not those of a version that has other fields."""
        for line in self.more_lines():
            with suppress(ValidationError):
                yield JournalEntry.model_validate_json(line)
