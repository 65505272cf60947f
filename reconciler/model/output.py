"""What a container says."""

from typing import NamedTuple

GAP = b"gap"
"""The stream of what reconciler says itself, where output is missing."""


class Output(NamedTuple):
    """One line, or a piece of a long one, as raw bytes: whoever shows them must escape them.

    `at` is the engine's time of it, RFC 3339 in UTC with nine digits of the second; the pieces of a line share it.
    `stream` is `stdout`, `stderr` or `GAP`. `text` ends with a newline, unless the line goes on.
    """

    at: bytes
    stream: bytes
    text: bytes
