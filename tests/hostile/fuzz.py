"""Looks for bytes of a sandbox's file that break something, or take too long, led by what they make the code do.

python -m tests.hostile.fuzz MINUTES
python -m tests.hostile.fuzz --replay FILE

It needs atheris: `pip install --group fuzz`, as `make fuzz` does.
"""

import hashlib
import multiprocessing
import re
import shutil
import statistics
import subprocess
import sys
import time
import traceback
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from reconciler.sources.compose_keys import KEYS
from reconciler.spec.parts import Healthcheck, Port, Tmpfs, Volume
from reconciler.spec.sandbox import Sandbox
from tests.hostile.from_bytes import FromBytes

CPU_MILLISECONDS_MAX = 100.0
PEAK_BYTES_MAX = 64 << 20
MEASURED_TIMES = 5
LARGE_MEASURED = 100
"""So many of the largest inputs are measured besides the slowest."""
CASES = Path(__file__).parent.parent / "unit" / "cases"
MEMORY = Path("/dev/shm")
WORDS = [
    *(key for model in (Sandbox, Healthcheck, Port, Tmpfs, Volume) for key in model.model_fields),
    *KEYS,
    *("busybox", "app:1", "/usr/lib", "/usr/bin", "512m", "1000:1000", "61000", "[CMD, true]", "bind", "stopped"),
    *(
        "reconciler.",
        "!!bool ",
        "&a ",
        "*a",
        "<<: ",
        "<<: *a\n",
        "<<: [*a, *b]\n",
        "$$",
        "${",
        "\\u202e",
        "\\u200b",
        "\\ud800",
        "\\0",
        "\\n",
        "\n  - ",
        ": ",
        "? ",
        "| ",
        "---\n",
    ),
]


@dataclass(frozen=True)
class Measured:
    """One input, by itself and with nothing that slows it down; `finding` is empty when it did what it must."""

    data: bytes
    cpu_milliseconds: float
    peak_bytes: int
    finding: str

    @property
    def trouble(self) -> bool:
        too_much = self.cpu_milliseconds > CPU_MILLISECONDS_MAX or self.peak_bytes > PEAK_BYTES_MAX
        return too_much or bool(self.finding)

    def __str__(self) -> str:
        figures = f"{len(self.data)} bytes: {self.cpu_milliseconds:.1f} ms of CPU time, {self.peak_bytes >> 10} KiB"
        return "\n".join(filter(None, (figures, self.finding)))


def measure(data: bytes) -> Measured:
    """The median of some scans and decisions in this process, and the peak of one more."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        tried = [_try(data, Path(directory)) for _ in range(MEASURED_TIMES)]
        tracemalloc.start()
        _try(data, Path(directory))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return Measured(data, statistics.median(milliseconds for milliseconds, _ in tried), peak, tried[0][1])


def _try(data: bytes, directory: Path) -> tuple[float, str]:
    """Milliseconds and what is wrong. The reader is a new one each time, as the same one would remember the file."""
    from_bytes = FromBytes(directory)
    from_bytes.put(data)
    milliseconds = 0.0
    begun = time.process_time()
    try:
        decided = from_bytes.decide()
        milliseconds = (time.process_time() - begun) * 1000
        from_bytes.check(decided)
    except Exception as error:
        return milliseconds, "".join(traceback.format_exception(error, limit=-1)).strip()
    return milliseconds, ""


def fuzz(minutes: float) -> int:
    """The exit code."""
    with TemporaryDirectory() as directory:
        bench = Path(directory)
        _prepare(bench)
        command = [sys.executable, "-m", "tests.hostile.fuzz_target", str(bench), str(round(minutes * 60))]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        findings, slow, corpus = (_read(bench / name) for name in ("findings", "slow", "corpus"))
    said = done.stdout.decode(errors="replace")
    tried = re.search(r"stat::number_of_executed_units: +(\d+)", said)
    if tried is None or not slow:
        print(f"the fuzzer ended with exit code {done.returncode}:\n{said[-4000:]}")
        return 1
    large = sorted(corpus, key=len)[-LARGE_MEASURED:]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as untraced:
        measured = list(untraced.map(measure, [*slow, *large]))
    slowest = max(measured, key=lambda one: one.cpu_milliseconds)
    largest = max(measured, key=lambda one: one.peak_bytes)
    print(f"{tried[1]} inputs tried, {len(corpus)} of them new to the code, {len(findings)} findings")
    print(f"the slowest: {slowest}")
    print(f"the largest: {largest}")
    bad = {*findings, *(one.data for one in (slowest, largest) if one.trouble)}
    for data in bad:
        _save(data)
    return 1 if bad else 0


def _prepare(bench: Path) -> None:
    for name in ("corpus", "findings", "slow"):
        (bench / name).mkdir()
    for file in CASES.glob("*/*.yaml"):
        shutil.copy(file, bench / "corpus" / f"{file.parent.name}-{file.name}")
    words = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in WORDS)
    (bench / "dictionary").write_text("".join(f'"{word}"\n' for word in words))


def _read(directory: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(directory.iterdir())]


def _save(data: bytes) -> None:
    file = Path(f"finding-{hashlib.sha256(data).hexdigest()[:8]}.yaml")
    file.write_bytes(data)
    print(f"look at {file}: python -m tests.hostile.fuzz --replay {file}")


def replay(file: Path) -> int:
    """The exit code."""
    measured = measure(file.read_bytes())
    print(measured)
    return 1 if measured.trouble else 0


if __name__ == "__main__":
    sys.exit(replay(Path(sys.argv[2])) if sys.argv[1] == "--replay" else fuzz(float(sys.argv[1])))
