"""From the version before to this one, and back: on one engine, with one directory of files and one of state.

The version before is the commit with which the present epoch began to be worked on; it runs from its sources.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.conftest import Operator

BEFORE = "5c43a89f0ed8596397720c80f250ed55a932583c"
PROJECT = Path(__file__).parents[2]
NAMES = ("a", "b", "c", "web")


@dataclass
class OldOperator(Operator):
    """The same operator, with the version before."""

    sources: Path = Path()

    def reconciler(self, *arguments: str, code: int | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "reconciler", *self.command(*arguments)[1:]]
        environment = {**os.environ, "PYTHONPATH": str(self.sources)}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, cwd=self.sources, env=environment
        )
        assert code is None or done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the version before, out of the repository's own history."""
    packed = subprocess.run(["git", "archive", BEFORE], cwd=PROJECT, capture_output=True, check=False)
    assert packed.returncode == 0, f"the history is not whole: {packed.stderr.decode()}"
    directory = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tree:
        tree.extractall(directory, filter="data")
    return directory


@pytest.fixture
def old(operator: Operator, sources: Path) -> OldOperator:
    return OldOperator(operator.root, operator.engine, operator.instance, sources=sources)


def ports(operator: Operator) -> dict[str, str]:
    """Of each running sandbox, by the engine's word."""
    found = operator.containers(running=True)
    return {row["Labels"]["reconciler.sandbox"]: row["Labels"]["reconciler.ports"] for row in found}


def test_every_sandbox_port_and_failure_is_kept(operator: Operator, old: OldOperator) -> None:
    """What the new version renders otherwise it replaces, two at a time; the version before can go on from there."""
    for name in NAMES:
        operator.declare(name)
    operator.declare("crash", command=["sh", "-c", "exit 3"])
    old.reconciler("apply", "--timeout", "10")
    before, failures = ports(operator), operator.status("crash")["failures"]
    first = {operator.container(name) for name in NAMES}
    assert before.keys() == set(NAMES)
    assert failures > 0
    with operator.run():
        operator.until_phase(**dict.fromkeys(NAMES, "Running"))
        operator.until(lambda: not first & {row["Id"] for row in operator.containers()})
        operator.until(lambda: ports(operator) == before)
        assert all(operator.status(name)["epoch"] == 2 for name in NAMES)
        assert operator.status("crash")["failures"] >= failures
    updates = [one for one in operator.journal() if one["cause"] == "ConfigurationChanged" and one["sandbox"] in NAMES]
    replaced = [entry["action"].split(" ")[0] for entry in updates]
    assert 0 < max(_under_way(replaced)) <= 2
    plan = json.loads(operator.reconciler("plan", "-o", "json").stdout)
    assert [one["verdict"] for one in plan["sandboxes"] if one["name"] in NAMES] == ["KEEP"] * len(NAMES)
    old.reconciler("apply", "--timeout", "20")
    assert ports(operator) == before


def _under_way(actions: list[str]) -> list[int]:
    """How many replacements had begun and not ended, after each action."""
    count, found = 0, [0]
    for action in actions:
        count += {"create": 1, "remove": -1}.get(action, 0)
        found.append(count)
    return found


def test_what_was_approved_before_is_removed(operator: Operator, old: OldOperator) -> None:
    """Removals that waited under the version before still wait; an approval that it recorded still counts."""
    for name in NAMES:
        operator.declare(name)
    old.reconciler("apply", code=0)
    operator.remove(*NAMES)
    operator.declare("z")
    old.reconciler("apply", "--timeout", "5", code=1)
    operator.reconciler("apply", "--timeout", "5", code=1)
    assert set(NAMES) <= ports(operator).keys()
    old.reconciler("apply", "--timeout", "5", code=1)
    old.reconciler("approve", code=0)
    operator.reconciler("apply", code=0)
    assert ports(operator).keys() == {"z"}
