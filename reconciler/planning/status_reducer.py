"""From what was seen, planned and done to the next status: the only place where a status changes."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import dropwhile
from typing import Any

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
from reconciler.model.status import Ask, Attestation, Condition, ConditionType, Failure, Phase, Request, SandboxStatus
from reconciler.model.world import Health, Image, Observed, State
from reconciler.planning import backoff
from reconciler.planning.backoff import SAID_BY_KERNEL
from reconciler.planning.describe import configuration
from reconciler.planning.exits import exit_message, for_memory
from reconciler.planning.fingerprint import EPOCH, is_about
from reconciler.planning.kernel import DRIFT, foreign
from reconciler.spec.text import printable

GOOD_RUN_SECONDS = 600.0
"""After being ready so long, with nothing that has failed meanwhile, a sandbox's failures are forgotten."""

NO_FAILURES: Mapping[str, Any] = {"failures": 0, "failure": None, "retry_at": 0.0}

MADE_GOOD_BY: Mapping[type[Action], frozenset[Reason]] = {
    Stop: frozenset({Reason.STOP_FAILED, Reason.ENGINE_BUSY}),
    Remove: frozenset({Reason.REMOVE_FAILED, Reason.ENGINE_BUSY}),
    Rename: frozenset({Reason.RENAME_FAILED, Reason.NAME_TAKEN}),
}
"""Failures that the action makes good once it is done. A start makes good all but those of `backoff.AFTER_START`."""

OUTPUT_LINE_MAX = 200
"""Of each line of a sandbox's last output."""

STALLED_AFTER = 5
"""So many failures in a row are not bad luck."""

UNFIT = frozenset({Reason.ENGINE_UNFIT, Reason.NETWORK_UNFIT})
"""The engine has to be repaired before anything is started."""

IN_SPITE_OF_THE_FILE = frozenset({Reason.POLICY_VIOLATION, *DRIFT, Reason.DISK_EXCEEDED, Reason.LOG_RATE_EXCEEDED})
"""Causes of a stop for which its file gives no reason."""

Answer = tuple[bool, Reason, str]
"""Of a condition: whether it is so, why, and a sentence."""

KEPT: Mapping[Reason, Phase] = {
    Reason.RUNNING: Phase.RUNNING,
    Reason.HEALTHY: Phase.RUNNING,
    Reason.UNHEALTHY: Phase.RUNNING,
    Reason.STARTING: Phase.STARTING,
    Reason.STOPPED: Phase.STOPPED,
    Reason.TAKEN_DOWN: Phase.STOPPED,
    Reason.COMPLETED: Phase.COMPLETED,
    Reason.EXIT_CODE: Phase.FAILED,
    Reason.OOM_KILLED: Phase.FAILED,
    Reason.DISK_EXCEEDED: Phase.FAILED,
    Reason.LOG_RATE_EXCEEDED: Phase.FAILED,
}

WAITING: Mapping[Reason, Phase] = {
    Reason.LIMIT_EXCEEDED: Phase.WAITING,
    Reason.REPLACEMENT_QUEUED: Phase.WAITING,
    Reason.ENGINE_BUSY: Phase.WAITING,
    Reason.UNMANAGED: Phase.WAITING,
    Reason.ENGINE_UNFIT: Phase.REFUSED,
    Reason.NETWORK_UNFIT: Phase.REFUSED,
}
"""All other waiting is a backoff."""

ACTING: Mapping[Verdict, Phase] = {
    Verdict.CREATE: Phase.STARTING,
    Verdict.START: Phase.STARTING,
    Verdict.REPLACE: Phase.UPDATING,
    Verdict.RENAME: Phase.UPDATING,
    Verdict.STOP: Phase.STOPPING,
    Verdict.REMOVE: Phase.STOPPING,
}


