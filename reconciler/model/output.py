"""What a container says."""

from datetime import datetime
from typing import NamedTuple


class Output(NamedTuple):
    """One line, or a piece of a long one, as raw bytes: whoever shows them must escape them.

    `at` is the engine's time of it, RFC 3339 in UTC with nine digits of the second; the pieces of a line share it.
    `stream` is `stdout` or `stderr`. `text` ends with a newline, unless the line goes on.
    """

    at: bytes
    stream: bytes
    text: bytes

    @property
    def seconds(self) -> float:
        """`at`, in seconds since the epoch."""
        return datetime.fromisoformat(f"{self.at[:19].decode()}+00:00").timestamp() + float(self.at[19:29])
