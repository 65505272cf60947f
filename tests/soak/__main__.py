"""Lets the installed command live through trouble on a real engine, and looks on from outside.

    python -m tests.soak MINUTES [SEED]

20 sandboxes are edited, broken, deleted, killed, stopped, removed and drift; the engine restarts and crashes. The
controller itself is killed in the first fifth of the time only. At the end of that fifth the engine restarts, so that
all sandboxes are worked on at once; another tenth later, what is left is warm, and the measuring begins. In the end all
must be as declared within a minute. Nothing is left behind, unless something was wrong.

A series grows when the line through it rises, from the first to the last of what was measured, by more than 5 % of its
mean, by one or more, and by more than three standard errors. The journal alone may grow, up to the size at which its
oldest file is dropped.
"""

import contextlib
import logging
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import correlation, fmean, linear_regression
from typing import Any

from reconciler.model import labels
from reconciler.report.journal import BYTES_MAX, KEPT
from tests.busybox_image import make_image
from tests.conftest import IMAGE
from tests.floor import outside_the_floor
from tests.private_engine import PrivateEngine, install
from tests.run_with_engine import INTERRUPTED, on_signals
from tests.soak.trouble import Controller, Trouble
from tests.soak.watch import LIMIT, Sample, Watch, things
from tests.system.conftest import Operator

POLICY = {"sandboxes_max": LIMIT, "removals": {"max": LIMIT, "share": 1.0}}
STRANGER = {"Cmd": ["sleep", "1000000"], "HostConfig": {"Init": True}}

AT_REST = {"containers": LIMIT, "volumes": 0, "networks": 1}
SETTLE_SECONDS = 60
PAUSE_SECONDS = 0.8
"""The mean time between two events, which themselves take a little."""

EARLY = 0.2
"""The part of the time in which the controller is killed now and then."""

WARM = 0.3
"""The part of the time after which it is measured."""

SAMPLES_MIN = 10


def main(minutes: float, seed: int) -> int:
    print(f"seed {seed}", flush=True)
    on_signals(signal.default_int_handler)
    install()
    root = Path(tempfile.mkdtemp(prefix="soak-"))
    logging.basicConfig(filename=root / "events.log", level=logging.INFO, format="%(asctime)s %(message)s")
    operator = Operator(root, PrivateEngine.for_tests(), "soak")
    watch = Watch(operator)
    code = 1
    try:
        operator.engine.start()
        code = 0 if soak(operator, watch, minutes, seed) else 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        on_signals(signal.SIG_IGN)
        clear_away(operator, keep=code == 1 or bool(watch.violations))
    return code


def clear_away(operator: Operator, *, keep: bool) -> None:
    for process in operator.running:
        process.kill()
        process.wait()
    if keep:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(operator.engine.run / "engine.log", operator.root)
        print(f"everything about it is in {operator.root}")
    else:
        shutil.rmtree(operator.root)
    operator.engine.erase()


def soak(operator: Operator, watch: Watch, minutes: float, seed: int) -> bool:
    """Whether all was well."""
    dice = random.Random(seed)  # noqa: S311 - it must be the same every time
    controller = Controller(operator)
    trouble = Trouble(operator, watch, controller, dice, EARLY * minutes * 60)
    prepare(operator, watch, trouble)
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch.run)
        try:
            controller.start()
            settle(operator, watch, trouble)
            samples = play(watch, trouble, controller, dice, minutes)
            trouble.cease()
            settle(operator, watch, trouble)
            if code := controller.end():
                watch.violation(f"the controller ended with {code}")
        finally:
            watch.over.set()
        watching.result()
    watch.journal.read()
    if "Traceback" in operator.log:
        watch.violation("there is a traceback in the controller's log")
    measured = series(samples)
    report(minutes, seed, watch, trouble, controller, measured)
    return bool(measured) and not watch.violations and not any(one.grows for one in measured)


def prepare(operator: Operator, watch: Watch, trouble: Trouble) -> None:
    make_image(operator.engine.host, IMAGE)
    operator.directory.mkdir()
    operator.decree(**POLICY)
    trouble.declare_all()
    spoofed = {
        labels.INSTANCE: operator.instance,
        labels.SANDBOX: "s00",
        labels.FINGERPRINT: "0" * 64,
        labels.PORTS: "",
    }
    watch.guard(operator.foreign("stranger", **STRANGER), operator.foreign("spoofer", **STRANGER, Labels=spoofed))


