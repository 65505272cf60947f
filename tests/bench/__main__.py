"""`make bench`: how fast, beside what it could be.

    python -m tests.bench [-o markdown|json] [ROW...]

Each figure stands beside a reference from the same run: the floor (the same engine calls made directly) or `docker
compose`, of which the one is used that COMPOSE names or that is installed. Nothing is asserted, all runs on an engine
of its own, and nothing is left behind. All rows take a quarter of an hour; numbers choose some.
"""

import argparse
import json
import os
import platform
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from compileall import compile_dir
from functools import partial
from pathlib import Path

import reconciler
from tests.bench import calls, commands, converge, decide, flood, idle, memory, react
from tests.bench.measure import say
from tests.bench.place import Place
from tests.bench.table import Line, as_json, markdown
from tests.busybox_image import make_image
from tests.conftest import IMAGE
from tests.private_engine import PrivateEngine, install
from tests.run_with_engine import INTERRUPTED, on_signals

PACKAGE = Path(reconciler.__file__).parent

Benchmark = Callable[[Place], Iterator[Line]]

MEMORY = memory.Memory()

ORDER: tuple[tuple[int, Benchmark], ...] = (
    (9, lambda _: decide.linear([100, 1_000, 10_000], rounds=3)),
    (12, partial(converge.verification, rounds=10)),
    (13, partial(converge.among_many, files=10_000)),
    (14, flood.flood),
    (10, partial(calls.per_sandbox, rounds=2)),
    (2, partial(react.edit, rounds=8)),
    (3, partial(react.new_file, rounds=8)),
    (4, partial(react.killed, rounds=8)),
    (1, partial(converge.first, wanted=20, rounds=3)),
    (1, partial(converge.first, wanted=100, rounds=3)),
    (8, partial(MEMORY.with_crowd, wanted=5, rounds=3)),
    (5, partial(idle.passes, wanted=5, rounds=5)),
    (6, partial(commands.commands, wanted=5, rounds=5)),
    (8, partial(MEMORY.with_crowd, wanted=100, rounds=3)),
    (7, partial(idle.minute, wanted=100)),
    (5, partial(idle.passes, wanted=100, rounds=5)),
    (6, partial(commands.commands, wanted=100, rounds=5)),
    (11, partial(converge.under_a_raised_limit, wanted=300)),
    (11, partial(idle.passes, wanted=300, rounds=5, row=11, composed=False)),
    (11, partial(MEMORY.with_crowd, wanted=300, rounds=1, row=11)),
    (5, partial(idle.passes, wanted=500, rounds=5, composed=False)),
    (8, partial(MEMORY.with_crowd, wanted=500, rounds=1)),
    (8, MEMORY.growth),
)
"""What needs a crowd of sandboxes comes in the order of its size: a crowd only grows."""


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    on_signals(signal.default_int_handler)
    install()
    engine = PrivateEngine.for_tests()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as root:
            engine.start()
            make_image(engine.host, IMAGE)
            place = Place.on(engine, Path(root))
            compile_dir(PACKAGE, quiet=1)  # as pip does with what it installs, whatever the environment says
            lines, failed = measured(place, set(options.rows))
            tell = as_json if options.output == "json" else markdown
            told = tell(machine(place), sorted(lines, key=lambda line: line.row))
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        on_signals(signal.SIG_IGN)
        say("ending the engine, and with it all sandboxes")
        engine.erase()
    print(told if isinstance(told, str) else json.dumps(told, indent=1))
    return 1 if failed else 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    rows = sorted({row for row, _ in ORDER})
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures, and prints one table.")
    parser.add_argument("rows", metavar="ROW", type=int, nargs="*", help=f"only these, of {rows[0]} to {rows[-1]}")
    parser.add_argument("-o", "--output", choices=["markdown", "json"], default="markdown")
    options = parser.parse_args(arguments)
    if unknown := set(options.rows) - set(rows):
        parser.error(f"there is no row {', '.join(map(str, sorted(unknown)))}")
    return options


def measured(place: Place, rows: set[int]) -> tuple[list[Line], bool]:
    """All figures, and whether some could not be measured: then the others are told all the same."""
    begun, failed = time.monotonic(), False
    lines: list[Line] = []
    for row, benchmark in ORDER:
        if not rows or row in rows:
            say(f"row {row} ({time.monotonic() - begun:.0f} s so far)")
            try:
                lines.extend(benchmark(place))
            except Exception:
                traceback.print_exc()
                place.clear()
                failed = True
    say(f"done after {time.monotonic() - begun:.0f} s")
    return lines, failed


def machine(place: Place) -> dict[str, str]:
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    bytes_of_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "CPU": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{bytes_of_memory / (1 << 30):.1f} GiB",
        "kernel": platform.release(),
        "engine": place.floor.client.version()["Version"],
        "Compose": place.compose.version if place.compose else "none found: its rows are not measured",
        "Python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
