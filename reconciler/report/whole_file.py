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


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file atomically: it has the old or the new content, also after a crash or on a full disk."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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