def on_observed(status: SandboxStatus, containers: Iterable[Observed], now: float) -> SandboxStatus:
    """After an observation: exits are counted once each, and a long run without failures clears them.

    A timed-out start may still take effect while the container exists, also after another start and a stop.
    """
    containers = tuple(containers)
    there = {container.id for container in containers}
    if status.unconfirmed_start not in there:
        status = _change(status, now, unconfirmed_start="")
    if status.over_log_rate not in there:
        status = _change(status, now, over_log_rate="")
    stopped_by_us = tuple(one for one in status.stopped_by_us if one in there)
    disk_bytes = {id_: size for id_, size in status.disk_bytes.items() if id_ in there}
    status = _change(status, now, stopped_by_us=stopped_by_us, disk_bytes=disk_bytes)
    for container in containers:
        if container.id != status.container_id:
            continue
        if container.state is State.EXITED and container.inspection.finished_at != status.exited_at:
            status = _exited(status, container, now)
        started = container.inspection.started_at
        if container.state is State.RUNNING and started:
            status = _checked(_change(status, now, started_at=started), container, now)
            if facts := container.inspection.kernel:
                told = foreign(container.inspection)
                status = _change(status, now, oom_kills=facts.oom_kills, foreign_processes=told)
            if _good_seconds(status, now) >= GOOD_RUN_SECONDS:
                status = _change(status, now, **NO_FAILURES, last_output=())
    return status


def _checked(status: SandboxStatus, container: Observed, now: float) -> SandboxStatus:
    """A health check that has come to fail is a failure, once in each run until it passes again."""
    started = container.inspection.started_at
    if container.health is Health.UNHEALTHY and status.unhealthy_run != started:
        status = _failed(status, Reason.UNHEALTHY, container.inspection.health_message, now)
        return _change(status, now, unhealthy_run=started)
    if container.health in {Health.UNHEALTHY, Health.STARTING}:
        return status
    return _change(status, now, unhealthy_run=0.0)


def _good_seconds(status: SandboxStatus, now: float) -> float:
    """How long it has been ready and nothing has failed, by our own clock, which need not agree with the engine's.

    That it serves makes nothing good that fails beside it, as the pull of another image does.
    """
    ready = status.condition(ConditionType.READY)
    if ready is None or not ready.status:
        return 0
    failed_at = status.failure.at if status.failure else 0
    return now - max(ready.since, failed_at if failed_at <= now else 0)


def _exited(status: SandboxStatus, container: Observed, now: float) -> SandboxStatus:
    inspection = container.inspection
    oom_killed = for_memory(inspection, status)
    status = _change(
        status,
        now,
        exit_code=inspection.exit_code,
        oom_killed=oom_killed,
        exited_at=inspection.finished_at,
        foreign_processes=(),
    )
    if container.id in status.stopped_by_us:
        return status
    status = _change(status, now, last_output=())
    good = inspection.started_at and inspection.finished_at - inspection.started_at >= GOOD_RUN_SECONDS
    if good and (status.failure is None or status.failure.reason in backoff.AFTER_START):
        status = _change(status, now, **NO_FAILURES)
    code = Reason.EXIT_CODE if inspection.exit_code else Reason.EXITED
    return _failed(status, Reason.OOM_KILLED if oom_killed else code, exit_message(inspection, status), now)


def on_asked(status: SandboxStatus, request: Request, now: float) -> SandboxStatus:
    """After a request that is not refused; who asks for another run, or attempt, wants it now."""
    return _change(status, now, asked=request, **({} if request.what is Ask.DOWN else NO_FAILURES))


