"""How a status follows from what is seen, planned and done."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.capabilities import Knob
from reconciler.model.kernel import KernelFacts
from reconciler.model.plan import (
    Action,
    Create,
    Outcome,
    Pull,
    Reason,
    Remove,
    Rename,
    SandboxPlan,
    Start,
    Stop,
    Verdict,
    Verify,
)
from reconciler.model.rendered import Mismatch
from reconciler.model.status import Attestation, ConditionType, Failure, Phase, SandboxStatus
from reconciler.model.world import Health, Image, State
from reconciler.planning import backoff, status_reducer
from reconciler.planning.fingerprint import EPOCH
from reconciler.spec.policy import Policy
from tests.scene import NOW, Scene, up_to


def after_plan(scene: Scene, name: str = "web") -> SandboxStatus:
    (planned,) = (planned for planned in scene.plan().sandboxes if planned.sandbox == name)
    status = scene.statuses.get(name) or SandboxStatus(name=name)
    return status_reducer.on_planned(status, planned, f"{name}.yaml", {}, NOW, broken=name in scene.broken)


def web(**keys: object) -> Scene:
    scene = Scene()
    scene.declare("web", **keys)
    return scene


def drifted_while_suspended(scene: Scene) -> None:
    scene.container("web", drift={"ShmSize": 1 << 30})
    scene.declare("web", suspend="why")


def change_and_break(scene: Scene) -> None:
    scene.container("web")
    scene.files.clear()
    scene.broken.add("web")


def rename(scene: Scene, state: State = State.RUNNING) -> None:
    scene.containers.append(replace(scene.container("web", state), name="another"))
    del scene.containers[0]


A, S, R, T = "Accepted", "Synced", "Ready", "Stalled"

PHASES: dict[str, tuple[Callable[[Scene], object], Phase, set[str]]] = {
    "running": (lambda scene: scene.container("web"), Phase.RUNNING, {A, S, R}),
    "healthy": (lambda scene: scene.container("web", health=Health.HEALTHY), Phase.RUNNING, {A, S, R}),
    "unhealthy": (lambda scene: scene.container("web", health=Health.UNHEALTHY), Phase.STARTING, {A, S}),
    "unhealthy and resting": (
        lambda scene: scene.failed("web", Reason.UNHEALTHY, scene.container("web", health=Health.UNHEALTHY)),
        Phase.RUNNING,
        {A, S},
    ),
    "starting": (lambda scene: scene.container("web", health=Health.STARTING), Phase.STARTING, {A, S}),
    "paused": (lambda scene: scene.container("web", State.PAUSED), Phase.STARTING, {A, S}),
    "absent": (lambda _: None, Phase.STARTING, {A}),
    "never started": (lambda scene: scene.container("web", State.CREATED), Phase.STARTING, {A}),
    "exited": (lambda scene: scene.container("web", State.EXITED, exit_code=1), Phase.STARTING, {A, S}),
    "replaced": (lambda scene: scene.container("web", mem_limit="256m"), Phase.UPDATING, {A, R}),
    "drifted": (lambda scene: scene.container("web", drift={"Memory": 1 << 30}), Phase.UPDATING, {A}),
    "left over": (
        lambda scene: (scene.container("web", State.EXITED, mem_limit="256m"), scene.container("web")),
        Phase.RUNNING,
        {A, S, R},
    ),
    "dead": (lambda scene: scene.container("web", State.DEAD), Phase.STOPPING, {A}),
    "dead, with an older one that serves": (
        lambda scene: (scene.container("web", mem_limit="256m"), scene.container("web", State.DEAD)),
        Phase.RUNNING,
        {A, R},
    ),
    "renamed": (rename, Phase.RUNNING, {A, S, R}),
    "renamed while the engine restarts it": (
        lambda scene: rename(scene, State.RESTARTING),
        Phase.UPDATING,
        {A, S},
    ),
    "half replaced": (
        lambda scene: (scene.container("web", mem_limit="256m"), scene.container("web", State.CREATED)),
        Phase.STARTING,
        {A, R},
    ),
    "resting": (lambda scene: scene.failed("web", Reason.START_FAILED), Phase.BACKOFF, {A}),
    "its replacement resting": (
        lambda scene: scene.failed("web", Reason.IMAGE_PULL_FAILED, scene.container("web", mem_limit="256m")),
        Phase.RUNNING,
        {A, R},
    ),
    "crashing": (
        lambda scene: scene.failed("web", Reason.EXIT_CODE, scene.container("web", State.EXITED, exit_code=3)),
        Phase.BACKOFF,
        {A, S},
    ),
    "crashing again and again": (
        lambda scene: scene.failed("web", Reason.EXIT_CODE, scene.container("web", State.EXITED), failures=5),
        Phase.BACKOFF,
        {A, S, T},
    ),
    "completed": (
        lambda scene: (scene.declare("web", restart="no"), scene.container("web", State.EXITED)),
        Phase.COMPLETED,
        {A, S},
    ),
    "failed": (
        lambda scene: (scene.declare("web", restart="no"), scene.container("web", State.EXITED, exit_code=3)),
        Phase.FAILED,
        {A, S, T},
    ),
    "completed after many failures": (
        lambda scene: (
            scene.declare("web", restart="on-failure"),
            scene.failed("web", Reason.EXITED, scene.container("web", State.EXITED), failures=5),
        ),
        Phase.COMPLETED,
        {A, S},
    ),
    "stopped after many failures": (
        lambda scene: (scene.failed("web", Reason.EXIT_CODE, failures=5), scene.declare("web", state="stopped")),
        Phase.STOPPED,
        {A, S},
    ),
    "broken": (lambda scene: (scene.files.clear(), scene.broken.add("web")), Phase.HELD, set()),
    "broken and serving": (change_and_break, Phase.RUNNING, {R}),
    "suspended": (lambda scene: scene.declare("web", suspend="why"), Phase.HELD, {A}),
    "suspended and serving": (
        lambda scene: (scene.container("web"), scene.declare("web", suspend="why")),
        Phase.RUNNING,
        {A, S, R},
    ),
    "suspended and paused": (
        lambda scene: (scene.container("web", State.PAUSED), scene.declare("web", suspend="why")),
        Phase.HELD,
        {A, S},
    ),
    "suspended and unhealthy": (
        lambda scene: (scene.container("web", health=Health.UNHEALTHY), scene.declare("web", suspend="why")),
        Phase.RUNNING,
        {A, S},
    ),
    "changed while suspended": (
        lambda scene: (scene.container("web"), scene.declare("web", suspend="why", mem_limit="256m")),
        Phase.RUNNING,
        {A, R},
    ),
    "drifted while suspended": (drifted_while_suspended, Phase.RUNNING, {A, R}),
    "suspended, stopped and running": (
        lambda scene: (scene.container("web"), scene.declare("web", suspend="why", state="stopped")),
        Phase.RUNNING,
        {A, R},
    ),
    "suspended and stopped": (
        lambda scene: scene.declare("web", suspend="why", state="stopped"),
        Phase.HELD,
        {A, S},
    ),
    "suspended and forbidden": (lambda scene: scene.declare("web", suspend="why", mem_limit="1g"), Phase.HELD, set()),
    "refused": (lambda scene: scene.declare("web", mem_limit="1g"), Phase.REFUSED, set()),
    "refused and serving": (
        lambda scene: (scene.remember("web", scene.container("web")), scene.declare("web", mem_limit="1g")),
        Phase.RUNNING,
        {R},
    ),
    "its removal pending approval": (
        lambda scene: (scene.files.clear(), scene.container("web"), setattr(scene, "complete", False)),
        Phase.RUNNING,
        {A, R},
    ),
    "stopping": (lambda scene: (scene.container("web"), scene.declare("web", state="stopped")), Phase.STOPPING, {A}),
    "stopped": (lambda scene: scene.declare("web", state="stopped"), Phase.STOPPED, {A, S}),
    "over the limit": (lambda scene: setattr(scene, "policy", up_to(0)), Phase.WAITING, {A}),
    "crashed and over the limit": (
        lambda scene: (scene.container("web", State.EXITED), setattr(scene, "policy", up_to(0))),
        Phase.WAITING,
        {A},
    ),
    "no seccomp": (lambda scene: setattr(scene, "lacking", {Knob.SECCOMP}), Phase.REFUSED, {A, T}),
}


@pytest.mark.parametrize("situation", PHASES)
def test_phase_and_conditions(situation: str) -> None:
    """Each situation has one phase, and an answer to each question: accepted, synced, ready, stalled."""
    change, phase, true = PHASES[situation]
    scene = web()
    change(scene)
    status = after_plan(scene)
    assert (status.phase, {one.type for one in status.conditions if one.status}) == (phase, true)
    assert {one.type for one in status.conditions} == set(ConditionType)


FINE = {
    *("running", "healthy", "left over", "renamed", "completed", "stopped"),
    *("completed after many failures", "stopped after many failures"),
    *("suspended and serving", "suspended and stopped"),
}


@pytest.mark.parametrize("situation", PHASES)
def test_what_nobody_asked_for_is_not_as_declared(situation: str) -> None:
    """Who is stopped, completed or suspended by the file need not run; what runs must be ready."""
    scene = web()
    PHASES[situation][0](scene)
    assert after_plan(scene).as_declared is (situation in FINE)


@pytest.mark.parametrize(
    ("change", "kind", "reason", "message"),
    [
        (change_and_break, ConditionType.READY, Reason.RUNNING, ""),
        (change_and_break, ConditionType.SYNCED, Reason.INVALID_FILE, "web.yaml:1:1: it is broken"),
        (
            lambda scene: (scene.container("web", State.PAUSED), scene.broken.add("web"), scene.files.clear()),
            ConditionType.READY,
            Reason.PAUSED,
            "its container is paused",
        ),
        (lambda scene: scene.container("web"), ConditionType.STALLED, Reason.NO_FAILURE, ""),
        (
            lambda scene: scene.failed("web", Reason.IMAGE_PULL_FAILED, scene.container("web", mem_limit="256m")),
            ConditionType.STALLED,
            Reason.IMAGE_PULL_FAILED,
            "it failed",
        ),
    ],
)
def test_each_condition_has_a_reason_of_its_own(
    change: Callable[[Scene], object], kind: ConditionType, reason: Reason, message: str
) -> None:
    """Why it serves is another question than why its file is not applied."""
    scene = web()
    change(scene)
    answer = after_plan(scene).condition(kind)
    assert answer is not None
    assert (answer.reason, answer.message) == (reason, message)


def broken_and(change: Callable[[Scene], object]) -> Callable[[Scene], object]:
    return lambda scene: (change(scene), scene.files.clear(), scene.broken.add("web"))


@pytest.mark.parametrize(
    ("change", "verdict", "cause"),
    [
        (lambda scene: scene.container("web"), Verdict.HOLD, Reason.INVALID_FILE),
        (lambda scene: scene.container("web", drift={"Privileged": True}), Verdict.STOP, Reason.DRIFTED),
        (lambda scene: scene.container("web", mem_limit="1g"), Verdict.STOP, Reason.POLICY_VIOLATION),
        (
            lambda scene: scene.remember("web", scene.container("web"), disk_bytes={"1" * 64: 5 << 30}),
            Verdict.STOP,
            Reason.DISK_EXCEEDED,
        ),
    ],
)
def test_a_broken_file_is_not_accepted_for_what_is_wrong_with_it(
    change: Callable[[Scene], object], verdict: Verdict, cause: Reason
) -> None:
    """Whatever else becomes of what runs."""
    scene = web()
    broken_and(change)(scene)
    planned = plan_of(scene)
    assert (planned.verdict, planned.cause) == (verdict, cause)
    accepted = after_plan(scene).condition(ConditionType.ACCEPTED)
    assert accepted is not None
    assert (accepted.status, accepted.reason) == (False, Reason.INVALID_FILE)
    assert accepted.message == "web.yaml:1:1: it is broken"


def test_what_is_replaced_serves_until_it_is_about_to_be_stopped() -> None:
    """Also while an image is pulled for minutes; a stop is told only when it has ended, so readiness ends before it."""
    scene = web(mem_limit="256m")
    scene.container("web")
    scene.images.clear()
    status, planned, ready = after_plan(scene), plan_of(scene), []
    for action in planned.actions:
        status = status_reducer.on_outcome(status, Outcome(planned, action, container="9" * 64), NOW)
        ready.append(status.ready)
    assert [str(action).split()[0] for action in planned.actions[:3]] == ["pull", "create", "verify"]
    assert ready[:3] == [True, True, False]
    assert not any(ready[3:])


def test_a_crash_loop_is_not_ready_for_the_first_seconds_of_each_run() -> None:
    """So that an alert can fire; who has never failed is ready at once, and a clock that was set back hinders none."""
    scene = web()
    container = scene.container("web")
    for started, failures, left in [(4, 0, 0), (4, 2, 6), (10, 2, 0), (-3600, 2, 0)]:
        inspection = replace(container.inspection, started_at=NOW - started)
        scene.containers[0] = replace(container, inspection=inspection)
        scene.remember("web", container, failures=failures)
        planned, status = plan_of(scene), after_plan(scene)
        assert planned.ready_at == (NOW + left if left else 0)
        assert status.ready is not bool(left)
        assert status.phase is (Phase.STARTING if left else Phase.RUNNING)
        assert (status.reason is Reason.STARTING) is bool(left)


def test_who_is_kept_out_by_a_container_that_is_not_ours_waits() -> None:
    """It has not failed, and is not tried again after a while."""
    planned = SandboxPlan("web", Verdict.WAIT, Reason.UNMANAGED, "it is not ours")
    assert status_reducer.on_planned(SandboxStatus(name="web"), planned, "web.yaml", {}, NOW).phase is Phase.WAITING


def test_condition_moves_its_time_only_with_its_answer() -> None:
    """`since` says when the answer changed, not when the sentence did."""
    scene = web()
    scene.container("web")
    first = after_plan(scene)
    later = status_reducer.on_planned(first, scene.plan().sandboxes[0], "web.yaml", {}, NOW + 50)
    assert {condition.since for condition in later.conditions} == {NOW}


def test_nothing_new_changes_nothing() -> None:
    """A pass that finds all as it was leaves the very same status, so nothing is written."""
    scene = web()
    scene.container("web")
    first = after_plan(scene)
    assert status_reducer.on_planned(first, scene.plan().sandboxes[0], "web.yaml", {}, NOW + 9) is first


def exited(scene: Scene, **exit_: object) -> SandboxStatus:
    container = scene.container("web", State.EXITED, **exit_)  # type: ignore[arg-type]
    status = SandboxStatus(name="web", container_id=container.id)
    return status_reducer.on_observed(status, [container], NOW)


def test_an_exit_is_counted_once() -> None:
    """However often the same exit is seen, it is one failure."""
    scene = web()
    status = exited(scene, exit_code=3)
    again = status_reducer.on_observed(status, scene.containers, NOW + 1)
    assert (again.failures, again.exit_code) == (1, 3)
    assert again is status


def test_the_first_exit_is_restarted_at_once_and_then_backoff_doubles() -> None:
    """0, 1, 2, 4 ... seconds, and never more than five minutes."""
    delays = [backoff.delay_seconds(failures, Reason.EXIT_CODE) for failures in range(1, 13)]
    assert delays == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert backoff.delay_seconds(1, Reason.IMAGE_PULL_FAILED) == 1
    assert backoff.delay_seconds(10_000, Reason.IMAGE_PULL_FAILED) == 300


def test_a_health_check_that_comes_to_fail_is_a_failure_once_in_each_run() -> None:
    """However long it goes on; it ends when the check passes, and begins anew with the next run."""
    scene = web()
    container = scene.container("web", health=Health.UNHEALTHY)
    status = SandboxStatus(name="web", container_id=container.id)
    seen = []
    for health, started in [("unhealthy", 60), ("unhealthy", 60), ("starting", 9), ("unhealthy", 9), ("healthy", 9)]:
        inspection = replace(container.inspection, started_at=NOW - started)
        status = status_reducer.on_observed(
            status, [replace(container, health=Health(health), inspection=inspection)], NOW
        )
        seen.append((status.failures, bool(status.unhealthy_run)))
    assert seen == [(1, True), (1, True), (1, True), (2, True), (2, False)]
    assert (status.failure.reason if status.failure else None) is Reason.UNHEALTHY
    assert backoff.delay_seconds(1, Reason.UNHEALTHY) == 0


def test_a_restart_of_the_unhealthy_counts_and_makes_nothing_good() -> None:
    """Only ten good minutes do."""
    scene = web()
    scene.failed("web", Reason.UNHEALTHY, scene.container("web", health=Health.UNHEALTHY), failures=2, retry_in=-1)
    status, planned = after_plan(scene), plan_of(scene)
    for action in planned.actions:
        status = status_reducer.on_outcome(
            status, Outcome(planned, action, planned.current.id if planned.current else ""), NOW
        )
    assert (status.restarts, status.failures, status.stopped_by_us) == (1, 2, ())


def test_out_of_memory_is_told_apart() -> None:
    """An exit for want of memory is its own reason."""
    status = exited(web(), exit_code=137, oom_killed=True)
    assert status.oom_killed
    assert status.failure is not None
    assert status.failure.reason is Reason.OOM_KILLED


def test_what_has_other_ports_than_are_meant_is_not_attested() -> None:
    """It says nothing of the policy that asks for others, although the rest of it is the same."""
    scene = Scene(policy=Policy(published="8000-9999"))
    scene.declare("web")
    scene.container("web", port=61000)
    assert plan_of(scene).cause is Reason.POLICY_VIOLATION
    assert after_plan(scene).attested is None


def test_what_the_controller_stopped_is_no_failure() -> None:
    """The exit of a container that was stopped on purpose is noted, not counted."""
    container = web().container("web", State.EXITED, exit_code=143)
    status = SandboxStatus(name="web", container_id=container.id, stopped_by_us=(container.id,))
    after = status_reducer.on_observed(status, [container], NOW)
    assert (after.failures, after.exit_code) == (0, 143)


def test_ten_good_minutes_make_failures_good() -> None:
    """A sandbox that has been ready long enough, by our own clock, starts from the beginning."""
    scene = web()
    container = scene.container("web")
    scene.remember("web", container, failures=4, last_output=("why",))
    status = after_plan(scene)
    soon = status_reducer.on_observed(status, [container], NOW + status_reducer.GOOD_RUN_SECONDS - 1)
    assert (soon.failures, soon.last_output) == (4, ("why",))
    good = status_reducer.on_observed(status, [container], NOW + status_reducer.GOOD_RUN_SECONDS)
    assert (good.failures, good.last_output) == (0, ())


@pytest.mark.parametrize("reason", [Reason.IMAGE_PULL_FAILED, Reason.NAME_TAKEN, Reason.STOP_FAILED])
def test_a_good_run_makes_nothing_good_that_fails_beside_it(reason: Reason) -> None:
    """That an old container serves says nothing about its replacement; only when all is quiet it is forgotten."""
    scene = web()
    container = scene.container("web")
    long_ready = after_plan(scene)
    late = NOW + 2 * status_reducer.GOOD_RUN_SECONDS
    failure = Failure(reason=reason, message="it failed", at=late)
    status = long_ready.model_copy(update={"failures": 4, "failure": failure, "retry_at": late + 8})
    assert status_reducer.on_observed(status, [container], late + 1).retry_at == late + 8
    assert status_reducer.on_observed(status, [container], late + status_reducer.GOOD_RUN_SECONDS).failures == 0
    ended = replace(container.inspection, started_at=NOW, finished_at=late)
    after_exit = status_reducer.on_observed(
        status, [replace(container, state=State.EXITED, inspection=ended)], late + 1
    )
    assert after_exit.failures == 5


@pytest.mark.parametrize(
    ("reason", "action", "left"),
    [
        (Reason.STOP_FAILED, Stop("1" * 64, 10), 0),
        (Reason.ENGINE_BUSY, Stop("1" * 64, 10), 0),
        (Reason.REMOVE_FAILED, Remove("1" * 64), 0),
        (Reason.RENAME_FAILED, Rename("1" * 64, "web"), 0),
        (Reason.NAME_TAKEN, Rename("1" * 64, "web"), 0),
        (Reason.IMAGE_PULL_FAILED, Stop("1" * 64, 10), 4),
        (Reason.MOUNT_MISMATCH, Stop("1" * 64, 10), 4),
        (Reason.EXIT_CODE, Rename("1" * 64, "web"), 4),
    ],
)
def test_what_has_failed_is_good_once_it_is_done(reason: Reason, action: Action, left: int) -> None:
    """And by no other action."""
    scene = web()
    scene.failed("web", reason, scene.container("web"), failures=4)
    done = Outcome(SandboxPlan("web", Verdict.STOP, Reason.STOP_DECLARED, actions=(action,)), action, "1" * 64)
    assert status_reducer.on_outcome(scene.statuses["web"], done, NOW).failures == left


@pytest.mark.parametrize(
    ("seconds", "failures"), [(status_reducer.GOOD_RUN_SECONDS, 1), (status_reducer.GOOD_RUN_SECONDS - 1, 5)]
)
def test_how_long_it_ran_is_the_engines_to_say(seconds: float, failures: int) -> None:
    """A clock of ours that is an hour ahead of the engine's makes no crash loop a good run."""
    container = web().container("web", State.EXITED, exit_code=3)
    inspection = replace(container.inspection, started_at=container.inspection.finished_at - seconds)
    status = SandboxStatus(name="web", container_id=container.id, failures=4)
    assert (
        status_reducer.on_observed(status, [replace(container, inspection=inspection)], NOW + 3600).failures == failures
    )


