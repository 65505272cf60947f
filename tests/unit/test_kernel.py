"""What comes of it when the kernel says of a container what the engine does not say."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf

import pytest

from reconciler.control.controller import Controller
from reconciler.control.dependencies import Dependencies
from reconciler.control.volumes import Volumes
from reconciler.engine.host import EngineHost
from reconciler.model.kernel import KernelFacts, Process
from reconciler.model.plan import Outcome, Reason, SandboxPlan, Start, Stop, Verdict, Verify
from reconciler.model.status import Phase
from reconciler.model.world import Inspection, Observed, State
from reconciler.planning import kernel, status_reducer
from reconciler.spec.text import LINE_MAX
from tests.house import House
from tests.scene import NOW, Scene

MIB = 1 << 20
OWN = Process(42, own=True, user="1000:1000", capabilities=0, no_new_privileges=True, seccomp=True)
SHELL = replace(OWN, pid=99, own=False, user="0:0")
AS_SAID = KernelFacts(512 * MIB, 512 * MIB, 1, 100, (OWN,))
RAISED = replace(AS_SAID, mem_limit=1024 * MIB)
TOLD = "kernel.mem_limit: 1g should be 512m"


def seen(facts: KernelFacts | None, **asked: object) -> Inspection:
    return replace(Scene().container("web", **asked).inspection, kernel=facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (AS_SAID, []),
        (KernelFacts(), []),
        (None, []),
        (replace(AS_SAID, mem_limit=512 * MIB - 65_536, memswap_limit=512 * MIB - 4096), []),
        (replace(AS_SAID, mem_limit=512 * MIB - 65_537), ["kernel.mem_limit: 536805375b should be 512m"]),
        (replace(AS_SAID, mem_limit=inf), ["kernel.mem_limit: unlimited should be 512m"]),
        (RAISED, [TOLD]),
        (replace(AS_SAID, memswap_limit=inf), ["kernel.memswap_limit: unlimited should be 512m"]),
        (replace(AS_SAID, cpus=1.01), []),
        (replace(AS_SAID, cpus=1.02), ["kernel.cpus: 1.02 should be 1"]),
        (replace(AS_SAID, cpus=0.5), ["kernel.cpus: 0.5 should be 1"]),
        (replace(AS_SAID, pids_limit=101.0), ["kernel.pids_limit: 101 should be 100"]),
        (replace(AS_SAID, processes=(SHELL,)), []),
        (
            replace(AS_SAID, processes=(replace(OWN, user="0:1000"),)),
            ["kernel.user: 0:1000 (pid 42) should be 1000:1000"],
        ),
        (
            replace(AS_SAID, processes=(replace(OWN, capabilities=0x1FFFFFFFFFF, no_new_privileges=False),)),
            [
                "kernel.capabilities: 1ffffffffff (pid 42) should be none",
                "kernel.no_new_privileges: false (pid 42) should be true",
            ],
        ),
        (replace(AS_SAID, processes=(replace(OWN, seccomp=False),)), ["kernel.seccomp: off (pid 42) should be on"]),
    ],
)
def test_what_differs_is_named(facts: KernelFacts | None, told: list[str]) -> None:
    """What nobody could read differs in nothing; memory comes in pages, and CPU may come in percents."""
    found = [*map(str, kernel.beside_the_engine(seen(facts)))]
    assert found == told
    assert all(len(sentence) <= LINE_MAX for sentence in found)


def test_an_engine_that_knows_of_no_limit_is_not_held_to_the_kernels() -> None:
    """Its own word is compared with what was asked for."""
    found = seen(replace(AS_SAID, mem_limit=inf), drift={"Memory": 0})
    assert [*kernel.beside_the_engine(found)] == []
    assert [*kernel.beside_the_engine(replace(found, spec=None))] == []
    assert kernel.foreign(replace(found, spec=None)) == ()


def test_of_a_foreign_process_is_told_what_it_may() -> None:
    """One with the sandbox's own rights is not told: somebody may look into it, as a health check does.

    Nor is the sandbox's own with other rights, which is drift.
    """
    free = Process(4_194_304, own=False, user="0:0", capabilities=0x1FFFFFFFFFF, no_new_privileges=True, seccomp=True)
    same = replace(SHELL, pid=100, user="1000:1000")
    own = replace(OWN, user="0:0")
    told = kernel.foreign(seen(replace(AS_SAID, processes=(own, SHELL, free, same))))
    assert told == (
        "foreign process 99: user 0:0",
        "foreign process 4194304: user 0:0, capabilities 1ffffffffff",
    )
    assert all(len(sentence) <= LINE_MAX for sentence in told)


# --- what is done ----------------------------------------------------------------------------------------------------


def scene_with(facts: KernelFacts | None, state: State = State.RUNNING, **policy: object) -> Scene:
    """One sandbox, of whose container the kernel says this."""
    scene = Scene()
    scene.policy = scene.policy.model_copy(update=policy)
    scene.declare("web")
    container = scene.container("web", state)
    scene.containers[0] = replace(container, inspection=replace(container.inspection, kernel=facts))
    scene.remember("web", scene.containers[0])
    return scene


def planned(scene: Scene) -> SandboxPlan:
    (one,) = scene.plan().sandboxes
    return one


def test_what_has_other_limits_is_replaced() -> None:
    """As what somebody has changed, with a reason of its own and little time to stop."""
    found = planned(scene_with(RAISED))
    assert (found.verdict, found.cause, found.message) == (Verdict.REPLACE, Reason.KERNEL_MISMATCH, TOLD)
    assert found.actions[0] == Stop("1" * 64, 1)
    assert any(isinstance(action, Start) for action in found.actions)


def known_to_the_engine() -> Scene:
    scene = scene_with(None)
    scene.containers[0] = replace(scene.containers[0], inspection=seen(RAISED, drift={"Privileged": True}))
    return scene


def test_what_the_engine_knows_of_too_is_drift() -> None:
    """Whatever the kernel says besides."""
    assert planned(known_to_the_engine()).cause is Reason.DRIFTED


def hold(scene: Scene) -> None:
    scene.files.clear()
    scene.broken = {"web"}


def suspend(scene: Scene) -> None:
    scene.declare("web", suspend="somebody looks at it")


def remember(scene: Scene) -> None:
    hold(scene)
    scene.last_good = dict(scene_with(None).files)


@pytest.mark.parametrize(
    ("held", "verdict", "cause"),
    [
        (hold, Verdict.STOP, Reason.KERNEL_MISMATCH),
        (remember, Verdict.REPLACE, Reason.KERNEL_MISMATCH),
        (suspend, Verdict.HOLD, Reason.SUSPENDED),
    ],
)
def test_also_of_what_is_held(held: Callable[[Scene], None], verdict: Verdict, cause: Reason) -> None:
    """It is repaired, or stopped; what is suspended only shows it."""
    scene = scene_with(RAISED)
    held(scene)
    found = planned(scene)
    assert (found.verdict, found.cause, TOLD in found.message) == (verdict, cause, True)


@pytest.mark.parametrize("changed", [partial(scene_with, RAISED), known_to_the_engine])
def test_each_repair_counts_as_a_failure_so_that_what_comes_back_is_no_hot_loop(changed: Callable[[], Scene]) -> None:
    """The first is made at once; then there are growing pauses, in which it is down."""
    scene = changed()
    for failures, pause in ((1, 1), (2, 2), (3, 4)):
        found = planned(scene)
        status = status_reducer.on_planned(scene.statuses["web"], found, "web.yaml", {}, NOW)
        assert (status.failures, status.retry_at - NOW) == (failures, pause)
        assert status.attested
        assert (status.attested.ok, status.attested.mismatches) == (False, tuple(map(str, found.changes)))
        started = status_reducer.on_outcome(status, Outcome(found, Start("1" * 64), "1" * 64), NOW)
        assert started.failures == failures
        scene.statuses["web"] = started
        (stop,) = planned(scene).actions
        assert isinstance(stop, Stop)
        scene.statuses["web"] = started.model_copy(update={"retry_at": NOW - 1})


def test_a_start_that_turns_out_so_is_stopped_and_told() -> None:
    """As where something else is mounted."""
    scene = scene_with(None, State.EXITED)
    found = planned(scene)
    assert found.rendered
    look = Outcome(found, Verify(found.rendered, "1" * 64), "1" * 64, Reason.KERNEL_MISMATCH, "why")
    status = status_reducer.on_outcome(scene.statuses["web"], look, NOW)
    assert (status.stopped_by_us, status.phase) == (("1" * 64,), Phase.BACKOFF)


# --- where the kernel cannot be asked --------------------------------------------------------------------------------

AWAY = KernelFacts(why_unknown="the engine is on another host: box")
PARTLY = replace(AS_SAID, cpus=None)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (AWAY, "kernel.facts: unknown (the engine is on another host: box) should be known"),
        (PARTLY, "kernel.cpus: unknown should be known"),
    ],
)
@pytest.mark.parametrize("required", [False, True])
def test_a_policy_can_ask_for_the_kernels_word(facts: KernelFacts, told: str, *, required: bool) -> None:
    """Without that key, what is not known is a reason for nothing; with it, nothing runs on, held or not."""
    scene = scene_with(facts, require_kernel_facts=required)
    found = planned(scene)
    expected = (Reason.KERNEL_MISMATCH, told) if required else (Reason.RUNNING, "")
    assert (found.cause, found.message) == expected
    assert len(found.message) <= LINE_MAX
    hold(scene)
    held = planned(scene)
    assert (held.cause, bool(held.actions)) == (
        (Reason.POLICY_VIOLATION, True) if required else (Reason.INVALID_FILE, False)
    )
    down = scene_with(facts, State.CREATED, require_kernel_facts=required)
    assert planned(down).verdict is (Verdict.REMOVE if required else Verdict.START)


@pytest.mark.parametrize("facts", [None, AS_SAID])
def test_what_has_just_ended_misses_nothing(facts: KernelFacts | None) -> None:
    """Nor does what was read in full."""
    assert planned(scene_with(facts, require_kernel_facts=True)).cause is Reason.RUNNING


class Host(EngineHost):
    """One whose kernel says what it is told to."""

    told: KernelFacts | None = None

    def kernel(self, container: str, inspection: Inspection) -> KernelFacts | None:  # noqa: ARG002
        return type(self).told


def witnessed(volumes: Volumes, told: KernelFacts | None, state: State = State.RUNNING) -> str:
    Host.told = told
    return str(volumes.witnessed("1" * 64, seen(None, state=state)).kernel or "")


def test_what_is_not_seen_has_ended_only_where_others_were_seen() -> None:
    """Else it may well be another kernel's, and that is told."""
    volumes = Volumes(Host(None, {}))
    unknown = "unknown: nothing of it is seen on this host"
    assert [witnessed(volumes, None), witnessed(volumes, None, State.EXITED)] == [unknown, ""]
    assert [witnessed(volumes, AWAY), witnessed(volumes, None)] == [str(AWAY), unknown]
    assert [witnessed(volumes, AS_SAID), witnessed(volumes, None)] == ["read", ""]