def on_planned(
    status: SandboxStatus,
    planned: SandboxPlan,
    file: str,
    images: Mapping[str, Image],
    now: float,
    *,
    broken: bool = False,
) -> SandboxStatus:
    """After a decision: what the sandbox is about to do, or waits for; `broken` says that its file cannot be used."""
    if planned.cause is Reason.IN_FLIGHT:
        return status
    changes: dict[str, Any] = {"file": file}
    if (rendered := planned.rendered) is not None:
        if status.epoch == EPOCH and not is_about(status, rendered):  # a new version makes no failure good
            changes |= NO_FAILURES
        changes |= {"epoch": EPOCH, "image": rendered.image, "fingerprint": rendered.fingerprint}
        changes |= {"public_fingerprint": rendered.public_fingerprint, "salted_with": rendered.salted_with}
        if any(isinstance(action, Create) for action in planned.actions):
            changes["ports"] = dict(rendered.ports)
    stops = [action.container for action in planned.actions if isinstance(action, Stop)]
    if stops:
        stopped_by_us = (*_without(status.stopped_by_us, *stops), *stops)
        changes["stopped_by_us"] = stopped_by_us  # before it happens, as nobody may be left to note it afterwards
        changes["stopped"] = _stopped(planned, now)
    if planned.current is not None:
        if planned.current.up and not stops:
            changes["stopped_by_us"] = _without(status.stopped_by_us, planned.current.id)
            changes["stopped"] = None
        changes |= _identity(planned.current, images.get(status.image))
        changes |= _configuration(status, planned, planned.current)
        changes |= _attestation(planned, planned.current)
    elif planned.cause is Reason.TAKEN_DOWN:
        changes |= {"container_id": "", "container_name": ""}
    status = _change(status, now, **changes)
    if planned.cause in DRIFT and planned.actions:  # else what comes back otherwise each time would find no rest
        status = _failed(status, planned.cause, planned.message, now)
    told = _untold_stop(status, planned)
    message = f"{planned.message}; it was stopped, {told.reason}: {told.message}" if told else planned.message
    status = _phase(status, _phase_of(planned), planned.cause, message, now)
    answers = {
        ConditionType.ACCEPTED: _accepted(planned, broken=broken),
        ConditionType.SYNCED: (True, Reason.SYNCED, "") if planned.synced else (False, planned.cause, planned.message),
        ConditionType.READY: (False, told.reason, told.message) if told else _ready(planned),
        ConditionType.STALLED: _stalled(status),
    }
    return _answered(status, answers, now)


def _stopped(planned: SandboxPlan, now: float) -> Failure | None:
    if planned.verdict is not Verdict.STOP or planned.cause not in IN_SPITE_OF_THE_FILE:
        return None
    return Failure(reason=planned.cause, message=planned.message, at=now)


def _untold_stop(status: SandboxStatus, planned: SandboxPlan) -> Failure | None:
    """Why what is held does not run, where it would but for a stop in spite of its file."""
    return status.stopped if planned.verdict is Verdict.HOLD and not planned.synced else None


def _without(containers: tuple[str, ...], *gone: str) -> tuple[str, ...]:
    return tuple(container for container in containers if container not in gone)


def _phase_of(planned: SandboxPlan) -> Phase:
    runs = planned.current is not None and planned.current.state is State.RUNNING
    match planned.verdict:
        case Verdict.KEEP:
            return KEPT[planned.cause]
        case Verdict.HOLD | Verdict.WAIT if runs:
            return Phase.RUNNING
        case Verdict.WAIT:
            return WAITING.get(planned.cause, Phase.BACKOFF)
        case Verdict.HOLD:
            return Phase.REFUSED if planned.cause is Reason.POLICY_VIOLATION else Phase.HELD
    return Phase.RUNNING if runs and planned.cause in {Reason.LEFTOVER, Reason.RENAMED} else ACTING[planned.verdict]


def _identity(current: Observed, image: Image | None) -> dict[str, Any]:
    image_id = current.inspection.image_id
    changes: dict[str, Any] = {"container_id": current.id, "container_name": current.name, "image_id": image_id}
    if image is not None and image.id == image_id:
        changes["digest"] = image.digest
    if current.up:
        changes["ports"] = dict(current.ports)
    return changes


def _configuration(status: SandboxStatus, planned: SandboxPlan, current: Observed) -> dict[str, Any]:
    """Noted of a container that claims to be what is rendered, and kept for as long as that stands for the sandbox."""
    rendered = planned.rendered
    if status.configuration and current.id == status.container_id:
        return {}
    if rendered and (current.fingerprint, current.ports) == (rendered.fingerprint, rendered.ports):
        return {"configuration": configuration(rendered.spec)}
    return {"configuration": {}}


def _attestation(planned: SandboxPlan, current: Observed) -> dict[str, Any]:
    """Only what claims to be what is rendered is compared."""
    rendered = planned.rendered
    if rendered is None or not current.up:
        return {}
    if (current.fingerprint, current.ports) != (rendered.fingerprint, rendered.ports):
        return {}
    found = planned.changes if planned.cause in DRIFT else ()
    attested = _attested(current.id, rendered.policy, found, current.inspected_at)
    told = {"notes": current.inspection.notes, "kernel": str(current.inspection.kernel or "")}
    return {"attested": attested.model_copy(update=told)}


def _attested(container: str, policy: str, found: tuple[Mismatch, ...], now: float) -> Attestation:
    mismatches = tuple(map(str, found))
    return Attestation(at=now, ok=not found, container_id=container, policy=policy, mismatches=mismatches)


