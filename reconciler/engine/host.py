"""What paths are on the engine's host, which is this host."""

import stat
from pathlib import Path

from reconciler.model.world import Source


def examine(path: str, engine_socket: Path | None) -> Source:
    """What a volume's source really is, and why it cannot be mounted, if it cannot.

    A directory that holds the engine's socket can never be: whoever reaches the socket owns the host.
    """
    try:
        real = Path(path).resolve(strict=True)
        mode = real.stat().st_mode
    except (OSError, RuntimeError) as error:
        return Source(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        return Source(str(real), "is neither a directory nor a file")
    if engine_socket is not None and engine_socket.resolve().is_relative_to(real):
        return Source(str(real), "holds the engine's socket")
    return Source(str(real))
