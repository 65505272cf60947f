"""Calls a function for many things at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

THREADS = 8


class ParallelMap(Protocol):
    """`work` of each thing, in parallel; the results are in the order of the things."""

    def __call__(self, work: Callable[[Given], Made], things: list[Given]) -> list[Made]:
        """Raises what `work` raises."""


def over_threads(work: Callable[[Given], Made], things: list[Given]) -> list[Made]:
    """On at most `THREADS` threads, which end before it returns."""
    if len(things) < 2:
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, things))