def test_a_new_configuration_forgets_failures() -> None:
    """Failures belong to a fingerprint."""
    scene = web(mem_limit="256m")
    scene.failed("web", Reason.IMAGE_PULL_FAILED, failures=5)
    status = after_plan(scene)
    assert (status.failures, status.failure, status.retry_at) == (0, None, 0)


def plan_of(scene: Scene) -> SandboxPlan:
    return scene.plan().sandboxes[0]


def test_pulling_is_a_phase_with_progress() -> None:
    """While an image is pulled the status says how far it is."""
    scene = web()
    scene.images.clear()
    status = status_reducer.on_progress(after_plan(scene), plan_of(scene), "3 of 7 layers", 0.4, NOW)
    assert (status.phase, status.message, status.progress) == (Phase.PULLING, "3 of 7 layers", 0.4)
    done = status_reducer.on_outcome(status, Outcome(plan_of(scene), Pull("app:1")), NOW)
    assert (done.phase, done.progress) == (Phase.STARTING, None)


@pytest.mark.parametrize("failure", [Reason.IMAGE_PULL_FAILED, Reason.ENGINE_UNAVAILABLE])
def test_a_pull_that_failed_has_no_progress(failure: Reason) -> None:
    """Nothing is said to go on that has ended."""
    scene = web()
    scene.images.clear()
    status = status_reducer.on_progress(after_plan(scene), plan_of(scene), "3 of 7 layers", 0.4, NOW)
    assert (
        status_reducer.on_outcome(status, Outcome(plan_of(scene), Pull("app:1"), failure=failure), NOW).progress is None
    )


