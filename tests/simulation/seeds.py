"""Plays the stories of many seeds on all cores, and cuts a story that ends badly down to the steps that matter.

python -m tests.simulation.seeds SEEDS [FROM]
"""

import logging
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.simulation.simulation import Simulation, ViolationError
from tests.simulation.story import Step, tell

CHUNK = 25


@dataclass(frozen=True)
class Played:
    """What came of one story; `violation` is empty when all was well."""

    seed: int
    violation: str
    calls: int
    faults: int


def play(seed: int, story: list[Step] | None = None) -> Played:
    """The story of the seed, or another one in its place."""
    simulation = Simulation()
    violation = ""
    try:
        simulation.play(tell(seed) if story is None else story)
    except ViolationError as error:
        violation = str(error)
    engine = simulation.host.engine
    return Played(seed, violation, len(engine.calls), engine.injected)


def play_many(seeds: range) -> list[Played]:
    """On all cores."""
    with ProcessPoolExecutor(os.cpu_count(), initializer=_quiet) as pool:
        return list(pool.map(play, seeds, chunksize=CHUNK))


def shortest(seed: int, violation: str) -> list[Step]:
    """The story without the steps that the violation does not need."""
    story = tell(seed)
    size = len(story) // 2
    while size:
        start = 0
        while start < len(story):
            cut = story[:start] + story[start + size :]
            if _kind(play(seed, cut).violation) == _kind(violation):
                story = cut
            else:
                start += size
        size //= 2
    return story


def _kind(violation: str) -> str:
    """The same kind of violation has the same words, whoever it befalls."""
    return re.sub(r"'\w'|[0-9a-f]{8,}|\b[a-g]\b|\d+", "_", violation)


def _quiet() -> None:
    logging.disable(logging.CRITICAL)


def main(seeds: int, first: int) -> int:
    _quiet()
    played = play_many(range(first, first + seeds))
    bad = [one for one in played if one.violation]
    for one in bad[:5]:
        print(f"seed {one.seed}: {one.violation}")
        for step in shortest(one.seed, one.violation):
            print(f"    {step}")
        print(f"  again with: make simulate SEEDS=1 FROM={one.seed}")
    calls, faults = sum(one.calls for one in played), sum(one.faults for one in played)
    print(f"{len(played)} seeds, {calls} engine calls, {faults} faults injected, {len(bad)} violations")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
