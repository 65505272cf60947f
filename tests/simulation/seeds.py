"""Plays the stories of many seeds on all cores, and cuts a story that ends badly down to the steps that matter.

The digest that it prints is of all engine calls: a change of the code that leaves it as it was has changed no call.

python -m tests.simulation.seeds SEEDS [FROM]
"""

import logging
import os
import re
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

from tests.simulation.properties import ViolationError
from tests.simulation.simulation import Simulation
from tests.simulation.story import Step, tell

CHUNK = 25
PROGRESS = 10_000
"""How many seeds are played between two lines that say how far it is."""

NUMBER = re.compile(r"(?<=\.)[0-9a-f]{8}\b|\b(?:[0-9a-f]{32}){1,2}\b")
"""The end of a container's name; a salt; a fingerprint, or an id of the engine's."""


@dataclass(frozen=True)
class Played:
    """What came of one story; `violation` is empty when all was well."""

    seed: int
    violation: str
    calls: int
    faults: int
    digest: str


def play(seed: int, story: list[Step] | None = None) -> Played:
    """The story of the seed, or another one in its place."""
    simulation = Simulation()
    violation = ""
    try:
        simulation.play(tell(seed) if story is None else story)
    except ViolationError as error:
        violation = str(error)
    engine = simulation.host.engine
    return Played(seed, violation, len(engine.calls), engine.injected, digest(engine.asked))


def digest(calls: Iterable[str]) -> str:
    """The same for the same calls in the same order. Of fingerprints, salts and ids it only matters which are equal."""
    numbers: dict[str, int] = {}
    told = NUMBER.sub(lambda found: f"#{numbers.setdefault(found[0], len(numbers))}", "\n".join(calls))
    return sha256(told.encode()).hexdigest()[:16]


def play_many(seeds: range) -> list[Played]:
    """On all cores; a violation is told at once."""
    played: list[Played] = []
    with ProcessPoolExecutor(os.cpu_count(), initializer=_quiet) as pool:
        for one in pool.map(play, seeds, chunksize=CHUNK):
            played.append(one)
            if one.violation:
                print(f"seed {one.seed}: {one.violation}", flush=True)
            if len(played) % PROGRESS == 0:
                bad = sum(bool(one.violation) for one in played)
                print(f"{len(played)} of {len(seeds)} seeds, {bad} violations", flush=True)
    return played


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
    print(f"digest of the calls: {digest(one.digest for one in played)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
