"""How things are measured: in turns, so that a machine that becomes slower does so for all of them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

COMMAND_SECONDS = 900


@dataclass(frozen=True)
class Sample:
    """What was measured of one thing, in `unit`: s, %, MB, or nothing."""

    values: tuple[float, ...]
    unit: str = "s"

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def spread(self) -> float | None:
        """From the least to the most, in medians; None of a single value."""
        if len(self.values) < 2 or not self.median:
            return None
        return (max(self.values) - min(self.values)) / self.median


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def alternate(rounds: int, *measures: Callable[[], float], unit: str = "s") -> list[Sample]:
    """One value of each in turn, so many times."""
    taken = [[measure() for measure in measures] for _ in range(rounds)]
    return [Sample(values, unit) for values in zip(*taken, strict=True)]


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def process(command: list[str], environment: Mapping[str, str] | None = None) -> float:
    """The seconds of a whole process, from its start to its end; it must end well."""
    done: list[subprocess.CompletedProcess[str]] = []

    def work() -> None:
        done.append(
            subprocess.run(
                command,
                env={**os.environ, **(environment or {})},
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        )

    took = seconds(work)
    if done[0].returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done[0].returncode}\n{done[0].stdout}{done[0].stderr}")
    return took


def until(true: Callable[[], object], patience_seconds: float = 60) -> None:
    """Looks every 20 ms; never used to tell a time."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            if true():
                return
        time.sleep(0.02)
    raise TimeoutError(f"it did not come to be within {patience_seconds:g} s")
