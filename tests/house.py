"""A controller at home: real files, a fake engine."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.control.clock import Clock
from reconciler.control.controller import Controller
from reconciler.control.dependencies import Dependencies
from reconciler.control.settings import Settings
from reconciler.model.errors import EngineRefused, Refusal
from reconciler.model.status import Approval, ControllerStatus, SandboxStatus
from reconciler.report.store import Store
from tests.fake_engine import FakeEngine

IMAGE = "app:1"
READS = {
    "facts",
    "identity",
    "containers",
    "inspect",
    "network",
    "image",
    "writable",
    "output",
    "written",
    "volume_sizes",
}


@dataclass
class House:
    """A directory, a state directory, a fake engine; each `apply` is a new controller, as after a restart."""

    root: Path
    engine: FakeEngine
    source: str = ""
    host: str = "unix:///fake.sock"
    adopted: tuple[str, ...] = ()

    def another(self, name: str, **policy: Any) -> "House":
        """Another directory, with a state directory of its own, at the same engine."""
        root = self.root / name
        (root / "sandboxes.d").mkdir(parents=True)
        house = House(root, self.engine)
        house.decree(**policy)
        return house

    def approve(self) -> None:
        """As `reconciler approve` does."""
        controller = self.store.controller()
        pending_approval = controller.pending_approval if controller else None
        ids = tuple(one for found in pending_approval.containers.values() for one in found) if pending_approval else ()
        self.store.approve(Approval(containers=ids, at=0))

    def adopting(self, *sources: str) -> "House":
        return replace(self, adopted=sources)

    def refuse_to_inspect(self, name: str) -> str:
        """From now on the engine does not describe the sandbox's container, whose name this returns."""
        container: str = self.engine.raw_containers[self.id_of(name)]["Name"][1:]

        def refuse(call: str) -> None:
            if call == f"inspect {container}":
                raise EngineRefused(Refusal.OTHER, "layer does not exist")

        self.engine.before_call = refuse
        return container

    def lose_state(self) -> None:
        shutil.rmtree(self.root / "state")

    def declare(self, name: str, **keys: Any) -> None:
        (self.root / "sandboxes.d" / f"{name}.yaml").write_text(json.dumps({"image": IMAGE, **keys}).replace("$", "$$"))

    def remove(self, name: str) -> None:
        (self.root / "sandboxes.d" / f"{name}.yaml").unlink()

    def decree(self, **policy: Any) -> None:
        (self.root / "policy.yaml").write_text(json.dumps(policy))

    def apply(self, timeout_seconds: float = 10, clock: Clock | None = None) -> ControllerStatus:
        """The calls of this one are then the only ones in `engine.calls`."""
        self.engine.calls.clear()
        controller = self.controller(clock)
        controller.apply(timeout_seconds)
        return controller.status

    def controller(self, clock: Clock | None = None) -> Controller:
        dependencies = Dependencies.real(self.settings, self.engine)
        return Controller(replace(dependencies, clock=clock or dependencies.clock))

    @property
    def settings(self) -> Settings:
        policy = self.root / "policy.yaml"
        return Settings(
            directory=self.root / "sandboxes.d",
            policy_file=policy if policy.exists() else None,
            state=self.root / "state",
            host=self.host,
            instance="default",
            source=self.source,
            adopted=self.adopted,
        )

    @property
    def store(self) -> Store:
        return Store(self.root / "state")

    def status(self, name: str) -> SandboxStatus:
        return self.store.statuses()[name]

    def writes(self) -> list[str]:
        """What was asked of the engine besides looking, without the fingerprints in the names."""
        calls = [call.rsplit(".", 1)[0] if "." in call else call for call in self.engine.calls]
        return [call.replace("reconciler.default.", "") for call in calls if call.split(" ")[0] not in READS]

    def running(self) -> list[str]:
        found = self.engine.containers()
        return sorted(one.labels["reconciler.sandbox"] for one in found if one.state == "running")

    def id_of(self, name: str) -> str:
        (found,) = (one.id for one in self.engine.containers() if one.labels["reconciler.sandbox"] == name)
        return found