def test_a_pull_whose_controller_was_killed_has_no_progress() -> None:
    """The next controller begins it anew."""
    scene = web()
    scene.images.clear()
    scene.statuses["web"] = status_reducer.on_progress(after_plan(scene), plan_of(scene), "3 of 7 layers", 0.4, NOW)
    assert after_plan(scene).progress is None


def test_a_failed_action_rests_and_says_why() -> None:
    """A failure has its reason, its sentence and the time of the next attempt."""
    scene = web()
    outcome = Outcome(plan_of(scene), Pull("app:1"), failure=Reason.IMAGE_PULL_FAILED, message="no such image")
    status = status_reducer.on_outcome(after_plan(scene), outcome, NOW)
    assert (status.phase, status.reason, status.message) == (Phase.BACKOFF, Reason.IMAGE_PULL_FAILED, "no such image")
    assert status.retry_at == NOW + 1


def test_an_engine_that_went_away_is_no_failure_of_the_sandbox() -> None:
    """No sandbox pays for an engine that is down."""
    scene = web()
    outcome = Outcome(plan_of(scene), Start(), failure=Reason.ENGINE_UNAVAILABLE, message="gone")
    assert status_reducer.on_outcome(after_plan(scene), outcome, NOW).failures == 0


def test_a_failed_verification_is_kept_as_evidence() -> None:
    """The status says what differed, and of which container."""
    scene = web()
    planned = plan_of(scene)
    assert planned.rendered is not None
    outcome = Outcome(
        planned,
        Verify(planned.rendered),
        container="9" * 64,
        failure=Reason.VERIFICATION_FAILED,
        message="it is not what was asked for",
        mismatches=(Mismatch("mem_limit", "512m", "nothing"),),
    )
    attested = status_reducer.on_outcome(after_plan(scene), outcome, NOW).attested
    assert attested is not None
    assert not attested.ok
    assert attested.container_id == "9" * 64
    assert attested.mismatches == ("mem_limit: nothing should be 512m",)
    assert attested.policy == planned.rendered.policy


