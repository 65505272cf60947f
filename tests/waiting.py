"""Waiting for what comes to be by itself."""

import time
from collections.abc import Callable

WAIT_SECONDS = 30.0


def eventually(true: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Returns as soon as `true` says so; fails with its last answer when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(0.02)
