"""Row 9: scan, check, render and decide, without an engine.

Cold: every file is read for the first time, and nothing runs. Changed: the same directory again with one file of
another content, while all run as they were rendered, as in one pass of a controller after another.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import linear_regression

from reconciler.model.capabilities import ALL
from reconciler.model.labels import Owner
from reconciler.model.plan import Verdict
from reconciler.model.status import SandboxStatus
from reconciler.model.world import EngineFacts, Image, Network, State, World
from reconciler.planning.decide import decide
from reconciler.planning.memo import Memo
from reconciler.planning.situation import Memory
from reconciler.sources.directory import Directory
from reconciler.spec.policy import Policy
from tests.bench.measure import Sample, alternate, say, seconds
from tests.bench.place import expect
from tests.bench.table import Goal, Line
from tests.conftest import IMAGE
from tests.scene import BROUGHT, NOW, observed

FILE = """\
image: {image}
command: ["sh", "-c", "echo {number}; sleep 1000000"]
environment:
  NUMBER: {number}
ports: [3000]
mem_limit: {megabytes}m
cpus: 0.5
"""

COLD_GOALS = {10_000: Goal(plus=5)}
CHANGED_GOALS = {10_000: Goal(plus=0.5)}


def linear(counts: list[int], rounds: int) -> Iterator[Line]:
    cold: dict[int, Sample] = {}
    changed: dict[int, Sample] = {}
    for count in counts:
        say(f"row 9: {count} files")
        cold[count], changed[count] = _measured(count, rounds)
        yield Line(9, f"read and decide, {count:,} files, cold", cold[count], goal=COLD_GOALS.get(count))
        yield Line(9, f"read and decide, {count:,} files, one changed", changed[count], goal=CHANGED_GOALS.get(count))
    for figure, samples in (("cold", cold), ("one changed", changed)):
        slope = Sample((exponent(samples),), "")
        yield Line(9, f"read and decide, exponent of growth, {figure}", slope, goal=Goal(plus=1.05))


def exponent(samples: dict[int, Sample]) -> float:
    """1 where twice the files take twice the time."""
    counts, medians = map(math.log, samples), [math.log(sample.median) for sample in samples.values()]
    return linear_regression(list(counts), medians).slope


def _measured(count: int, rounds: int) -> tuple[Sample, Sample]:
    policy = Policy(sandboxes_max=count)
    empty = World(
        owner=Owner("default"),
        engine=EngineFacts("Docker", "20.10", "1.41", ALL),
        network=Network("reconciler.default", "n" * 64),
        images={IMAGE: Image(IMAGE, "sha256:0", "", **BROUGHT)},
    )
    with tempfile.TemporaryDirectory(prefix="bench-files-") as root:
        for number in range(count):
            _write(Path(root), number, 64)

        def cold() -> float:
            verdicts: Counter[Verdict] = Counter()
            new = Directory(Path(root))
            took = seconds(lambda: verdicts.update(_verdicts(new, policy, empty, Memory({}, b""), Memo())))
            expect(verdicts, {Verdict.CREATE: count})
            return took

        (first,) = alternate(rounds, cold)  # before there is anything else that a garbage collector would look through
        directory = Directory(Path(root))
        full = _running(directory, policy, empty)
        statuses = {one.sandbox: SandboxStatus(name=one.sandbox) for one in full.containers}
        sizes = iter(range(100, 100 + rounds))
        memo = Memo()
        _verdicts(directory, policy, full, Memory(statuses, b""), memo)

        def changed() -> float:
            _write(Path(root), 0, next(sizes))
            verdicts: Counter[Verdict] = Counter()
            took = seconds(lambda: verdicts.update(_verdicts(directory, policy, full, Memory(statuses, b""), memo)))
            expect(verdicts, {Verdict.KEEP: count - 1, Verdict.REPLACE: 1})
            return took

        (again,) = alternate(rounds, changed)
    return first, again


def _write(root: Path, number: int, megabytes: int) -> None:
    (root / f"s{number}.yaml").write_text(FILE.format(image=IMAGE, number=number, megabytes=megabytes))


def _verdicts(directory: Directory, policy: Policy, world: World, memory: Memory, memo: Memo) -> list[Verdict]:
    return [planned.verdict for planned in decide(directory.scan(), policy, world, memory, NOW, memo).sandboxes]


def _running(directory: Directory, policy: Policy, empty: World) -> World:
    """Where all of them run; the engine's answers are its own, not ours under another name."""
    plan = decide(directory.scan(), policy, empty, Memory({}, b""), NOW)
    wanted = [planned.rendered for planned in plan.sandboxes if planned.rendered]
    return replace(
        empty,
        containers=tuple(observed(one, f"{number:064x}", State.RUNNING) for number, one in enumerate(wanted)),
    )