def test_what_has_something_else_mounted_rests_longer_each_time() -> None:
    """It had started, so a start alone makes nothing good; its end is the controller's doing, no exit of its own."""
    scene = web()
    planned = plan_of(scene)
    assert planned.rendered is not None
    container = scene.container("web", State.EXITED, exit_code=137)
    status = after_plan(scene)
    waits = []
    for _ in range(3):
        status = status_reducer.on_outcome(status, Outcome(planned, Start(container.id), container.id), NOW)
        collect = Outcome(planned, Verify(planned.rendered, container.id), container.id, failure=Reason.MOUNT_MISMATCH)
        status = status_reducer.on_outcome(status, collect, NOW)
        assert (status.phase, status.stopped_by_us) == (Phase.BACKOFF, (container.id,))
        status = status_reducer.on_observed(status, [container], NOW)
        assert status.failure is not None
        assert status.failure.reason is Reason.MOUNT_MISMATCH
        waits.append(status.retry_at - NOW)
    assert waits == [1, 2, 4]


def test_a_start_is_what_makes_a_container_current() -> None:
    """Container, ports and start are recorded when it has really been started; only then is a restart counted."""
    scene = web()
    planned = plan_of(scene)
    assert planned.rendered
    create = Create(planned.rendered)
    created = status_reducer.on_outcome(after_plan(scene), Outcome(planned, create, container="9" * 64), NOW)
    assert created.container_id == ""
    started = status_reducer.on_outcome(created, Outcome(planned, Start(), container="9" * 64), NOW)
    assert (started.container_id, started.restarts) == ("9" * 64, 0)
    again = status_reducer.on_outcome(
        started, Outcome(replace(planned, cause=Reason.EXITED), Start("9" * 64), "9" * 64), NOW
    )
    assert again.restarts == 1


