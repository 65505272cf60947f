"""Which removals are remembered, so that a window of time has a budget; which may happen is in test_decide."""

from collections.abc import Callable, Mapping

import pytest

from reconciler.model.status import RecentRemovals
from reconciler.model.world import State
from reconciler.planning.removals import remembered
from tests.scene import NOW, Scene

Removed = Mapping[str, float]


def after_a_pass(scene: Scene) -> Removed:
    recent = RecentRemovals(since=1, removed=scene.removed)
    left = remembered(recent, scene.plan(), scene.world(), frozenset(scene.approved), scene.policy, NOW)
    assert left.since == 1
    return left.removed


def two_and_one_approved(scene: Scene) -> None:
    scene.container("web", State.EXITED)
    scene.approved = {scene.container("web").id}


PASSES: dict[str, tuple[Callable[[Scene], object], Removed]] = {
    "a removal is remembered": (lambda scene: scene.container("web"), {"web": NOW}),
    "not one that was approved": (lambda scene: scene.approved.add(scene.container("web").id), {}),
    "one of which not every container was": (two_and_one_approved, {"web": NOW}),
    "not one that waits": (lambda scene: scene.wait_for_approval(scene.container("web")), {}),
    "not one that the engine is about": (lambda scene: scene.container("web", State.REMOVING), {}),
    "nor is what is stopped": (lambda scene: (scene.declare("web", state="stopped"), scene.container("web")), {}),
    "nor is what is created": (lambda scene: scene.declare("web"), {}),
    "those before it stay": (
        lambda scene: scene.removed.update(a=NOW - 599, b=NOW + 599),
        {"a": NOW - 599, "b": NOW + 599},
    ),
    "until the window is over": (lambda scene: scene.removed.update(a=NOW - 600, b=NOW + 600), {}),
    "one that comes and goes counts from the last time": (
        lambda scene: (scene.removed.update(web=NOW - 9), scene.container("web")),
        {"web": NOW},
    ),
}


@pytest.mark.parametrize("what", PASSES)
def test_what_counts_against_the_budget_is_remembered(what: str) -> None:
    """For as long as the window, also when the clock was set back."""
    happens, left = PASSES[what]
    scene = Scene()
    happens(scene)
    assert after_a_pass(scene) == left
