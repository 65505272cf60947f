"""The process in which libFuzzer tries its inputs: it ends this process itself, so that others must tell the tale.

python -m tests.hostile.fuzz_target BENCH SECONDS

BENCH holds `corpus` and `dictionary`. What came of it is left beside them: `findings`, one input for each kind of
failure, and `slow`, the inputs that took longest.
"""

import hashlib
import heapq
import random
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["reconciler", "yaml"]):
    from tests.hostile.from_bytes import FromBytes

SLOW_KEPT = 30
INPUT_BYTES_MAX = 66_000
"""A little more than a file may have."""
HANG_SECONDS = 60
REPEATED_SHARE = 0.1
REPEATED_BYTES_MAX = 80


class Target:
    """Remembers what failed and what was slow; goes on in any case, so that one run finds all that there is."""

    def __init__(self, bench: Path, from_bytes: FromBytes) -> None:
        self._from_bytes, self._findings, self._slow = from_bytes, bench / "findings", bench / "slow"
        self._slowest: list[tuple[float, str]] = []
        self._kinds: set[str] = set()

    def __call__(self, data: bytes) -> None:
        self._from_bytes.put(data)
        begun = time.process_time()
        try:
            decided = self._from_bytes.decide()
            self._timed(data, time.process_time() - begun)
            self._from_bytes.check(decided)
        except Exception as error:
            self._failed(data, error)

    def _failed(self, data: bytes, error: Exception) -> None:
        """The same kind fails in the same place."""
        kind = f"{type(error).__name__} {traceback.extract_tb(error.__traceback__)[-1].lineno}"
        if kind not in self._kinds:
            self._kinds.add(kind)
            (self._findings / _name(data)).write_bytes(data)

    def _timed(self, data: bytes, seconds: float) -> None:
        if len(self._slowest) == SLOW_KEPT and seconds <= self._slowest[0][0]:
            return
        (self._slow / _name(data)).write_bytes(data)
        heapq.heappush(self._slowest, (seconds, _name(data)))
        if len(self._slowest) > SLOW_KEPT:
            (self._slow / heapq.heappop(self._slowest)[1]).unlink(missing_ok=True)


def mutate(data: bytes, size_max: int, seed: int) -> bytes:
    """As libFuzzer does, and now and then a part of the input again and again: what is slow, is slow in numbers."""
    dice = random.Random(seed)  # noqa: S311 - it must be the same every time
    if not data or dice.random() > REPEATED_SHARE:
        return bytes(atheris.Mutate(data, size_max))
    start = dice.randrange(len(data))
    end = dice.randint(start + 1, min(len(data), start + REPEATED_BYTES_MAX))
    room = max(0, size_max - len(data)) // (end - start)
    return data[:end] + data[start:end] * int(room ** dice.random()) + data[end:]


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def main(bench: Path, seconds: str) -> None:
    flags = {
        "max_total_time": seconds,
        "max_len": INPUT_BYTES_MAX,
        "len_control": 0,
        "timeout": HANG_SECONDS,
        "dict": bench / "dictionary",
        "artifact_prefix": f"{bench}/findings/",
        "print_final_stats": 1,
    }
    with TemporaryDirectory(dir=bench) as directory:
        arguments = [sys.argv[0], *(f"-{flag}={value}" for flag, value in flags.items()), str(bench / "corpus")]
        atheris.Setup(arguments, Target(bench, FromBytes(Path(directory))), custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
