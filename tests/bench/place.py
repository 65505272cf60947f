"""Where it is measured: a private engine, and what runs on it."""

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.bench import compose
from tests.bench.compose import Compose
from tests.bench.floor import Floor, rendered
from tests.bench.measure import process, say
from tests.private_engine import PrivateEngine
from tests.system.conftest import Operator

LARGEST = 500

USUAL = {"mem_limit": "16m"}
"""A sandbox as users have them: the image's web server, its port published, in the instance's network."""

SMALL = {"mem_limit": "8m", "command": ["sleep", "1000000"], "network_mode": "none"}
"""A sandbox of a crowd. A bridge takes at most 1,023, and each published port makes the engine slower."""

APPLY = ("apply", "--timeout", "800")


@dataclass
class Place:
    root: Path
    engine: PrivateEngine
    floor: Floor
    compose: Compose | None
    _crowd: Operator | None = None
    _crowded: int = 0
    _composed: int = 0
    _numbers: Any = field(default_factory=count)

    @classmethod
    def on(cls, engine: PrivateEngine, root: Path) -> "Place":
        found = compose.find()
        composed = Compose(*found, engine.host, root / "compose.yaml") if found else None
        return cls(root, engine, Floor(engine.host), composed)

    def operator(self) -> Operator:
        """With directories and an instance of its own, under a policy that is not in the way."""
        instance = f"bench-{next(self._numbers)}"
        operator = Operator(self.root / instance, self.engine, instance)
        operator.directory.mkdir(parents=True)
        operator.decree(sandboxes_max=LARGEST, removals={"max": LARGEST, "share": 1.0})
        return operator

    def clear(self) -> None:
        """Leaves nothing on the engine but the image."""
        self.floor.clear()
        self._crowd, self._crowded, self._composed = None, 0, 0

    def converge(self, operator: Operator, wanted: int, **keys: Any) -> float:
        """The seconds of a whole `apply` after which so many run."""
        for number in range(wanted):
            operator.declare(f"s{number}", **keys)
        took = process(operator.command(*APPLY))
        expect(len(self.floor.rows(operator.instance)), wanted)
        return took

    def crowd(self, wanted: int) -> tuple[Operator, float]:
        """Whose sandboxes run, so many; and the seconds of the `apply` that made them, 0 if they were there."""
        took = 0.0
        if self._crowd is None or wanted < self._crowded:
            self.clear()
            self._crowd = self.operator()
        if wanted > self._crowded:
            say(f"{wanted - self._crowded} more sandboxes, to have {wanted}")
            if self._composed:
                self.floor.clear("com.docker.compose.project")
                self._composed = 0
            took = self.converge(self._crowd, wanted, **SMALL)
            self._crowded = wanted
        return self._crowd, took

    def composed_crowd(self, wanted: int) -> Compose | None:
        """Whose project has the same sandboxes, and runs beside ours."""
        if self.compose and self._composed != wanted:
            say(f"the same {wanted} with Compose")
            self.compose.declare([rendered("compose", number, **SMALL) for number in range(wanted)])
            self.compose.run("up", "-d", "--remove-orphans")
            self._composed = wanted
        return self.compose


def expect(found: object, wanted: object) -> None:
    """A benchmark of something else than it says is none."""
    if found != wanted:
        raise RuntimeError(f"found {found}, not {wanted}")
