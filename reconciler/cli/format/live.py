"""Lines that are redrawn in place on a terminal."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from reconciler.cli.format.terminal import Line, escaped

REDRAWS_PER_SECOND = 2

ENDS = frozenset({signal.SIGINT, signal.SIGTERM})

Picture = Callable[[int], Sequence[Line]]
"""The lines to show now, none wider than the given number of cells."""


def watch(picture: Picture) -> None:
    """Shows the picture on a screen of its own until somebody ends it; then the terminal is as it was."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    with _live(picture, Console(highlight=False), screen=True):
        signal.sigwait(ENDS)


@contextmanager
def shown_meanwhile(picture: Picture) -> Iterator[None]:
    """Shows the picture on stderr, beneath what is logged there, until the block ends; then nothing is left of it."""
    with _live(picture, Console(stderr=True, highlight=False), screen=False), _logging_above():
        yield


def _live(picture: Picture, console: Console, *, screen: bool) -> Live:
    def drawn() -> Text:
        return Text.from_ansi("\n".join(map(escaped, picture(console.width))), no_wrap=True, overflow="crop")

    return Live(
        get_renderable=drawn, console=console, screen=screen, transient=True, refresh_per_second=REDRAWS_PER_SECOND
    )


@contextmanager
def _logging_above() -> Iterator[None]:
    """While a `Live` lives, sys.stderr is a stream that writes above it."""
    handlers = [one for one in logging.getLogger().handlers if isinstance(one, logging.StreamHandler)]
    before = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            if stream is not None:
                handler.setStream(stream)
