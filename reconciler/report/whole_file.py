"""Files that are always complete: each is written whole, in the place of what was there, and read whole."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
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
    with _beside(path, content, MODE, durable=durable) as temporary:
        temporary.replace(path)
    if durable:
        _sync_directory(path.parent)


def create_whole(path: Path, content: bytes) -> None:
    """Makes a file where none is, whole or not at all, with the mode of any new file. Raises OSError."""
    umask = os.umask(0o077)  # it cannot be asked for in another way
    os.umask(umask)
    with _beside(path, content, 0o666 & ~umask, durable=True) as temporary:
        path.hardlink_to(temporary)
    _sync_directory(path.parent)


@contextlib.contextmanager
def _beside(path: Path, content: bytes, mode: int, *, durable: bool) -> Iterator[Path]:
    """A temporary file, which nothing is left of in the end."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        yield Path(temporary)
    finally:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()


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
