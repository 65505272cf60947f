"""Everything that befalls the controller in a soak: edits, accidents, and engines that go away."""

import itertools
import logging
import random
import signal
import subprocess
from collections import Counter
from typing import Any

from reconciler.model import labels
from tests.soak.watch import LIMIT, Watch
from tests.system.conftest import Operator

GIB = 1 << 30

FILES = {"edit": 30, "break": 5, "delete": 5, "crash loop": 2}
ACCIDENTS = {"kill": 12, "stop": 8, "rm": 8, "update": 8, "pause": 8}
WEIGHTS = {**FILES, **ACCIDENTS, "SIGHUP": 3}
"""What happens how often, relative to each other."""

REQUESTS: dict[str, tuple[str, str, Any, Any]] = {
    "kill": ("POST", "/kill", None, None),
    "stop": ("POST", "/stop", None, None),
    "rm": ("DELETE", "", {"force": 1, "v": 1}, None),
    "update": ("POST", "/update", None, {"Memory": GIB, "MemorySwap": GIB, "PidsLimit": 1000}),
    "pause": ("POST", "/pause", None, None),
}

BROKEN = (
    "image: [",
    "image: sandbox:test\nimage: sandbox:test\n",
    "image: sandbox:test\nprivileged: true\n",
    "image: sandbox:test\nmem_limit: 1g\n",
)

MENDED_AFTER_SECONDS = (5, 40)
ENGINE_AWAY_EVERY_SECONDS = (60, 180)
CONTROLLER_KILLED_EVERY_SECONDS = (10, 40)
STOP_SECONDS = 30

log = logging.getLogger("soak")


class Controller:
    """`reconciler run`, over all of its lives."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.passes = 0

    @property
    def process(self) -> subprocess.Popen[str]:
        return self._operator.running[-1]

    def start(self) -> None:
        """Returns after the first pass; from then on it can take signals."""
        operator = self._operator
        with (operator.root / "run.log").open("a") as output:
            operator.running.append(subprocess.Popen(operator.command("run"), stdout=output, stderr=output, text=True))
        operator.until(lambda: operator.controller().get("pid") == self.process.pid)
        operator.until(lambda: operator.controller()["passes"])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.passes += self._operator.controller()["passes"]

    def end(self) -> int:
        """Its exit code, after SIGTERM."""
        self.process.terminate()
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.passes += self._operator.controller()["passes"]
        return code


class Trouble:
    """Draws what happens next. The seed repeats what is drawn, not what the controller is doing just then.

    The controller is killed in the early seconds only, and when they end, the engine goes away. `files` is what each
    sandbox's file says when it is good.
    """

    def __init__(
        self, operator: Operator, watch: Watch, controller: Controller, dice: random.Random, early_seconds: float
    ) -> None:
        self._operator, self._watch, self._controller, self._dice = operator, watch, controller, dice
        self._early_seconds = early_seconds
        self._ends = itertools.cycle(("engine restart", "engine crash"))
        self._engine_away_at = self._next_engine_away(0)
        self._controller_killed_at = dice.uniform(*CONTROLLER_KILLED_EVERY_SECONDS)
        self._mended_at: dict[str, float] = {}
        self.files: dict[str, dict[str, Any]] = {}
        self.happened: Counter[str] = Counter()

    def declare_all(self) -> None:
        for number in range(LIMIT):
            self.files[f"s{number:02}"] = {"mem_limit": "64m", "pids_limit": 20, "environment": {"ROUND": "0"}}
        for name, keys in self.files.items():
            self._operator.declare(name, **keys)

    def strike(self, now: float) -> None:
        """One event; `now` is in seconds since the beginning."""
        due = [name for name, at in self._mended_at.items() if at <= now]
        if due:
            self._mend(due[0])
        elif now >= self._engine_away_at:
            self._engine_away_at = self._next_engine_away(now)
            self._take_engine_away(next(self._ends))
        elif self._controller_killed_at <= now < self._early_seconds:
            self._controller_killed_at = now + self._dice.uniform(*CONTROLLER_KILLED_EVERY_SECONDS)
            self._note("controller killed")
            self._controller.kill()
            self._controller.start()
        else:
            (kind,) = self._dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
            self._happen(kind, self._dice.choice(list(self.files)), now)

    def cease(self) -> None:
        """Mends all files. What backs off, as it must after so much trouble, begins anew with a changed file."""
        for name in self.files:
            if name in self._mended_at or self._operator.status(name).get("failures"):
                self._change(name, "environment")
                self._mend(name)

    def _happen(self, kind: str, name: str, now: float) -> None:
        if kind == "SIGHUP":
            self._note(kind)
            self._controller.process.send_signal(signal.SIGHUP)
        elif kind in ACCIDENTS:
            self._ask_engine(kind, name)
        elif name in self._mended_at:
            self._note("missed", f"{kind} {name}: its file is not there to be changed")
        else:
            self._note(kind, name)
            self._meddle(kind, name)
            if kind != "edit":
                self._mended_at[name] = now + self._dice.uniform(*MENDED_AFTER_SECONDS)

    # --- files ---------------------------------------------------------------------------------------------------

    def _meddle(self, kind: str, name: str) -> None:
        match kind:
            case "edit":
                self._change(name, self._dice.choice(["mem_limit", "pids_limit", "environment"]))
                self._operator.declare(name, **self.files[name])
            case "break":
                self._operator.write(f"{name}.yaml", self._dice.choice(BROKEN))
            case "delete":
                self._operator.remove(name)
            case "crash loop":
                self._operator.declare(name, **self.files[name], command=["sh", "-c", "exit 3"])

    def _change(self, name: str, key: str) -> None:
        file = self.files[name]
        match key:
            case "mem_limit":
                file[key] = f"{self._dice.randint(32, 512)}m"
            case "pids_limit":
                file[key] = self._dice.randint(10, 100)
            case "environment":
                file[key] = {"ROUND": str(int(file[key]["ROUND"]) + 1)}

    def _mend(self, name: str) -> None:
        self._note("mend", name)
        self._mended_at.pop(name, None)
        self._operator.declare(name, **self.files[name])

    # --- the engine ----------------------------------------------------------------------------------------------

    def _ask_engine(self, kind: str, name: str) -> None:
        """A container is meddled with only after the watch has seen it as the controller made it."""
        method, path, query, body = REQUESTS[kind]
        try:
            rows = self._watch.containers(running=True)
            ids = {row["Id"] for row in rows if row["Labels"][labels.SANDBOX] == name} & self._watch.inspected
            for container in ids:
                self._operator.api(method, f"/containers/{container}{path}", query, body)
                self._note(kind, name)
            if not ids:
                self._note("missed", f"{kind} {name}: nothing of it runs")
        except (OSError, RuntimeError) as error:
            self._note("missed", f"{kind} {name}: {error}")

    def _next_engine_away(self, now: float) -> float:
        at = now + self._dice.uniform(*ENGINE_AWAY_EVERY_SECONDS)
        return at if now >= self._early_seconds else min(at, self._early_seconds)

    def _take_engine_away(self, how: str) -> None:
        self._note(how)
        engine = self._operator.engine
        with self._watch.engine_there:
            if how == "engine crash":
                engine.kill()
                engine.start()
            else:
                engine.restart()
            self._watch.start_strangers()

    def _note(self, kind: str, what: str = "") -> None:
        self.happened[kind] += 1
        log.info("%s %s", kind, what)