def test_a_status_says_whether_the_kernel_was_asked() -> None:
    """And what confines the sandbox."""
    for facts in (AWAY, replace(AS_SAID, label="docker-default (enforce)"), None):
        scene = scene_with(facts)
        status = status_reducer.on_planned(scene.statuses["web"], planned(scene), "web.yaml", {}, NOW)
        assert status.attested
        assert status.attested.kernel == str(facts or "")


# --- somebody's shell, and memory ------------------------------------------------------------------------------------


def observed(scene: Scene, container: Observed | None = None) -> None:
    before = scene.statuses["web"]
    scene.statuses["web"] = status_reducer.on_observed(before, [container or scene.containers[0]], NOW)


def test_somebodys_shell_is_told_and_left() -> None:
    """Of a sandbox that is held too, and no longer than it is there."""
    scene = scene_with(replace(AS_SAID, processes=(OWN, SHELL)))
    observed(scene)
    told = "foreign process 99: user 0:0"
    found = planned(scene)
    assert (found.verdict, found.cause, found.message) == (Verdict.KEEP, Reason.RUNNING, told)
    suspend(scene)
    assert planned(scene).message.endswith(f"; {told}")
    ended = scene.container("web", State.EXITED)
    observed(scene, replace(ended, id=scene.containers[0].id))
    assert scene.statuses["web"].foreign_processes == ()


