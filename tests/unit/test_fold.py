"""How a status follows from what is seen, planned and done."""

from dataclasses import replace

import pytest

from reconciler.model.plan import Create, Lane, Outcome, Pull, Reason, Start, Verify
from reconciler.model.rendered import Mismatch
from reconciler.model.status import ConditionType, Phase, SandboxStatus
from reconciler.model.world import Health, State
from reconciler.planning import backoff, fold
from tests.scene import NOW, Scene


def after_plan(scene: Scene, name: str = "web") -> SandboxStatus:
    (lane,) = (lane for lane in scene.plan().lanes if lane.sandbox == name)
    status = scene.statuses.get(name) or SandboxStatus(name=name)
    return fold.planned(status, lane, f"{name}.yaml", {}, NOW)


def web(**keys: object) -> Scene:
    scene = Scene()
    scene.declare("web", **keys)
    return scene


def condition(status: SandboxStatus, kind: ConditionType) -> bool:
    return next(condition.status for condition in status.conditions if condition.type is kind)


PHASES = {
    "running": (lambda scene: scene.container("web"), Phase.RUNNING, True),
    "healthy": (lambda scene: scene.container("web", health=Health.HEALTHY), Phase.RUNNING, True),
    "unhealthy": (lambda scene: scene.container("web", health=Health.UNHEALTHY), Phase.RUNNING, False),
    "starting": (lambda scene: scene.container("web", health=Health.STARTING), Phase.STARTING, False),
    "absent": (lambda _: None, Phase.STARTING, False),
    "replaced": (lambda scene: scene.container("web", mem_limit="256m"), Phase.UPDATING, False),
    "left over": (
        lambda scene: (scene.container("web", State.EXITED, mem_limit="256m"), scene.container("web")),
        Phase.RUNNING,
        True,
    ),
    "resting": (lambda scene: scene.failed("web", Reason.START_FAILED), Phase.BACKOFF, False),
    "crashing": (
        lambda scene: (scene.container("web", State.EXITED, exit_code=3), scene.failed("web", Reason.EXIT_CODE)),
        Phase.BACKOFF,
        False,
    ),
    "broken": (lambda scene: (scene.files.clear(), scene.broken.add("web")), Phase.HELD, False),
    "suspended": (lambda scene: scene.declare("web", suspend="why"), Phase.HELD, False),
    "refused": (lambda scene: scene.declare("web", mem_limit="1g"), Phase.REFUSED, False),
    "stopped": (lambda scene: scene.declare("web", state="stopped"), Phase.STOPPED, True),
    "no seccomp": (lambda scene: setattr(scene, "seccomp", False), Phase.REFUSED, False),
}


@pytest.mark.parametrize("situation", PHASES)
def test_phase(situation: str) -> None:
    """Each situation has one phase, and is ready or not."""
    change, phase, ready = PHASES[situation]
    scene = web()
    change(scene)
    status = after_plan(scene)
    assert (status.phase, condition(status, ConditionType.READY)) == (phase, ready)


def test_condition_moves_its_time_only_with_its_answer() -> None:
    """`since` says when the answer changed, not when the sentence did."""
    scene = web()
    scene.container("web")
    first = after_plan(scene)
    later = fold.planned(first, scene.plan().lanes[0], "web.yaml", {}, NOW + 50)
    assert {condition.since for condition in later.conditions} == {NOW}


def test_nothing_new_changes_nothing() -> None:
    """A pass that finds all as it was leaves the very same status, so nothing is written."""
    scene = web()
    scene.container("web")
    first = after_plan(scene)
    assert fold.planned(first, scene.plan().lanes[0], "web.yaml", {}, NOW + 9) is first


def exited(scene: Scene, **exit_: object) -> SandboxStatus:
    container = scene.container("web", State.EXITED, **exit_)  # type: ignore[arg-type]
    status = SandboxStatus(name="web", container_id=container.id)
    return fold.seen(status, [container], NOW)


def test_an_exit_is_counted_once() -> None:
    """However often the same exit is seen, it is one failure."""
    scene = web()
    status = exited(scene, exit_code=3)
    again = fold.seen(status, scene.containers, NOW + 1)
    assert (again.failures, again.exit_code) == (1, 3)
    assert again is status


def test_the_first_exit_is_restarted_at_once_and_then_backoff_doubles() -> None:
    """0, 1, 2, 4 ... seconds, and never more than five minutes."""
    delays = [backoff.delay_seconds(failures, Reason.EXIT_CODE) for failures in range(1, 13)]
    assert delays == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert backoff.delay_seconds(1, Reason.IMAGE_PULL_FAILED) == 1
    assert backoff.delay_seconds(10_000, Reason.IMAGE_PULL_FAILED) == 300