def on_progress(
    status: SandboxStatus, planned: SandboxPlan, text: str, share: float | None, now: float
) -> SandboxStatus:
    """While an image is pulled; `text` says how far it is, `share` (0 to 1) too once that is known."""
    return _phase(status, Phase.PULLING, planned.cause, text, now, share)


def on_output_ended(status: SandboxStatus, container: str, last_output: Iterable[bytes], now: float) -> SandboxStatus:
    """After all that a container said before it stopped was read; of interest is what exits by itself."""
    if container != status.container_id or container in status.stopped_by_us:
        return status
    lines = tuple(printable(line.decode(errors="replace"), OUTPUT_LINE_MAX) for line in last_output)
    return _change(status, now, last_output=lines)


def on_log_rate_exceeded(status: SandboxStatus, container: str, at: float, now: float) -> SandboxStatus:
    """After a container's output was found to exceed the policy's rate: a failure, once in each run.

    Output is read with delay: at the moment `at`, another run may have been under way.
    """
    if status.over_log_rate == container or at < status.started_at:
        return status
    status = _failed(status, Reason.LOG_RATE_EXCEEDED, "its output exceeded the policy's log_rate", now)
    return _change(status, now, over_log_rate=container)


def on_credentials_changed(status: SandboxStatus, now: float) -> SandboxStatus:
    """After those for registries may have changed: whom a registry did not let in rests no longer."""
    unauthorized = status.failure is not None and status.failure.reason is Reason.IMAGE_PULL_UNAUTHORIZED
    return _change(status, now, retry_at=0.0) if unauthorized else status


def on_disk_measured(status: SandboxStatus, sizes: Mapping[str, int], now: float) -> SandboxStatus:
    """After a measurement of some of its containers."""
    return _change(status, now, disk_bytes={**status.disk_bytes, **sizes})


def on_outcome(status: SandboxStatus, outcome: Outcome, now: float) -> SandboxStatus:
    """After an action."""
    planned, action = outcome.planned, outcome.action
    if isinstance(action, Verify) and outcome.failure in {None, Reason.VERIFICATION_FAILED, *SAID_BY_KERNEL}:
        status = _verified(status, outcome, action.rendered.policy, now)
    if outcome.failure in {Reason.ENGINE_UNAVAILABLE, Reason.PULL_CANCELLED}:
        if isinstance(action, Start):
            status = _change(status, now, unconfirmed_start=outcome.container)
        return _phase(status, status.phase, outcome.failure, outcome.message, now)
    if outcome.failure in SAID_BY_KERNEL:
        stopped_by_us = (*_without(status.stopped_by_us, outcome.container), outcome.container)
        status = _change(status, now, stopped_by_us=stopped_by_us)
    if outcome.failure is not None:
        status = _failed(status, outcome.failure, outcome.message, now)
        phase = Phase.RUNNING if status.ready else Phase.BACKOFF
        status = _phase(status, phase, outcome.failure, outcome.message, now)
        return _answered(status, {ConditionType.STALLED: _stalled(status)}, now)
    if status.failure is not None and status.failure.reason in MADE_GOOD_BY.get(type(action), ()):
        status = _change(status, now, **NO_FAILURES)
    following = tuple(dropwhile(lambda one: one != action, planned.actions))[1:]
    if _stops_next(following, status.container_id):
        status = _answered(status, {ConditionType.READY: (False, planned.cause, planned.message)}, now)
    if isinstance(action, Pull):
        return _phase(status, ACTING[planned.verdict], planned.cause, planned.message, now)
    if isinstance(action, Start):
        return _started(status, outcome, now)
    return status


def _verified(status: SandboxStatus, outcome: Outcome, policy: str, now: float) -> SandboxStatus:
    """What runs keeps its attestation when its replacement turns out to be something else."""
    current = status.attested
    if outcome.failure and current and current.ok and current.container_id == status.container_id != outcome.container:
        return status
    return _change(status, now, attested=_attested(outcome.container, policy, outcome.mismatches, now))


