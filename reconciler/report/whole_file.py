"""Files that are always complete: each is written whole, in the place of what was there, and read whole."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

MODE = 0o640
"""Of every file that a controller writes."""

Model = TypeVar("Model", bound=BaseModel)


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replaces a file atomically: it has the old or the new content, also after a crash or on a full disk.

    What is not `durable` is not synced: when the whole machine goes down, what was written last may be lost. Raises
    OSError.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), MODE)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    if durable:
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_whole(path: Path, model: type[Model]) -> Model | None:
    """The model that is in the file as JSON; None where there is no file, or it cannot be read."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