def test_a_start_without_an_answer_is_in_doubt_as_long_as_the_container_is_there() -> None:
    """It may happen late, also after another start of the same container and a stop."""
    scene = web()
    container = scene.container("web")
    lost = Outcome(plan_of(scene), Start(container.id), container.id, failure=Reason.ENGINE_UNAVAILABLE)
    status = status_reducer.on_outcome(SandboxStatus(name="web"), lost, NOW)
    assert status.unconfirmed_start == container.id
    assert status_reducer.on_observed(status, [container], NOW).unconfirmed_start == container.id
    again = Outcome(plan_of(scene), Start(container.id), container.id)
    assert status_reducer.on_outcome(status, again, NOW).unconfirmed_start == container.id
    assert status_reducer.on_observed(status, [], NOW).unconfirmed_start == ""


def test_a_stop_is_remembered_as_our_own() -> None:
    """The controller knows which container it is about to stop itself, and forgets it when that one runs on."""
    scene = web(state="stopped")
    container = scene.container("web")
    scene.statuses["web"] = after_plan(scene)
    assert scene.statuses["web"].stopped_by_us == (container.id,)
    scene.files.clear()
    scene.declare("web")
    assert after_plan(scene).stopped_by_us == ()


def test_why_what_is_held_was_stopped_is_told_until_it_runs_again() -> None:
    """The file says nothing of it; after other stops nothing is told."""
    scene = web(suspend="debugging")
    container = scene.container("web")
    scene.remember("web", container, disk_bytes={container.id: 5 << 30})
    scene.statuses["web"] = after_plan(scene)
    assert (plan_of(scene).verdict, plan_of(scene).cause) == (Verdict.STOP, Reason.DISK_EXCEEDED)
    scene.containers[0] = replace(container, state=State.EXITED)
    scene.statuses["web"] = status = after_plan(scene)
    written = "over disk 2g: it has written 5120m; change its file for a new container"
    assert (status.phase, status.reason) == (Phase.HELD, Reason.SUSPENDED)
    assert status.message == f"debugging; it was stopped, DiskExceeded: {written}"
    ready = status.condition(ConditionType.READY)
    assert ready is not None
    assert (ready.status, ready.reason, ready.message) == (False, Reason.DISK_EXCEEDED, written)
    assert not status.as_declared
    assert after_plan(scene) == status
    scene.containers[0] = container
    scene.remember("web", container, stopped=status.stopped)
    scene.statuses["web"] = status = after_plan(scene)
    assert (status.ready, status.message, status.stopped) == (True, "debugging", None)
    scene.declare("web", state="stopped")
    assert after_plan(scene).stopped is None


@pytest.mark.parametrize("suspend", [None, "why"])
def test_a_stop_that_the_file_asks_for_too_is_as_declared(suspend: str | None) -> None:
    """Then nobody misses what was stopped."""
    scene = web(state="stopped", suspend=suspend)
    stopped = Failure(reason=Reason.POLICY_VIOLATION, message="it was forbidden", at=NOW - 9)
    scene.remember("web", scene.container("web", State.EXITED), stopped=stopped)
    status = after_plan(scene)
    assert status.as_declared
    assert status.message == (suspend or "")


def test_to_say_too_much_is_a_failure_once_in_each_run() -> None:
    """It counts in a row, until a start; a container that is gone is forgotten."""
    scene = web()
    container = scene.container("web")
    status = status_reducer.on_log_rate_exceeded(SandboxStatus(name="web"), container.id, NOW, NOW)
    assert (status.failures, status.over_log_rate, status.retry_at) == (1, container.id, NOW)
    assert status_reducer.on_log_rate_exceeded(status, container.id, NOW, NOW) is status
    started = status_reducer.on_outcome(status, Outcome(plan_of(scene), Start(container.id), container.id), NOW)
    assert (started.failures, started.over_log_rate, started.restarts) == (1, "", 1)
    assert status_reducer.on_log_rate_exceeded(started, container.id, NOW - 1, NOW) is started
    again = status_reducer.on_log_rate_exceeded(started, container.id, NOW, NOW)
    assert (again.failures, again.retry_at) == (2, NOW + 1)
    assert status_reducer.on_observed(again, [], NOW).over_log_rate == ""


