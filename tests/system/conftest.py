"""The installed command against a real engine: a directory, a state directory and an instance for each test."""

import json
import os
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import IMAGE
from tests.engine_api import ask
from tests.private_engine import PrivateEngine

COMMAND = Path(sysconfig.get_path("scripts")) / "reconciler"
UP = {"running", "paused", "restarting", "stopping"}
"""States of a container that has processes; the last is Podman's."""

WAIT_SECONDS = 30
API_SECONDS = 30
"""Podman lets nobody kill what is being stopped, or removed by force: they wait until the grace is over."""

STUBBORN = ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]
"""A program that ends by SIGKILL alone."""

WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""In front of a command: root for whom the modes of files hold, too."""


def version(text: object) -> dict[str, Any]:
    """Keys that make a sandbox another one, which tells by a label which one it is."""
    return {"labels": {"version": str(text)}}


@dataclass
class Operator:
    """Somebody who edits files, runs the command, and looks at the engine from outside."""

    root: Path
    engine: PrivateEngine
    instance: str
    host: str = ""
    before: tuple[str, ...] = ()
    """In front of each command."""
    program: Path = COMMAND
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        return self.root / "sandboxes.d"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def policy_file(self) -> Path:
        return self.root / "policy.yaml"

    # --- files ---------------------------------------------------------------------------------------------------

    def declare(self, name: str, **keys: Any) -> None:
        self.write(f"{name}.yaml", json.dumps({"image": IMAGE, **keys}).replace("$", "$$"))

    def write(self, file: str, text: str) -> None:
        """As editors and git do: the whole file at once."""
        temporary = self.directory / f".{file}.tmp"
        temporary.write_text(text)
        temporary.replace(self.directory / file)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.directory / f"{name}.yaml").unlink()

    def decree(self, **policy: Any) -> None:
        temporary = self.root / ".policy"
        temporary.write_text(json.dumps(policy))
        temporary.replace(self.policy_file)

    # --- the command ---------------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        options = ["--dir", str(self.directory), "--state", str(self.state), "--host", self.host or self.engine.host]
        if self.policy_file.exists():
            options += ["--policy", str(self.policy_file)]
        return [*self.before, str(self.program), *options, "--instance", self.instance, *arguments]

    def reconciler(self, *arguments: str, code: int | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end; `code` is the exit code that it must have."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=120, check=False)
        assert code is None or done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    @contextmanager
    def run(self) -> Iterator[subprocess.Popen[str]]:
        """The controller, from its first pass until the block ends; it must then end well."""
        with (self.root / "run.log").open("a") as log:
            process = subprocess.Popen(self.command("run"), stderr=log, stdout=log, text=True)
        self.running.append(process)
        try:
            self.until(lambda: self.controller().get("pid") == process.pid and self.controller()["last_pass_at"])
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, self.log
        finally:
            process.kill()
            process.wait()

    @property
    def log(self) -> str:
        return (self.root / "run.log").read_text()

    # --- what is told --------------------------------------------------------------------------------------------

    def controller(self) -> dict[str, Any]:
        return _json(self.state / "controller.json")

    def status(self, name: str) -> dict[str, Any]:
        return _json(self.state / "status" / f"{name}.json")

    def phase(self, name: str) -> str:
        return str(self.status(name).get("phase", "absent"))

    def phases(self) -> dict[str, str]:
        return {path.stem: self.phase(path.stem) for path in (self.state / "status").glob("*.json")}

    def journal(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.state / "journal.jsonl").read_text().splitlines()]

    def until(self, true: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
        """Waits until something is so, and fails with all that is known when it does not come to be."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := true():
                return found
            time.sleep(0.05)
        told = json.dumps([self.controller(), *map(self.status, self.phases())], indent=1)
        raise AssertionError(f"it did not come to be; {told}\n{self.log if self.running else ''}")

    def until_phase(self, **phases: str) -> None:
        self.until(lambda: all(self.phase(name) == phase for name, phase in phases.items()))

    def until_reason(self, **reasons: str) -> None:
        self.until(lambda: all(self.status(name).get("reason") == reason for name, reason in reasons.items()))

    # --- the engine, from outside --------------------------------------------------------------------------------

    def api(self, method: str, path: str, query: Any = None, body: Any = None) -> Any:
        text = ask(self.engine.host, method, path, query, body, API_SECONDS)
        return json.loads(text) if text.startswith(("{", "[")) else None

    def containers(self, *, running: bool = False) -> list[dict[str, Any]]:
        filters = json.dumps({"label": [f"reconciler.instance={self.instance}"]})
        rows = self.api("GET", "/containers/json", {"all": 1, "filters": filters})
        return sorted((row for row in rows if not running or row["State"] in UP), key=lambda row: str(row["Names"]))

    def container(self, name: str) -> str:
        """The id of the one running container of the sandbox."""
        (found,) = (row for row in self.containers(running=True) if row["Labels"]["reconciler.sandbox"] == name)
        return str(found["Id"])

    def versions(self) -> dict[str, str]:
        """The `version` of each running sandbox."""
        labels = [row["Labels"] for row in self.containers(running=True)]
        return {own["reconciler.sandbox"]: own.get("version", "") for own in labels}

    def network(self, name: str) -> str:
        """The one that the sandbox is in: the instance's, or on Podman one to itself."""
        own = str(self.inspect(name)["Name"]).removeprefix("/")
        return own if self.engine.program.name == "podman" else f"reconciler.{self.instance}"

    def inspect(self, name: str) -> dict[str, Any]:
        return dict(self.api("GET", f"/containers/{self.container(name)}/json"))

    def inside(self, name: str, command: str) -> str:
        """What a shell command prints inside the sandbox, run as the sandbox's own user."""
        made = self.api(
            "POST",
            f"/containers/{self.container(name)}/exec",
            body={"AttachStdout": True, "Tty": True, "Cmd": ["sh", "-c", command]},
        )
        return ask(self.engine.host, "POST", f"/exec/{made['Id']}/start", body={"Tty": True})

    def foreign(self, name: str, **config: Any) -> str:
        """A stranger's container, running."""
        body = {"Image": IMAGE, "Cmd": ["sleep", "1000"], **config}
        made = self.api("POST", "/containers/create", {"name": name}, body)
        self.api("POST", f"/containers/{made['Id']}/start")
        return str(made["Id"])


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}


@pytest.fixture
def operator(tmp_path: Path, private_engine: PrivateEngine, engine_instance: str) -> Iterator[Operator]:
    """An operator with an empty directory; afterwards nothing of the instance is left (see `engine_instance`)."""
    for name in [name for name in os.environ if name.startswith("RECONCILER_")]:
        raise AssertionError(f"{name} is set: the tests would not be alone")
    operator = Operator(tmp_path, private_engine, engine_instance)
    operator.directory.mkdir()
    yield operator
    for process in operator.running:
        assert process.poll() is not None