def _started(status: SandboxStatus, outcome: Outcome, now: float) -> SandboxStatus:
    planned, rendered = outcome.planned, outcome.planned.rendered
    changes: dict[str, Any] = {"container_id": outcome.container, "started_at": now}
    changes["stopped_by_us"] = _without(status.stopped_by_us, outcome.container)
    changes |= {"over_log_rate": "", "stopped": None, "oom_kills": 0, "foreign_processes": ()}
    if rendered is not None:
        changes |= {"container_name": rendered.name, "ports": dict(rendered.ports)}
        changes["configuration"] = configuration(rendered.spec)
    if planned.cause in {Reason.EXITED, Reason.UNHEALTHY} or outcome.container == status.over_log_rate:
        changes["restarts"] = status.restarts + 1
    if status.failure is not None and status.failure.reason not in backoff.AFTER_START:
        changes |= NO_FAILURES
    return _change(status, now, **changes)


def _failed(status: SandboxStatus, reason: Reason, message: str, now: float) -> SandboxStatus:
    failures = status.failures + 1
    return _change(
        status,
        now,
        failures=failures,
        failure=Failure(reason=reason, message=message, at=now),
        retry_at=now + backoff.delay_seconds(failures, reason),
    )


def _phase(
    status: SandboxStatus, phase: Phase, reason: Reason, message: str, now: float, progress: float | None = None
) -> SandboxStatus:
    return _change(status, now, phase=phase, reason=reason, message=message, progress=progress)


def _accepted(planned: SandboxPlan, *, broken: bool) -> Answer:
    if broken and planned.problems:
        return False, Reason.INVALID_FILE, str(planned.problems[0])
    if planned.rendered is None and planned.cause is Reason.POLICY_VIOLATION:
        return False, planned.cause, planned.message
    if planned.problems:
        return False, Reason.POLICY_VIOLATION, str(planned.problems[0])
    return True, Reason.ACCEPTED, ""


def _ready(planned: SandboxPlan) -> Answer:
    """What is about to be stopped does not count as serving: the stop itself is reported only once it has ended."""
    current = planned.current
    if current is None or not current.up or _stops_next(planned.actions, current.id):
        return False, planned.cause, planned.message
    if current.state is not State.RUNNING:
        return False, Reason.PAUSED, f"its container is {current.state}"
    match current.health:
        case Health.STARTING:
            return False, Reason.STARTING, "its health check has not passed yet"
        case Health.UNHEALTHY:
            return False, Reason.UNHEALTHY, current.inspection.health_message
    if planned.ready_at:
        return False, Reason.STARTING, backoff.SETTLING
    return True, Reason.HEALTHY if current.health else Reason.RUNNING, ""


def _stops_next(actions: Sequence[Action], container: str) -> bool:
    return bool(actions) and isinstance(actions[0], Stop) and actions[0].container == container


def _stalled(status: SandboxStatus) -> Answer:
    """What has come to its end, or is meant to be stopped, is not tried again, whatever has failed before."""
    if status.phase is Phase.FAILED or status.reason in UNFIT:
        return True, status.reason, status.message
    if status.failure is None or status.phase in {Phase.COMPLETED, Phase.STOPPED}:
        return False, Reason.NO_FAILURE, ""
    return status.failures >= STALLED_AFTER, status.failure.reason, status.failure.message


def _answered(status: SandboxStatus, answers: Mapping[ConditionType, Answer], now: float) -> SandboxStatus:
    """With these conditions; the others stay."""
    known = {condition.type: condition for condition in status.conditions}
    known |= {kind: _condition(known.get(kind), kind, answer, now) for kind, answer in answers.items()}
    return _change(status, now, conditions=tuple(known[kind] for kind in ConditionType if kind in known))


def _condition(before: Condition | None, kind: ConditionType, answer: Answer, now: float) -> Condition:
    """`since` moves only when the answer does."""
    status, reason, message = answer
    if before is None or before.status is not status:
        return Condition(type=kind, status=status, reason=reason, message=message, since=now)
    if (before.reason, before.message) == (reason, message):
        return before
    return before.model_copy(update={"reason": reason, "message": message})


def _change(status: SandboxStatus, now: float, **changes: Any) -> SandboxStatus:
    """The status with these fields; `updated_at` moves only when one of them really changes."""
    real = {key: value for key, value in changes.items() if getattr(status, key) != value}
    return status.model_copy(update={**real, "updated_at": now}) if real else status