def test_what_was_written_is_remembered_as_long_as_the_container_is_there() -> None:
    """A measurement that leaves a container out says nothing about it; the size goes with the container."""
    scene = web()
    old, new = scene.container("web", State.EXITED), scene.container("web", mem_limit="256m")
    status = status_reducer.on_disk_measured(SandboxStatus(name="web"), {old.id: 5, new.id: 6}, NOW)
    status = status_reducer.on_disk_measured(status, {new.id: 7}, NOW)
    assert status.disk_bytes == {old.id: 5, new.id: 7}
    assert status_reducer.on_observed(status, [new], NOW).disk_bytes == {new.id: 7}


def test_the_last_words_are_of_what_exited_by_itself() -> None:
    """What the controller stopped has no last output, and neither has what was replaced; all of them are escaped."""
    status = SandboxStatus(name="web", container_id="a" * 64)
    assert status_reducer.on_output_ended(status, "a" * 64, [b"\x1b[31m", b"x" * 300, b"\xff"], NOW).last_output == (
        "\\x1b[31m",
        "x" * 199 + "\u2026",
        "\ufffd",
    )
    assert status_reducer.on_output_ended(status, "b" * 64, [b"other"], NOW) is status
    stopped_by_us = status.model_copy(update={"stopped_by_us": ("a" * 64,)})
    assert status_reducer.on_output_ended(stopped_by_us, "a" * 64, [b"bye"], NOW) is stopped_by_us


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


def attestation(scene: Scene, **remembered: Any) -> Attestation | None:
    scene.statuses.clear()
    scene.remember("web", **remembered)
    return after_plan(scene).attested


def test_each_pass_tells_whether_what_is_up_is_still_as_rendered() -> None:
    """An alert rests on it: what was found, of which container and when, under which policy."""
    scene = web()
    container = scene.container("web")
    policy = scene.policy.fingerprint
    fine = Attestation(at=NOW - 1, ok=True, container_id=container.id, policy=policy)
    assert attestation(scene) == fine
    scene.containers[0] = replace(container, state=State.PAUSED)
    assert attestation(scene) == fine
    read = replace(container.inspection, notes=("New: 1",), kernel=KernelFacts(label="docker-default"))
    scene.containers[0] = replace(container, inspection=read)
    assert attestation(scene) == fine.model_copy(update={"notes": ("New: 1",), "kernel": "read, docker-default"})
    scene.containers.clear()
    scene.container("web", drift={"Privileged": True})
    told = ("privileged: true should be false",)
    assert attestation(scene) == fine.model_copy(update={"ok": False, "mismatches": told})


@pytest.mark.parametrize("state", [State.EXITED, State.CREATED])
def test_what_is_down_or_made_from_something_else_is_not_attested(state: State) -> None:
    """What was found before stays: there is nothing new to tell."""
    scene = web()
    before = Attestation(at=NOW - 50, ok=True, container_id="a" * 64, policy="p")
    scene.container("web", state)
    assert attestation(scene, attested=before) == before
    scene.containers.clear()
    scene.container("web", mem_limit="256m")
    assert attestation(scene, attested=before) == before


def verified(container: str, failure: Reason | None = None, **remembered: Any) -> SandboxStatus:
    scene = web()
    scene.remember("web", scene.container("web", mem_limit="256m"), **remembered)
    planned = plan_of(scene)
    assert planned.rendered
    action = Verify(planned.rendered, container)
    return status_reducer.on_outcome(scene.statuses["web"], Outcome(planned, action, container, failure), NOW)


def test_a_replacement_that_is_not_as_rendered_takes_no_attestation_from_what_runs() -> None:
    """Unless that has none, or a bad one; a good replacement is attested, and so is what runs itself."""
    old, new = "1" * 64, "9" * 64
    bad = Attestation(at=NOW - 50, ok=False, container_id=old, policy="p")
    other = Attestation(at=NOW - 50, ok=True, container_id="8" * 64, policy="p")
    failed = Reason.VERIFICATION_FAILED
    for status, container in [
        (verified(new, failed), old),
        (verified(old, failed), old),
        (verified(new), new),
        (verified(new, failed, attested=None), new),
        (verified(new, failed, attested=bad), new),
        (verified(new, failed, attested=other), new),
        (verified(new, Reason.ENGINE_UNAVAILABLE), old),
        (verified(new, Reason.INTERNAL_ERROR), old),
    ]:
        assert status.attested
        assert status.attested.container_id == container


PHASE_OF: dict[tuple[Verdict, Phase], tuple[Reason, ...]] = {
    (Verdict.KEEP, Phase.RUNNING): (Reason.RUNNING, Reason.HEALTHY, Reason.UNHEALTHY),
    (Verdict.KEEP, Phase.STARTING): (Reason.STARTING,),
    (Verdict.KEEP, Phase.STOPPED): (Reason.STOPPED,),
    (Verdict.KEEP, Phase.COMPLETED): (Reason.COMPLETED,),
    (Verdict.KEEP, Phase.FAILED): (
        *(Reason.EXIT_CODE, Reason.OOM_KILLED, Reason.DISK_EXCEEDED, Reason.LOG_RATE_EXCEEDED),
    ),
    (Verdict.WAIT, Phase.WAITING): (
        *(Reason.LIMIT_EXCEEDED, Reason.REPLACEMENT_QUEUED, Reason.ENGINE_BUSY, Reason.UNMANAGED),
    ),
    (Verdict.WAIT, Phase.REFUSED): (Reason.ENGINE_UNFIT, Reason.NETWORK_UNFIT),
    (Verdict.WAIT, Phase.BACKOFF): (Reason.IMAGE_PULL_FAILED, Reason.EXIT_CODE),
    (Verdict.HOLD, Phase.REFUSED): (Reason.POLICY_VIOLATION,),
    (Verdict.HOLD, Phase.HELD): (Reason.SUSPENDED, Reason.INVALID_FILE, Reason.OWNED_BY_ANOTHER),
}


