"""What the controller says of itself and of all its sandboxes together."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.errors import Problem
from reconciler.model.labels import Owner
from reconciler.model.plan import Plan, Reason, Removals, SandboxPlan, Start, Verdict
from reconciler.model.status import EngineStatus, PendingApproval, Phase, SandboxStatus
from reconciler.model.world import EngineFacts, State, Unmanaged, World
from reconciler.planning.summary import in_one_line, summary_fields
from tests.scene import Scene


def told(
    *plans: SandboxPlan, scene: Scene | None = None, pending: Removals | None = None, scan_error: str = "", **world: Any
) -> dict[str, Any]:
    scene = scene or Scene()
    there = World(Owner("default"), EngineFacts("Docker", "20.10", "1.41", {}), None, **world)
    statuses = [SandboxStatus(name="a", phase=Phase.RUNNING), SandboxStatus(name="b", phase=Phase.RUNNING)]
    plan = Plan((), plans, pending or Removals())
    return summary_fields(scene.desired(), scene.policy, there, plan, statuses, scan_error)


def test_a_pass_says_that_the_engine_answers_and_how_many_are_in_which_phase() -> None:
    """By the engine's own name and version."""
    fields = told()
    assert (fields["available"], fields["unavailable_reason"]) == (True, "")
    assert fields["engine"] == EngineStatus(name="Docker", version="20.10", api_version="1.41")
    assert fields["counts"] == {Phase.RUNNING: 2}
    assert (fields["frozen"], fields["frozen_reason"], fields["pending_approval"]) == (False, "", None)


RENDERED = Scene().rendered("web", 61000)
PLANNED = SandboxPlan("web", Verdict.START, Reason.NOT_STARTED, "", (Start("1" * 64),), rendered=RENDERED)


@pytest.mark.parametrize(
    ("changed", "has_slot"),
    [
        ({}, True),
        ({"verdict": Verdict.WAIT, "cause": Reason.IMAGE_PULL_FAILED}, True),
        ({"verdict": Verdict.WAIT, "cause": Reason.LIMIT_EXCEEDED}, False),
        ({"verdict": Verdict.WAIT, "cause": Reason.UNMANAGED}, False),
        ({"verdict": Verdict.KEEP, "cause": Reason.COMPLETED}, False),
        ({"verdict": Verdict.HOLD, "cause": Reason.OWNED_BY_ANOTHER}, False),
        ({"rendered": None}, False),
        ({"rendered": None, "verdict": Verdict.WAIT, "cause": Reason.IN_FLIGHT}, True),
    ],
)
def test_a_slot_is_reserved_for_who_is_down_and_meant_to_run(changed: dict[str, Any], has_slot: bool) -> None:
    """Or is being started; who is up uses its slot, and none is reserved for it."""
    planned = replace(PLANNED, **changed)
    assert told(planned)["slots_reserved_for"] == (("web",) if has_slot else ())
    up = told(planned, containers=(Scene().container("web"), Scene().container("down", State.EXITED)))
    assert (up["slots_used_by"], up["slots_reserved_for"]) == (("web",), ())


def test_who_uses_a_slot_is_told_in_the_order_of_names() -> None:
    """A container that is not ours uses one when it is up and stands for a sandbox; all of them are told."""
    strangers = (
        Unmanaged("1" * 64, "one", "its name is not ours", "web", up=True),
        Unmanaged("2" * 64, "two", "it is odd", "web"),
        Unmanaged("3" * 64, "three", "it is odd", up=True),
    )
    fields = told(unmanaged=strangers, containers=tuple(Scene().container(name) for name in "cab"))
    assert fields["slots_used_by"] == ("a", "b", "c")
    assert fields["slots_used_by_unmanaged"] == ("one",)
    assert fields["unmanaged"][1:] == (f"it is odd: two ({'2' * 12})", f"it is odd: three ({'3' * 12})")


@pytest.mark.parametrize(
    "cause",
    [Reason.CHANGES_WAIT, Reason.DIRECTORY_UNREADABLE, Reason.DIRECTORY_REPLACED, Reason.REMOVAL_BUDGET_EXCEEDED],
)
def test_what_lets_removals_wait_is_told_as_a_freeze(cause: Reason) -> None:
    """With the sentence of the first that waits, before what the scan says."""
    held = SandboxPlan("a", Verdict.HOLD, cause, "it waits")
    other = SandboxPlan("b", Verdict.HOLD, Reason.SUSPENDED, "why")
    fields = told(other, held, replace(held, message="too"), scan_error="cannot be read")
    assert (fields["frozen"], fields["frozen_reason"]) == (True, "it waits")
    assert not told(other)["frozen"]


def test_a_directory_that_cannot_be_read_freezes_though_nothing_waits() -> None:
    """The reason is then what the scan says."""
    fields = told(scene=Scene(complete=False), scan_error="cannot be read")
    assert (fields["frozen"], fields["frozen_reason"]) == (True, "cannot be read")


def test_what_waits_for_approval_is_told_with_the_policy_under_which_it_does() -> None:
    """And for each sandbox with the ids of its containers."""
    scene = Scene()
    containers: dict[str, tuple[str, ...]] = {"web": ("1" * 64,)}
    fields = told(scene=scene, pending=Removals(containers, Reason.REMOVAL_BUDGET_EXCEEDED))
    assert fields["pending_approval"] == PendingApproval(
        reason=Reason.REMOVAL_BUDGET_EXCEEDED, containers=containers, policy=scene.policy.fingerprint
    )


def test_each_file_that_cannot_be_used_is_told_with_its_problems() -> None:
    """Also one whose name is no sandbox's; what is merely passed over is a note."""
    scene = Scene(broken={"web"}, invalid_names={"My App"})
    desired = replace(scene.desired(), notes=(Problem("b.txt", 0, 0, "is passed over"),))
    world = World(Owner("default"), EngineFacts("Docker", "20.10", "1.41", {}), None)
    fields = summary_fields(desired, scene.policy, world, Plan((), ()), (), "")
    assert fields["broken"] == {
        "web.yaml": ("web.yaml:1:1: it is broken",),
        "My App.yaml": ("My App.yaml: is no name",),
    }
    assert fields["notes"] == ("b.txt: is passed over",)


@pytest.mark.parametrize(
    ("phases", "available", "line"),
    [
        ([Phase.WAITING, Phase.RUNNING, Phase.RUNNING], True, "2 running, 1 waiting, engine available"),
        ([], False, "no sandboxes, engine not available"),
    ],
)
def test_in_one_line(phases: list[Phase], available: bool, line: str) -> None:
    """The phases that there are, in their order, and whether the engine answers."""
    statuses = [SandboxStatus(name="a", phase=one) for one in phases]
    assert in_one_line(statuses, available=available) == line
