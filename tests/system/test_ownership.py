"""Whose sandboxes they are: containers that somebody renamed, and several directories for one instance."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Operator, version


@pytest.fixture
def second(operator: Operator, tmp_path: Path) -> Iterator[Operator]:
    """Somebody else, with a directory and a state directory of their own, who chose the same instance."""
    root = tmp_path / "second"
    (root / "sandboxes.d").mkdir(parents=True)
    other = Operator(root, operator.engine, operator.instance)
    yield other
    for process in other.running:
        assert process.poll() is not None


def names(operator: Operator) -> list[str]:
    return [row["Names"][0].removeprefix(f"/reconciler.{operator.instance}.") for row in operator.containers()]


def test_a_rename_disturbs_nobody_and_is_undone(operator: Operator) -> None:
    """One `docker rename`: a killed neighbour comes back, a new file is read, and the name is given back."""
    operator.declare("web")
    operator.declare("other")
    with operator.run():
        operator.until_phase(web="Running", other="Running")
        web, called = operator.container("web"), names(operator)
        operator.api("POST", f"/containers/{web}/rename", {"name": f"renamed-{operator.instance}"})
        operator.api("POST", f"/containers/{operator.container('other')}/kill")
        operator.declare("new")
        operator.until_phase(new="Running", other="Running")
        operator.until(lambda: set(names(operator)) > set(called))
        assert operator.container("web") == web


def test_a_rename_without_a_state_directory(operator: Operator) -> None:
    """What only reconciler makes is known again by what it is: nothing runs twice."""
    operator.declare("web")
    operator.reconciler("apply", code=0)
    web = operator.container("web")
    operator.api("POST", f"/containers/{web}/rename", {"name": f"renamed-{operator.instance}"})
    operator.state.rename(operator.root / "lost")
    operator.reconciler("apply", code=0)
    assert [row["Id"] for row in operator.containers()] == [web]
    assert names(operator)[0].startswith("web.")


def test_a_second_directory_removes_nothing_until_it_adopts(operator: Operator, second: Operator) -> None:
    """The first one's sandboxes are held and told; adopted by the name of their source, they are replaced."""
    for name in ("web", "other"):
        operator.declare(name, **version(1))
    operator.reconciler("apply", code=0)
    source = operator.controller()["source"]
    second.declare("web", **version(2))
    told = second.reconciler("apply", code=1)
    assert f"--adopt {source}" in told.stdout
    assert operator.versions() == {"web": "1", "other": "1"}
    assert second.status("web")["reason"] == "OwnedByAnother"
    second.reconciler("--adopt", source, "apply", code=1)
    assert operator.versions() == {"web": "2", "other": "1"}
    assert "`reconciler approve` removes it" in second.status("other")["message"]
    second.reconciler("approve", code=0)
    second.reconciler("--adopt", source, "apply", code=0)
    assert operator.versions() == {"web": "2"}
    assert second.reconciler("--adopt", source, "plan").returncode == 0


def test_two_directories_at_the_same_time(operator: Operator, second: Operator) -> None:
    """On one host the second controller of an instance and engine does not begin."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        refused = second.reconciler("apply", code=1)
        assert f"another controller manages instance {operator.instance} on this engine" in refused.stderr
        assert operator.phase("web") == "Running"
