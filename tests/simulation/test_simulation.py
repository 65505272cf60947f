"""Whatever happens, nothing happens that must not, and in the end the world is as declared."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from reconciler.model.status import ConditionType
from tests.simulation.mutations import MUTATIONS
from tests.simulation.seeds import play, play_many
from tests.simulation.simulation import Simulation

SEEDS = 2000


@pytest.mark.timeout(1800)
def test_no_seed_finds_a_violation() -> None:
    """Two thousand stories of edits, faults, strangers, kills and clocks end well."""
    played = play_many(range(SEEDS))
    assert [(one.seed, one.violation) for one in played if one.violation] == []
    assert sum(one.calls for one in played) > 100_000
    assert sum(one.faults for one in played) > 1_000


def test_a_story_is_the_same_every_time() -> None:
    """A seed that found something can be replayed."""
    assert play(7) == play(7)


def test_the_order_of_sets_changes_no_call() -> None:
    """The digest tells whether a change of the code changes a call: nothing else may change it."""
    command = [sys.executable, "-m", "tests.simulation.seeds", "20"]
    environments = [os.environ | {"PYTHONHASHSEED": hash_seed} for hash_seed in ("1", "2")]
    one, other = (subprocess.check_output(command, env=environment, timeout=120) for environment in environments)
    assert b"digest" in one
    assert one == other


@pytest.mark.parametrize("put_back", [True, False])
def test_a_file_that_is_put_back_at_once_was_never_gone(put_back: bool) -> None:
    """Editors replace a file by moving the old one away first: for that moment nothing is removed."""
    simulation = Simulation()
    simulation.declare("a", "plain")
    for _ in range(2):  # the network first
        simulation.work()
    for _ in range(4):
        simulation.planned(0)
    simulation.delete("a")
    simulation.work()
    if put_back:
        simulation.declare("a", "plain")
    simulation.wait(1)
    simulation.work()
    simulation.planned(0)
    stopped = any(call.startswith("stop ") for call in simulation.host.engine.calls)
    assert stopped is not put_back


def test_what_has_failed_is_looked_at_when_it_counts_as_ready() -> None:
    """Ten seconds after its start, without a word from the engine."""
    simulation = Simulation()
    simulation.declare("a", "plain")
    simulation.work()  # the network first
    for _ in range(2):
        simulation.work()
        for _ in range(4):
            simulation.planned(0)
        simulation.work()
        if not simulation.witness.ended_itself:
            simulation.exit(0, 1, oom=False)
            simulation.hear()
    told = []
    for seconds in (0, 9, 2):
        simulation.deaf()
        simulation.wait(seconds)
        simulation.work()
        status = simulation.host.store.statuses()["a"]
        told.append((status.phase, status.ready, status.failures))
    assert told == [("Starting", False, 1), ("Starting", False, 1), ("Running", True, 1)]


def go_on(simulation: Simulation, turns: int) -> None:
    for _ in range(turns):
        simulation.work()
        for _ in range(8):
            simulation.planned(0)
        simulation.hear()


def old(*names: str) -> Simulation:
    """Sandboxes that have been ready for longer than it takes to make failures good."""
    simulation = Simulation()
    for name in names:
        simulation.declare(name, "plain")
    go_on(simulation, 3)
    for _ in range(12):
        simulation.wait(60)
        go_on(simulation, 1)
    return simulation


def test_what_the_policy_refuses_ends_no_pull() -> None:
    """It counts for nothing, as a broken file does: what was declared before goes on."""
    simulation = Simulation()
    simulation.declare("a", "missing image")
    for _ in range(2):  # the network first
        simulation.work()
    simulation.planned(0)
    simulation.work()
    simulation.wait(70)
    simulation.planned(0)
    simulation.work()  # it is planned, and does not begin
    simulation.declare("a", "greedy")
    go_on(simulation, 2)
    assert simulation.host.engine.calls.count("pull missing:1") == 2


def test_who_cannot_pull_an_image_keeps_no_turn_from_others() -> None:
    """Two of them, replaced one at a time, would take turns for as long as their pauses are short."""
    simulation = Simulation()
    for name in "ade":
        simulation.declare(name, "plain")
    for _ in range(2):
        simulation.work()
    for name in "da":
        simulation.declare(name, "missing image")
    simulation.decree("one at a time")
    simulation.settle()


def change_to_a_missing_image(simulation: Simulation) -> None:
    simulation.declare("a", "missing image")


def take_the_name(simulation: Simulation) -> None:
    engine = simulation.host.engine
    (container,) = engine.containers()
    engine.give_name(container.id, "another")
    engine.create_foreign(container.name, "app:1")


def swap_the_names(simulation: Simulation) -> None:
    engine = simulation.host.engine
    one, other = engine.containers()
    for container, name in ((one, "between"), (other, one.name), (one, other.name)):
        engine.give_name(container.id, name)


@pytest.mark.parametrize(
    ("names", "change", "action", "reason"),
    [
        (("a",), change_to_a_missing_image, "pull", "ImagePullFailed"),
        (("a",), take_the_name, "rename", "NameTaken"),
        (("a", "b"), swap_the_names, "rename", "NameTaken"),
    ],
)
def test_what_fails_beside_a_container_that_has_long_served_rests(
    names: tuple[str, ...], change: Callable[[Simulation], None], action: str, reason: str
) -> None:
    """Longer each time, until it is stalled: that the old one serves makes no attempt good."""
    simulation = old(*names)
    change(simulation)
    before = len(simulation.host.engine.calls)
    for _ in range(120):
        simulation.wait(5)
        go_on(simulation, 1)
    attempts = [call for call in simulation.host.engine.calls[before:] if call.startswith(f"{action} ")]
    status = simulation.controller.statuses["a"]
    assert 5 <= status.failures <= 10
    assert len(attempts) == status.failures * len(names)
    assert status.failure is not None
    assert (status.phase, status.failure.reason) == ("Running", reason)
    stalled = status.condition(ConditionType.STALLED)
    assert stalled is not None
    assert stalled.status


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_planted_bug_is_found(name: str) -> None:
    """The simulation is able to find real bugs: each of these is found by its seed, and by none without it."""
    seed = MUTATIONS[name].seed
    assert 0 <= seed < SEEDS
    command = [sys.executable, "-m", "tests.simulation.mutations", name, "1", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a pass failed" not in done.stdout, "the bug itself is broken"
    assert play(seed).violation == ""