def play(watch: Watch, trouble: Trouble, controller: Controller, dice: random.Random, minutes: float) -> list[Sample]:
    """What was sampled once all was warm."""
    begun = time.monotonic()
    told = 0
    while (now := time.monotonic() - begun) < minutes * 60 and not watch.over.is_set():
        if (code := controller.process.poll()) is not None:
            watch.violation(f"the controller ended by itself, with {code}")
            break
        trouble.strike(now)
        if now // 60 > told:
            told = int(now // 60)
            print(f"minute {told}: {trouble.happened.total()} events, {len(watch.violations)} violations", flush=True)
        time.sleep(dice.expovariate(1 / PAUSE_SECONDS))
    return [sample for sample in watch.samples if sample.at > begun + WARM * minutes * 60]


# --- as declared -----------------------------------------------------------------------------------------------------


def settle(operator: Operator, watch: Watch, trouble: Trouble) -> None:
    """Waits until everything is as declared; what is not by then is a violation."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (found := amiss(operator, watch, trouble)) and time.monotonic() < deadline:
        time.sleep(0.5)
    for what in found:
        watch.violation(f"after {SETTLE_SECONDS} quiet seconds {what}")


def amiss(operator: Operator, watch: Watch, trouble: Trouble) -> list[str]:
    """All that is not as declared, by the status files and by the engine's word."""
    try:
        rows = watch.containers()
        counts = {"containers": len(rows), **things(operator)}
        found = [] if counts == AT_REST else [f"there are {counts}, not {AT_REST}"]
        for name, keys in trouble.files.items():
            ids = [row["Id"] for row in rows if row["Labels"][labels.SANDBOX] == name]
            found += [f"{name}: {what}" for what in unlike(operator, name, ids, keys)]
    except (OSError, RuntimeError) as error:
        return [f"the engine says: {error}"]
    return found


def unlike(operator: Operator, name: str, ids: list[str], keys: dict[str, Any]) -> Iterator[str]:
    """In what the sandbox is not as its file says."""
    status = operator.status(name)
    attested = status.get("attested") or {"ok": False, "container_id": ""}
    verified = [attested["container_id"]] if attested["ok"] else []
    if status.get("phase") != "Running" or ids != verified:
        said = ", ".join(str(status.get(key)) for key in ("phase", "reason", "message"))
        yield f"it is {said}; its containers are {ids}, verified are {verified}"
        return
    raw = operator.api("GET", f"/containers/{ids[0]}/json")
    (variable,) = (f"{key}={value}" for key, value in keys["environment"].items())
    declared = ("running", int(keys["mem_limit"].removesuffix("m")) << 20, keys["pids_limit"], True)
    host = raw["HostConfig"]
    actual = (raw["State"]["Status"], host["Memory"], host["PidsLimit"], variable in raw["Config"]["Env"])
    if actual != declared:
        yield f"it is {actual}, not {declared}"
    yield from outside_the_floor(raw)


# --- what is told ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Series:
    """One thing that was measured over the hours."""

    name: str
    hours: list[float]
    values: list[float]

    @property
    def slope(self) -> float:
        """Per hour."""
        return linear_regression(self.hours, self.values).slope

    @property
    def late_slope(self) -> float:
        """Of the second half: what only warms up has a smaller one."""
        half = len(self.hours) // 2
        return linear_regression(self.hours[half:], self.values[half:]).slope

    @property
    def grows(self) -> bool:
        if self.name == "journal kB":
            return max(self.values) * 1024 > (KEPT + 1) * BYTES_MAX
        rise = self.slope * (self.hours[-1] - self.hours[0])
        return rise >= 1 and rise > 0.05 * fmean(self.values) and self._errors > 3

    @property
    def _errors(self) -> float:
        """The slope in standard errors."""
        square = correlation(self.hours, self.values) ** 2
        return float((square * (len(self.hours) - 2) / (1 - square)) ** 0.5) if square < 1 else inf

    def __str__(self) -> str:
        figures = (self.values[0], self.values[-1], min(self.values), max(self.values), self.slope, self.late_slope)
        columns = [f"{self.name:12}", *(f"{figure:10.1f}" for figure in figures)]
        return " ".join([*columns, "growing" if self.grows else "flat"])


def series(samples: list[Sample]) -> list[Series]:
    """Empty when there are too few samples to judge."""
    if len(samples) < SAMPLES_MIN:
        return []
    hours = [(sample.at - samples[0].at) / 3600 for sample in samples]
    return [Series(name, hours, [sample.values[name] for sample in samples]) for name in samples[0].values]


def report(
    minutes: float, seed: int, watch: Watch, trouble: Trouble, controller: Controller, measured: list[Series]
) -> None:
    rows = {
        "minutes": f"{minutes:g}",
        "seed": seed,
        "events": counted(trouble.happened),
        "passes": f"{controller.passes}, in {trouble.happened['controller killed'] + 1} lives",
        "actions": f"{counted(watch.journal.actions)}; {watch.journal.failed} of them failed",
        "looks": f"{watch.looks}, and {watch.missed} missed",
        "violations": len(watch.violations),
    }
    for key, value in rows.items():
        print(f"{key:12} {value}")
    for violation in watch.violations:
        print(f"  {violation}")
    print(" ".join([f"{'':12}", *(f"{word:>10}" for word in ("first", "last", "least", "most", "slope/h", "later/h"))]))
    for one in measured:
        print(one)
    if not measured:
        print("too little was measured; let it live longer")


def counted(counter: Counter[str]) -> str:
    return f"{counter.total()}: " + ", ".join(f"{kind} {count}" for kind, count in counter.most_common())


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(1_000_000)))
