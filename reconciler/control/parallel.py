"""The same work for many things at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

THREADS = 8


class ParallelMap(Protocol):
    """Does the same for many things, and gives the results in their order."""

    def __call__(self, work: Callable[[Given], Made], things: list[Given]) -> list[Made]: ...


def over_threads(work: Callable[[Given], Made], things: list[Given]) -> list[Made]:
    if len(things) < 2:
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, things))
