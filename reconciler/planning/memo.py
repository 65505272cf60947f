"""Answers of pure functions, kept from one pass to the next: what has not changed is not worked out again."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from reconciler.model.world import Image, Summary

Arguments = TypeVarTuple("Arguments")
Answer = TypeVar("Answer")

_Known = defaultdict[Callable[..., Any], dict[str, tuple[tuple[object, ...], Any]]]

_BY_VALUE = (str, dict, Summary, Image)
"""Plain data, which is made anew in every pass."""


class Memo:
    """Asks pure functions, or remembers what each of them answered last about a thing.

    An answer holds for as long as the arguments are the same, so what is remembered differs from what would be worked
    out in nothing but its cost. What one pass does not ask for, the next one has forgotten.
    """

    def __init__(self) -> None:
        self._before = _Known(dict)
        self._now = _Known(dict)

    def next_pass(self) -> None:
        """Forgets what the pass before the last one asked for."""
        self._before, self._now = self._now, _Known(dict)

    def __call__(self, function: Callable[[*Arguments], Answer], about: str, *arguments: *Arguments) -> Answer:
        """What the function answers; `about` tells apart the things that it is asked about."""
        known = self._now[function].get(about) or self._before[function].get(about)
        if known is None or not all(map(_same, known[0], arguments)):
            known = arguments, function(*arguments)
        self._now[function][about] = known
        answer: Answer = known[1]
        return answer


def _same(before: object, now: object) -> bool:
    """Equal is not enough of a model: one that says what is the default anyway is equal to one that does not say it."""
    return before is now or (type(now) in _BY_VALUE and before == now)