def test_out_of_memory_is_told_apart() -> None:
    """An exit for want of memory is its own reason."""
    status = exited(web(), exit_code=137, oom_killed=True)
    assert status.oom_killed
    assert status.failure is not None
    assert status.failure.reason is Reason.OOM_KILLED


def test_what_the_controller_stopped_is_no_failure() -> None:
    """The exit of a container that was stopped on purpose is noted, not counted."""
    container = web().container("web", State.EXITED, exit_code=143)
    status = SandboxStatus(name="web", container_id=container.id, halted=(container.id,))
    after = fold.seen(status, [container], NOW)
    assert (after.failures, after.exit_code) == (0, 143)


def test_ten_good_minutes_make_failures_good() -> None:
    """A sandbox that has been ready long enough, by our own clock, starts from the beginning."""
    scene = web()
    container = scene.container("web")
    scene.remember("web", container, failures=4)
    status = after_plan(scene)
    assert fold.seen(status, [container], NOW + fold.GOOD_RUN_SECONDS - 1).failures == 4
    assert fold.seen(status, [container], NOW + fold.GOOD_RUN_SECONDS).failures == 0


@pytest.mark.parametrize(("seconds", "failures"), [(fold.GOOD_RUN_SECONDS, 1), (fold.GOOD_RUN_SECONDS - 1, 5)])
def test_how_long_it_ran_is_the_engines_to_say(seconds: float, failures: int) -> None:
    """A clock of ours that is an hour ahead of the engine's makes no crash loop a good run."""
    container = web().container("web", State.EXITED, exit_code=3)
    inspection = replace(container.inspection, started_at=container.inspection.finished_at - seconds)
    status = SandboxStatus(name="web", container_id=container.id, failures=4)
    assert fold.seen(status, [replace(container, inspection=inspection)], NOW + 3600).failures == failures


def test_a_new_configuration_forgets_failures() -> None:
    """Failures belong to a fingerprint."""
    scene = web(mem_limit="256m")
    scene.failed("web", Reason.IMAGE_PULL_FAILED, failures=5)
    status = after_plan(scene)
    assert (status.failures, status.failure, status.retry_at) == (0, None, 0)


def lane_of(scene: Scene) -> Lane:
    return scene.plan().lanes[0]


def test_pulling_is_a_phase_with_progress() -> None:
    """While an image is pulled the status says how far it is."""
    scene = web()
    scene.images.clear()
    status = fold.pulling(after_plan(scene), lane_of(scene), "3 of 7 layers", 0.4, NOW)
    assert (status.phase, status.message, status.progress) == (Phase.PULLING, "3 of 7 layers", 0.4)
    done = fold.done(status, Outcome(lane_of(scene), Pull("app:1")), NOW)
    assert (done.phase, done.progress) == (Phase.STARTING, None)


@pytest.mark.parametrize("failure", [Reason.IMAGE_PULL_FAILED, Reason.ENGINE_UNAVAILABLE])
def test_a_pull_that_failed_has_no_progress(failure: Reason) -> None:
    """Nothing is said to go on that has ended."""
    scene = web()
    scene.images.clear()
    status = fold.pulling(after_plan(scene), lane_of(scene), "3 of 7 layers", 0.4, NOW)
    assert fold.done(status, Outcome(lane_of(scene), Pull("app:1"), failure=failure), NOW).progress is None


def test_a_pull_whose_controller_was_killed_has_no_progress() -> None:
    """The next controller begins it anew."""
    scene = web()
    scene.images.clear()
    scene.statuses["web"] = fold.pulling(after_plan(scene), lane_of(scene), "3 of 7 layers", 0.4, NOW)
    assert after_plan(scene).progress is None


def test_a_failed_action_rests_and_says_why() -> None:
    """A failure has its reason, its sentence and the time of the next attempt."""
    scene = web()
    outcome = Outcome(lane_of(scene), Pull("app:1"), failure=Reason.IMAGE_PULL_FAILED, message="no such image")
    status = fold.done(after_plan(scene), outcome, NOW)
    assert (status.phase, status.reason, status.message) == (Phase.BACKOFF, Reason.IMAGE_PULL_FAILED, "no such image")
    assert status.retry_at == NOW + 1


def test_an_engine_that_went_away_is_no_failure_of_the_sandbox() -> None:
    """No sandbox pays for an engine that is down."""
    scene = web()
    outcome = Outcome(lane_of(scene), Start(), failure=Reason.ENGINE_UNAVAILABLE, message="gone")
    assert fold.done(after_plan(scene), outcome, NOW).failures == 0


