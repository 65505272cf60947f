"""Tables for requests: what is asked in a scene, the answer, and the plan that follows from that."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.capabilities import Knob
from reconciler.model.plan import Reason
from reconciler.model.status import Ask, Phase, Request, SandboxStatus
from reconciler.model.world import Health, State
from reconciler.planning import status_reducer
from tests.scene import NOW, Scene, up_to, without_fingerprints

A, B = "1" * 12, "2" * 12
RESTARTED = f"web START RestartAsked: stop {A}, verify {A}, start {A}"
STARTED = f"web START RestartAsked: verify {A}, start {A}"
REMOVED = f"web REMOVE TakenDown: stop {A}, remove {A}"
CREATED = "web CREATE Absent: create reconciler.default.web, verify new, start new"
KEPT = "web KEEP Running"


def running(scene: Scene, **keys: Any) -> None:
    scene.declare("web", **keys)
    scene.remember("web", scene.container("web"))


def exited(scene: Scene, code: int = 1, **keys: Any) -> None:
    scene.declare("web", **keys)
    scene.remember("web", scene.container("web", State.EXITED, exit_code=code))


def resting(scene: Scene, reason: Reason = Reason.EXIT_CODE) -> None:
    scene.declare("web")
    scene.failed("web", reason, scene.container("web", State.EXITED, exit_code=1), failures=7)


def resting_without_an_image(scene: Scene) -> None:
    scene.declare("web")
    scene.images.clear()
    scene.failed("web", Reason.IMAGE_PULL_FAILED)


def sick(scene: Scene) -> None:
    scene.declare("web")
    scene.failed("web", Reason.UNHEALTHY, scene.container("web", health=Health.UNHEALTHY), failures=7)


def down(scene: Scene) -> None:
    scene.declare("web")
    scene.remember("web", asked=Request(what=Ask.DOWN, at=1))


def suspended(scene: Scene) -> None:
    running(scene)
    scene.declare("web", suspend="hands off")


def broken(scene: Scene) -> None:
    scene.container("web")
    scene.broken.add("web")


def gone(scene: Scene) -> None:
    scene.container("web")


def stopped(scene: Scene) -> None:
    running(scene)
    scene.declare("web", state="stopped")


def forbidden(scene: Scene) -> None:
    running(scene)
    scene.declare("web", mem_limit="1g")


def on_a_weaker_engine(scene: Scene) -> None:
    running(scene)
    scene.lacking.add(Knob.SWAP)


def full(scene: Scene) -> None:
    scene.declare("web")
    container = scene.container("web", State.EXITED)
    scene.remember("web", container, disk_bytes={container.id: 1 << 40})


def changed(scene: Scene) -> None:
    running(scene)
    scene.declare("web", mem_limit="64m")


def put_back(scene: Scene) -> None:
    """Its file was changed and changed back: the first container is there, and the second one runs."""
    scene.declare("web")
    first = scene.container("web", State.EXITED)
    scene.remember("web", first, stopped_by_us=(first.id,))
    scene.container("web", mem_limit="64m")


def crowded(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("api")
    scene.container("api")
    exited(scene, restart="no")


TAKEN = {"restart": "taken up RestartAsked", "retry": "taken up RetryAsked", "down": "taken up TakenDown"}


@pytest.mark.parametrize(
    ("build", "what", "answer", "plan"),
    [
        # a restart goes through the same steps as every start
        (running, "restart", "", RESTARTED),
        (sick, "restart", "", RESTARTED),
        (resting, "restart", "", STARTED),
        (lambda scene: exited(scene, restart="no"), "restart", "", STARTED),
        (lambda scene: exited(scene, 0, restart="on-failure"), "restart", "", STARTED),
        (down, "restart", "", CREATED),
        (lambda scene: scene.declare("web"), "restart", "", CREATED),
        (crowded, "restart", "", "web WAIT LimitExceeded"),
        # it is the file that ends the run of the second one
        (put_back, "restart", "", f"web START NotStarted: verify {A}, stop {B}, verify {A}, start {A}, remove {B}"),
        (suspended, "restart", "refused Suspended", "web HOLD Suspended"),
        (broken, "restart", "refused InvalidFile", "web HOLD InvalidFile"),
        (forbidden, "restart", "refused PolicyViolation", "web HOLD PolicyViolation"),
        (stopped, "restart", "refused StopDeclared", f"web STOP StopDeclared: stop {A}"),
        (gone, "restart", "refused FileRemoved", f"web REMOVE FileRemoved: stop {A}, remove {A}"),
        (lambda _: None, "restart", "refused FileRemoved", ""),
        (on_a_weaker_engine, "restart", "refused EngineUnfit", KEPT),
        (full, "restart", "refused DiskExceeded", "web KEEP DiskExceeded"),
        # another attempt is made where one rests
        (resting, "retry", "", f"web START Exited: verify {A}, start {A}"),
        (
            resting_without_an_image,
            "retry",
            "",
            "web CREATE Absent: pull app:1, create reconciler.default.web, verify new, start new",
        ),
        (sick, "retry", "", f"web START Unhealthy: stop {A}, verify {A}, start {A}"),
        (running, "retry", "refused NoFailure", KEPT),
        (down, "retry", "refused TakenDown", "web KEEP TakenDown"),
        (lambda scene: exited(scene, restart="no"), "retry", "refused ExitCode", "web KEEP ExitCode"),
        (suspended, "retry", "refused Suspended", "web HOLD Suspended"),
        # what is down has no container, and gets none
        (running, "down", "", REMOVED),
        (resting, "down", "", f"web REMOVE TakenDown: remove {A}"),
        (changed, "down", "", REMOVED),
        (stopped, "down", "", REMOVED),
        (on_a_weaker_engine, "down", "", REMOVED),
        (down, "down", "", "web KEEP TakenDown"),
        (lambda scene: scene.declare("web"), "down", "", "web KEEP TakenDown"),
        (suspended, "down", "refused Suspended", "web HOLD Suspended"),
        (broken, "down", "refused InvalidFile", "web HOLD InvalidFile"),
        (forbidden, "down", "refused PolicyViolation", "web HOLD PolicyViolation"),
        (gone, "down", "refused FileRemoved", f"web REMOVE FileRemoved: stop {A}, remove {A}"),
    ],
)
def test_what_is_asked_has_an_answer_and_a_plan(
    build: Callable[[Scene], object], what: str, answer: str, plan: str
) -> None:
    """It is taken up, or refused for the reason for which the sandbox is as it is, and then changes nothing."""
    scene = Scene()
    build(scene)
    before = dict(scene.statuses)
    scene.ask("web", what)
    assert scene.answer() == [f"web {answer or TAKEN[what]}"]
    assert (scene.statuses == before) is bool(answer)
    own = [without_fingerprints(str(one)) for one in scene.plan().sandboxes if one.sandbox == "web"]
    assert own == ([plan] if plan else [])


def test_a_refusal_says_why() -> None:
    """In the words of the file, where it has some."""
    scene = Scene()
    suspended(scene)
    scene.ask("web", "restart")
    assert scene.answers()[0].told.message == "hands off"
    stopped(scene)
    assert scene.answers()[0].told.message == "the file says `state: stopped`"


def test_what_is_in_flight_has_no_answer_yet() -> None:
    """It is answered when what was begun has ended."""
    scene = Scene()
    running(scene)
    scene.ask("web", "restart")
    scene.in_flight.add("web")
    assert scene.answer() == []
    scene.in_flight.clear()
    assert scene.answer() == ["web taken up RestartAsked"]


def test_a_request_is_answered_once_though_it_lies_about() -> None:
    """Whoever cannot delete it, or was killed before, does not begin anew."""
    scene = Scene()
    running(scene)
    scene.ask("web", "restart")
    assert scene.answer() != []
    assert scene.answer() == []


@pytest.mark.parametrize(
    ("state", "started", "line"),
    [
        (State.RUNNING, 0, RESTARTED),
        (State.EXITED, 0, STARTED),
        (State.RUNNING, 1, KEPT),
        (State.EXITED, 1, f"web START NotStarted: verify {A}, start {A}"),
    ],
)
def test_a_restart_ends_one_run(state: State, started: float, line: str) -> None:
    """Wherever the controller was killed meanwhile: the run that was there is ended, and a later one is not."""
    scene = Scene()
    running(scene)
    scene.ask("web", "restart")
    scene.answer()
    (before,) = scene.containers
    later = replace(before.inspection, state=state, started_at=before.inspection.started_at + started)
    scene.containers = [replace(before, state=state, inspection=later)]
    scene.statuses["web"] = scene.statuses["web"].model_copy(update={"stopped_by_us": (before.id,)})
    assert scene.lines() == [line]


def test_a_restart_outlives_a_change_that_is_taken_back() -> None:
    """Where a replacement was pending, and came to nothing, the old run is ended."""
    scene = Scene()
    changed(scene)
    scene.ask("web", "restart")
    scene.answer()
    scene.declare("web")
    assert scene.lines() == [RESTARTED]


def test_a_restart_of_what_never_ran_is_a_start() -> None:
    """There is no run to end."""
    scene = Scene()
    scene.declare("web")
    scene.ask("web", "restart")
    scene.answer()
    scene.remember("web", scene.container("web", State.CREATED), asked=scene.statuses["web"].asked)
    assert scene.lines() == [f"web START NotStarted: verify {A}, start {A}"]


def test_what_is_down_stays_down_until_it_is_asked_for() -> None:
    """Whatever its file says since, and while the directory cannot be read."""
    scene = Scene()
    down(scene)
    for change in ({"mem_limit": "64m"}, {"image": "app:1"}):
        scene.declare("web", **change)
        assert scene.lines() == ["web KEEP TakenDown"]
    scene.complete = False
    assert scene.lines() == ["web KEEP TakenDown"]


def test_what_is_down_is_stopped_and_not_as_declared() -> None:
    """Its file asks for it: so that nobody overlooks that it is down."""
    scene = Scene()
    down(scene)
    scene.statuses["web"] = scene.statuses["web"].model_copy(update={"container_id": "1" * 64, "container_name": "n"})
    (planned,) = scene.plan().sandboxes
    status = status_reducer.on_planned(scene.statuses["web"], planned, "web.yaml", {}, NOW)
    assert (status.phase, status.reason, status.as_declared) == (Phase.STOPPED, Reason.TAKEN_DOWN, False)
    assert (status.container_id, status.container_name) == ("", "")


@pytest.mark.parametrize(("what", "failures"), [("restart", 0), ("retry", 0), ("down", 3)])
def test_who_asks_for_a_run_forgets_failures(what: str, failures: int) -> None:
    """And the pause with them."""
    before = SandboxStatus(name="web", failures=3, retry_at=NOW + 10)
    after = status_reducer.on_asked(before, Request(what=Ask(what), at=NOW), NOW)
    assert (after.failures, after.retry_at) == (failures, NOW + 10 if failures else 0)