@pytest.mark.parametrize(
    ("verdict", "reason", "phase"),
    [(verdict, reason, phase) for (verdict, phase), reasons in PHASE_OF.items() for reason in reasons],
)
def test_each_cause_has_its_phase(verdict: Verdict, reason: Reason, phase: Phase) -> None:
    """Of what is not acted on; what has come to a bad end, or needs a mended engine, is stalled at once."""
    planned = SandboxPlan("web", verdict, reason, "why")
    status = status_reducer.on_planned(SandboxStatus(name="web"), planned, "web.yaml", {}, NOW)
    assert (status.phase, status.reason, status.message, status.file) == (phase, reason, "why", "web.yaml")
    stalled = status.condition(ConditionType.STALLED)
    assert stalled
    assert stalled.status is (phase is Phase.FAILED or reason in {Reason.ENGINE_UNFIT, Reason.NETWORK_UNFIT})


@pytest.mark.parametrize("reason", [Reason.DRIFTED, Reason.KERNEL_MISMATCH])
def test_drift_is_a_failure_only_when_it_is_repaired(reason: Reason) -> None:
    """While nothing is done about it, there is nothing that could rest."""
    planned = SandboxPlan("web", Verdict.HOLD, reason, "why")
    for actions, failures in (((), 0), ((Stop("c1", 10),), 1)):
        after = status_reducer.on_planned(SandboxStatus(name="web"), replace(planned, actions=actions), "", {}, NOW)
        assert after.failures == failures


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (Reason.POLICY_VIOLATION, True),
        (Reason.DRIFTED, True),
        (Reason.DISK_EXCEEDED, True),
        (Reason.LOG_RATE_EXCEEDED, True),
        (Reason.LIMIT_EXCEEDED, False),
        (Reason.STOP_DECLARED, False),
    ],
)
def test_a_stop_that_the_file_does_not_ask_for_is_remembered(reason: Reason, told: bool) -> None:
    """With its reason, its sentence and its time; only of a stop, and not of a replacement."""
    stop = SandboxPlan("web", Verdict.STOP, reason, "why", (Stop("1" * 64, 1),))
    status = status_reducer.on_planned(SandboxStatus(name="web"), stop, "web.yaml", {}, NOW)
    assert status.stopped == (Failure(reason=reason, message="why", at=NOW) if told else None)
    replaced = replace(stop, verdict=Verdict.REPLACE)
    assert status_reducer.on_planned(SandboxStatus(name="web"), replaced, "web.yaml", {}, NOW).stopped is None


def test_a_removal_makes_a_busy_engine_good() -> None:
    """As a stop does; a start makes all good that is no failure of a run."""
    scene = web()
    table: list[tuple[Reason, Action, int]] = [
        (Reason.ENGINE_BUSY, Remove("1" * 64), 0),
        (Reason.ENGINE_BUSY, Rename("1" * 64, "web"), 2),
        (Reason.IMAGE_PULL_FAILED, Start("1" * 64), 0),
        (Reason.EXIT_CODE, Start("1" * 64), 2),
        (Reason.MOUNT_MISMATCH, Start("1" * 64), 2),
    ]
    for reason, action, left in table:
        scene.failed("web", reason, failures=2)
        planned = SandboxPlan("web", Verdict.START, Reason.NOT_STARTED, actions=(action,))
        status = status_reducer.on_outcome(scene.statuses["web"], Outcome(planned, action, "1" * 64), NOW)
        assert status.failures == left
        assert (status.failure is None, status.retry_at == 0) == (not left, not left)


def test_what_runs_goes_on_being_told_though_something_beside_it_fails() -> None:
    """Its phase stays, and its readiness; what failed is told, and stalls it after five times."""
    scene = web()
    scene.container("web")
    ready = after_plan(scene)
    pull = Outcome(plan_of(scene), Pull("app:2"), failure=Reason.IMAGE_PULL_FAILED, message="no such image")
    for failures in range(1, 6):
        ready = status_reducer.on_outcome(ready, pull, NOW)
        stalled = ready.condition(ConditionType.STALLED)
        assert stalled
        assert (ready.phase, ready.ready, ready.failures) == (Phase.RUNNING, True, failures)
        assert (stalled.status, stalled.message) == (failures == 5, "no such image")


def test_only_a_stop_of_the_sandboxs_own_container_ends_its_readiness() -> None:
    """And only when it comes next; one that is left over is stopped beside it."""
    scene = web()
    scene.container("web")
    ready = after_plan(scene)
    assert plan_of(scene).rendered
    one, other, create = Stop("1" * 64, 10), Stop("2" * 64, 10), Pull("app:1")
    table: list[tuple[tuple[Action, ...], Action, bool]] = [
        ((create, one), create, False),
        ((create, other), create, True),
        ((create, other, one), create, True),
        ((other, one), other, False),
        ((one, create), one, True),
    ]
    for actions, done, still in table:
        planned = SandboxPlan("web", Verdict.REPLACE, Reason.LEFTOVER, "why", actions)
        assert status_reducer.on_outcome(ready, Outcome(planned, done, "2" * 64), NOW).ready is still
        before = replace(planned, current=scene.containers[0])
        assert status_reducer.on_planned(ready, before, "web.yaml", {}, NOW).ready is (actions[0] != one)


def test_what_is_known_of_the_container_that_stands_for_a_sandbox() -> None:
    """Its id, name, image and ports; the digest only of the image that it was made from."""
    scene = web()
    container = scene.container("web", port=61234)
    image = Image("app:1", "sha256:0", "app@sha256:0")
    status = SandboxStatus(name="web", image="app:1")
    planned = plan_of(scene)
    known = status_reducer.on_planned(status, planned, "web.yaml", {"app:1": image}, NOW)
    assert (known.container_id, known.container_name) == (container.id, container.name)
    assert (known.image, known.image_id, known.digest) == ("app:1", "sha256:0", "app@sha256:0")
    assert known.ports == {3000: 61234}
    other = replace(image, id="sha256:1")
    assert status_reducer.on_planned(status, planned, "web.yaml", {"app:1": other}, NOW).digest == ""
    scene.containers[0] = replace(container, state=State.EXITED)
    down = status_reducer.on_planned(status, plan_of(scene), "web.yaml", {}, NOW)
    assert (down.container_id, down.ports) == (container.id, {})