def test_a_failed_verification_is_kept_as_evidence() -> None:
    """The status says what was not as rendered, and of which container."""
    scene = web()
    lane = lane_of(scene)
    assert lane.rendered is not None
    outcome = Outcome(
        lane,
        Verify(lane.rendered),
        container="9" * 64,
        failure=Reason.VERIFICATION_FAILED,
        message="it is not as rendered",
        mismatches=(Mismatch("mem_limit", "512m", "nothing"),),
    )
    attested = fold.done(after_plan(scene), outcome, NOW).attested
    assert attested is not None
    assert not attested.ok
    assert attested.container_id == "9" * 64
    assert attested.mismatches == ("mem_limit: nothing should be 512m",)
    assert attested.policy == lane.rendered.policy


def test_a_start_is_what_makes_a_container_current() -> None:
    """Container, ports and start are recorded when it has really been started; only then is a restart counted."""
    scene = web()
    lane = lane_of(scene)
    created = fold.done(after_plan(scene), Outcome(lane, Create(lane.rendered), container="9" * 64), NOW)  # type: ignore[arg-type]
    assert created.container_id == ""
    started = fold.done(created, Outcome(lane, Start(), container="9" * 64), NOW)
    assert (started.container_id, started.restarts) == ("9" * 64, 0)
    again = fold.done(started, Outcome(replace(lane, cause=Reason.EXITED), Start("9" * 64), "9" * 64), NOW)
    assert again.restarts == 1


def test_a_start_without_an_answer_is_in_doubt_as_long_as_the_container_is_there() -> None:
    """It may happen late, also after another start of the same container and a stop."""
    scene = web()
    container = scene.container("web")
    lost = Outcome(lane_of(scene), Start(container.id), container.id, failure=Reason.ENGINE_UNAVAILABLE)
    status = fold.done(SandboxStatus(name="web"), lost, NOW)
    assert status.doubtful == container.id
    assert fold.seen(status, [container], NOW).doubtful == container.id
    again = Outcome(lane_of(scene), Start(container.id), container.id)
    assert fold.done(status, again, NOW).doubtful == container.id
    assert fold.seen(status, [], NOW).doubtful == ""


def test_a_stop_is_remembered_as_our_own() -> None:
    """The controller knows which container it is about to stop itself, and forgets it when that one runs on."""
    scene = web(state="stopped")
    container = scene.container("web")
    scene.statuses["web"] = after_plan(scene)
    assert scene.statuses["web"].halted == (container.id,)
    scene.files.clear()
    scene.declare("web")
    assert after_plan(scene).halted == ()


def test_what_was_written_is_remembered_as_long_as_the_container_is_there() -> None:
    """A measurement that leaves a container out says nothing about it; the size goes with the container."""
    scene = web()
    old, new = scene.container("web", State.EXITED), scene.container("web", mem_limit="256m")
    status = fold.measured(SandboxStatus(name="web"), {old.id: 5, new.id: 6}, NOW)
    status = fold.measured(status, {new.id: 7}, NOW)
    assert status.disk_bytes == {old.id: 5, new.id: 7}
    assert fold.seen(status, [new], NOW).disk_bytes == {new.id: 7}


def test_the_last_words_are_of_what_exited_by_itself() -> None:
    """What the controller stopped has no last words, and neither has what was replaced; all of them are escaped."""
    status = SandboxStatus(name="web", container_id="a" * 64)
    assert fold.said(status, "a" * 64, [b"\x1b[31m", b"x" * 300, b"\xff"], NOW).last_words == (
        "\\x1b[31m",
        "x" * 199 + "\u2026",
        "\ufffd",
    )
    assert fold.said(status, "b" * 64, [b"other"], NOW) is status
    halted = status.model_copy(update={"halted": ("a" * 64,)})
    assert fold.said(halted, "a" * 64, [b"bye"], NOW) is halted


def test_what_a_container_was_made_from_is_known_as_long_as_it_stands_for_the_sandbox() -> None:
    """It is the container's own, not what the file has come to say; of a container that is strange it is not known."""
    scene = web()
    old = scene.container("web")
    scene.statuses["web"] = after_plan(scene)
    assert scene.statuses["web"].configuration["mem_limit"] == "512m"
    scene.declare("web", mem_limit="256m")
    assert after_plan(scene).configuration["mem_limit"] == "512m"
    scene.remember("web", container_id="another", configuration={"mem_limit": "64m"})
    assert after_plan(scene).container_id == old.id
    assert after_plan(scene).configuration == {}