def test_somebodys_shell_is_in_the_journal_once(house: House) -> None:
    """When it is first seen, and again when it is another one."""
    house.declare("web")
    dependencies = replace(Dependencies.real(house.settings, house.engine), host=Host(None, {}))
    for shell in (None, SHELL, SHELL, replace(SHELL, pid=100)):
        Host.told = replace(AS_SAID, processes=(OWN, *([shell] if shell else [])))
        Controller(dependencies).apply(10)
    entries = [line for line in (house.root / "state/journal.jsonl").read_text().splitlines() if "Foreign" in line]
    assert [("process 99:" in line, "process 100:" in line) for line in entries] == [(True, False), (False, True)]


@pytest.mark.parametrize(("kills", "code", "reason"), [(0, 137, "ExitCode"), (2, 137, "OOMKilled"), (2, 1, "ExitCode")])
def test_the_kernels_kills_are_remembered_until_the_exit(kills: int, code: int, reason: str) -> None:
    """Where the engine loses its word; a new run begins anew."""
    scene = scene_with(replace(AS_SAID, oom_kills=kills))
    scene.declare("web", restart="no")
    observed(scene)
    assert scene.statuses["web"].oom_kills == kills
    ended = scene.container("web", State.EXITED, exit_code=code, restart="no")
    scene.containers = [replace(ended, id=scene.containers[0].id)]
    observed(scene)
    failure = scene.statuses["web"].failure
    assert failure
    assert (failure.reason, planned(scene).cause) == (reason, reason)
    begun = SandboxPlan("web", Verdict.START, Reason.EXITED)
    status = status_reducer.on_outcome(scene.statuses["web"], Outcome(begun, Start("1" * 64), "1" * 64), NOW)
    assert status.oom_kills == 0