def test_an_exit_is_told_with_what_the_engine_says_of_it() -> None:
    """What it said before is forgotten, as its own last output is yet to be read; one of another container is not."""
    container = web().container("web", State.EXITED, exit_code=3)
    status = SandboxStatus(name="web", container_id=container.id, last_output=("old",))
    after = status_reducer.on_observed(status, [container], NOW)
    assert (after.exit_code, after.exited_at, after.oom_killed, after.last_output) == (3, NOW - 5, False, ())
    assert after.failure == Failure(reason=Reason.EXIT_CODE, message="exited with code 3", at=NOW)
    clean = replace(container, inspection=replace(container.inspection, exit_code=0))
    failure = status_reducer.on_observed(status, [clean], NOW).failure
    assert failure
    assert failure.reason is Reason.EXITED
    another = status.model_copy(update={"container_id": "another"})
    assert status_reducer.on_observed(another, [container], NOW) is another


def test_a_timed_out_pull_is_no_start_that_may_still_take_effect() -> None:
    """The phase is as it was, and the reason is the engine's."""
    scene = web()
    before = after_plan(scene)
    lost = Outcome(plan_of(scene), Pull("app:1"), failure=Reason.ENGINE_UNAVAILABLE, message="gone")
    status = status_reducer.on_outcome(before, lost, NOW)
    assert (status.phase, status.reason, status.message) == (before.phase, Reason.ENGINE_UNAVAILABLE, "gone")
    assert (status.unconfirmed_start, status.failures) == ("", 0)


def test_a_start_tells_all_of_what_was_started() -> None:
    """Name, ports and what it was made from; that it was stopped is over."""
    scene = web()
    planned = plan_of(scene)
    assert planned.rendered
    stopped = Failure(reason=Reason.DRIFTED, message="why", at=NOW - 9)
    before = SandboxStatus(name="web", stopped_by_us=("8" * 64, "9" * 64), stopped=stopped, over_log_rate="8" * 64)
    status = status_reducer.on_outcome(before, Outcome(planned, Start(), "9" * 64), NOW)
    assert (status.container_id, status.container_name) == ("9" * 64, planned.rendered.name)
    assert (status.started_at, status.ports) == (NOW, planned.rendered.ports)
    assert status.configuration["mem_limit"] == "512m"
    assert (status.stopped_by_us, status.stopped, status.over_log_rate) == (("8" * 64,), None, "")
    assert (status.restarts, status.updated_at) == (0, NOW)


@pytest.mark.parametrize("cause", [Reason.EXITED, Reason.UNHEALTHY, Reason.NOT_STARTED, Reason.CONFIGURATION_CHANGED])
def test_a_restart_is_counted_of_what_ran_before(cause: Reason) -> None:
    """What was stopped by us, or is new, is merely started."""
    planned = SandboxPlan("web", Verdict.START, cause, actions=(Start("1" * 64),))
    status = status_reducer.on_outcome(
        SandboxStatus(name="web", restarts=4), Outcome(planned, Start("1" * 64), "1" * 64), NOW
    )
    assert status.restarts == (5 if cause in {Reason.EXITED, Reason.UNHEALTHY} else 4)


def test_what_runs_is_remembered_with_its_beginning() -> None:
    """And what has exited with the beginning of the run that was seen."""
    scene = web()
    container = scene.container("web")
    scene.remember("web", container)
    running = status_reducer.on_observed(scene.statuses["web"], [container], NOW)
    assert running.started_at == NOW - 60
    ended = replace(container, state=State.EXITED, inspection=replace(container.inspection, started_at=NOW - 30))
    assert status_reducer.on_observed(running, [ended], NOW).started_at == NOW - 60


@pytest.mark.parametrize(("health", "reason"), [(None, Reason.RUNNING), (Health.HEALTHY, Reason.HEALTHY)])
def test_what_is_ready_is_so_because_it_runs_or_is_healthy(health: Health | None, reason: Reason) -> None:
    """Whatever hinders what would be done with it."""
    scene = web(suspend="hands off")
    scene.container("web", health=health)
    ready = after_plan(scene).condition(ConditionType.READY)
    assert ready is not None
    assert (ready.status, ready.reason) == (True, reason)


def test_a_new_version_of_reconciler_is_remembered() -> None:
    """So that it renders otherwise only once."""
    scene = web()
    scene.remember("web", epoch=1)
    assert after_plan(scene).epoch == EPOCH


def test_a_condition_tells_the_latest_reason() -> None:
    """Though its answer, and since when that is so, stay the same."""
    scene = web()
    scene.failed("web", Reason.IMAGE_PULL_FAILED)
    scene.statuses["web"] = after_plan(scene)
    scene.failed("web", Reason.PORT_TAKEN, conditions=scene.statuses["web"].conditions)
    ready = after_plan(scene).condition(ConditionType.READY)
    assert ready is not None
    assert (ready.reason, ready.message) == (Reason.PORT_TAKEN, "it failed")


@pytest.mark.parametrize(
    ("reason", "rests"), [(Reason.IMAGE_PULL_UNAUTHORIZED, False), (Reason.IMAGE_PULL_FAILED, True)]
)
def test_changed_credentials_end_the_rest_of_who_was_not_let_in(reason: Reason, rests: bool) -> None:
    """And of nobody else; the failure is told until it is made good."""
    scene = Scene()
    scene.failed("web", reason, failures=4, retry_in=100)
    status = status_reducer.on_credentials_changed(scene.statuses["web"], NOW)
    assert (status.failures, status.retry_at) == (4, NOW + 100 if rests else 0)


def test_a_pull_that_was_given_up_is_no_failure() -> None:
    """The file has changed, and nothing has gone wrong."""
    scene = Scene()
    scene.declare("web")
    scene.remember("web")
    outcome = Outcome(plan_of(scene), Pull("app:1"), failure=Reason.PULL_CANCELLED, message="its file has changed")
    status = status_reducer.on_outcome(scene.statuses["web"], outcome, NOW)
    assert (status.failures, status.failure, status.reason) == (0, None, Reason.PULL_CANCELLED)


def test_ports_are_remembered_before_a_container_has_them() -> None:
    """A controller that is killed in between draws no others."""
    scene = web()
    (planned,) = scene.plan().sandboxes
    assert planned.rendered is not None
    assert after_plan(scene).ports == planned.rendered.ports != {}
