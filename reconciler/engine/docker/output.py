"""The output of a container, from the stream in which the engine sends it."""

import re
from calendar import timegm
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from requests import Response

from reconciler.engine.docker.encode import NANOSECONDS
from reconciler.model.output import Output

STREAMS = {1: b"stdout", 2: b"stderr"}
PIECE_BYTES = 64 * 1024
FRAME_HEADER_BYTES = 8
FRAME_BYTES_MAX = 1024 * 1024
OUTPUT_TIME = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z")


def pieces(response: Response) -> Iterator[bytes]:
    """The text of an answer as it comes, what is there already together: an engine puts each line in a chunk of HTTP,
    and urllib3 gives each chunk by itself.
    """
    raw: Any = response.raw
    if not raw.chunked:
        return iter(raw.stream(PIECE_BYTES))
    received = raw._fp.fp  # noqa: SLF001 - as docker-py does, for the streams that it reads itself
    return unchunked(iter(lambda: received.read1(PIECE_BYTES), b""))


def unchunked(received: Iterable[bytes]) -> Iterator[bytes]:
    """What the chunks hold that are complete, until the empty one that ends them. Raises ConnectionError without it."""
    rest = b""
    for piece in received:
        rest += piece
        found: list[bytes] = []
        begin = 0
        while (line_end := rest.find(b"\r\n", begin)) >= 0:
            size, text = int(rest[begin:line_end].partition(b";")[0], 16), line_end + 2
            if not 0 <= size <= FRAME_BYTES_MAX:
                raise ValueError("a chunk of output has no such size")
            if len(rest) < text + size + 2:
                break
            found.append(rest[text : text + size])
            begin = text + size + 2
        rest = rest[begin:]
        if any(found):
            yield b"".join(found)
        if found and not found[-1]:
            return
    raise ConnectionError("the output ended in the middle")


def outputs(chunks: Iterable[bytes]) -> Iterator[list[Output]]:
    """The frames of a stream of output, those of one chunk together."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        found: list[Output] = []
        begin = 0
        while len(rest) >= (text := begin + FRAME_HEADER_BYTES):
            end = text + int.from_bytes(rest[text - 4 : text], "big")
            if end - text > FRAME_BYTES_MAX:
                raise ValueError("a frame of output is too long")
            if end > len(rest):
                break
            found.append(_output(rest[begin], rest[text:end]))
            begin = end
        rest = rest[begin:]
        if found:
            yield found


def _output(stream: int, frame: bytes) -> Output:
    at, _, text = frame.partition(b" ")
    if not OUTPUT_TIME.fullmatch(at):
        raise ValueError("output without its time")
    return Output(at, STREAMS[stream], text)


def unix_time(at: bytes) -> str:
    """A microsecond before an `Output` was said, as the engine wants to be asked for it.

    Podman loses digits, and what was said at that very moment.
    """
    seconds = timegm(datetime.fromisoformat(at[:19].decode()).timetuple())
    before = seconds * NANOSECONDS + int(at[20:29]) - 1000
    return f"{before // NANOSECONDS}.{before % NANOSECONDS:09}"
