"""What to do for one sandbox that should run."""

import shlex
from dataclasses import replace

from reconciler.model.plan import Action, Reason, Remove, Rename, SandboxPlan, Unpause, Verdict
from reconciler.model.world import Health, Observed, State, Unmanaged, World
from reconciler.planning import backoff
from reconciler.planning.actions import FORCED_GRACE_SECONDS, creation, start_after, stop_and_remove, stops
from reconciler.planning.changes import changes
from reconciler.planning.exits import exit_message, for_memory
from reconciler.planning.held import excess
from reconciler.planning.kernel import cause_of
from reconciler.planning.situation import Situation
from reconciler.planning.wanted import Wanted
from reconciler.spec.sandbox import Restart, Sandbox
from reconciler.spec.text import printable


def converge(wanted: Wanted, no_slot: str | None = None) -> SandboxPlan:
    """The sandbox's plan. `no_slot` says why it has no place under the limit; None when it has one."""
    planned = _without_start(wanted, no_slot)
    planned = _start(wanted) if planned is None else wanted.situation.unless_in_backoff(planned)
    synced = _is_synced(wanted) and planned.cause is not Reason.LIMIT_EXCEEDED
    return replace(planned, rendered=wanted.rendered, current=wanted.standing, synced=synced)


def _is_synced(wanted: Wanted) -> bool:
    """Whether what runs, or has come to its end by itself, is what is declared, and nothing else runs."""
    current = wanted.current
    if current is None or wanted.mismatches[current.id]:
        return False
    return (current.up or wanted.exited) and not any(other.up for other in wanted.others)


def _without_start(wanted: Wanted, no_slot: str | None) -> SandboxPlan | None:
    """What is to be stopped, kept, removed or put off; None when a container is to be started."""
    situation, name, current = wanted.situation, wanted.name, wanted.current
    up = situation.up(name)
    if planned := excessive(situation, name):
        return planned
    if up and no_slot is not None:
        return SandboxPlan(name, Verdict.STOP, Reason.LIMIT_EXCEEDED, no_slot, tuple(stops(up)))
    if current is not None and current.up:
        return _up(wanted, current)
    if misfits := [other for other in wanted.others if wanted.mismatches.get(other.id)]:
        found = "; ".join(str(mismatch) for misfit in misfits for mismatch in wanted.mismatches[misfit.id])
        actions = tuple(stop_and_remove(misfits))
        return SandboxPlan(name, Verdict.REMOVE, Reason.VERIFICATION_FAILED, found, actions)
    if ended := wanted.ended:
        return _leftover(wanted) or _end(wanted, ended)
    if other := situation.world.in_place_of(name):
        return _kept_out(name, other)
    if no_slot is not None:
        return SandboxPlan(name, Verdict.WAIT, Reason.LIMIT_EXCEEDED, no_slot)
    return None


def excessive(situation: Situation, name: str) -> SandboxPlan | None:
    """The stop of what uses more than the policy allows; None when nothing does."""
    status = situation.status(name)
    found = [(one, why) for one in situation.up(name) if (why := excess(situation.policy, one, status))]
    if not found:
        return None
    actions = tuple(stops((one for one, _ in found), FORCED_GRACE_SECONDS))
    return SandboxPlan(name, Verdict.STOP, *found[0][1], actions)


def _up(wanted: Wanted, current: Observed) -> SandboxPlan:
    name, rendered = wanted.name, wanted.rendered
    if wanted.mismatches[current.id]:
        return _repair(wanted, current)
    if current.state is State.PAUSED:
        return SandboxPlan(name, Verdict.START, Reason.PAUSED, "somebody paused it", (Unpause(current.id),))
    if planned := _leftover(wanted):
        return planned
    if current.name != rendered.name and not _is_in_backoff(wanted, backoff.START):
        why = f"somebody renamed it to {current.name}"
        return SandboxPlan(name, Verdict.RENAME, Reason.RENAMED, why, (Rename(current.id, rendered.name),))
    if wanted.restart_asked and not start_refused(wanted):
        return SandboxPlan(name, Verdict.START, Reason.RESTART_ASKED, "", _again(wanted, current))
    match current.health:
        case None:
            return SandboxPlan(name, Verdict.KEEP, Reason.RUNNING)
        case Health.HEALTHY:
            return SandboxPlan(name, Verdict.KEEP, Reason.HEALTHY)
        case Health.STARTING:
            return SandboxPlan(name, Verdict.KEEP, Reason.STARTING, "its health check has not passed yet")
        case Health.UNHEALTHY:
            return _unhealthy(wanted, current)


def _leftover(wanted: Wanted) -> SandboxPlan | None:
    """The removal of what a replacement has left; None when nothing is left over."""
    if actions := tuple(stop_and_remove(wanted.others)):
        return SandboxPlan(wanted.name, Verdict.REPLACE, Reason.LEFTOVER, "an older container is left over", actions)
    return None


def _repair(wanted: Wanted, current: Observed) -> SandboxPlan:
    """The replacement of a container that somebody has changed; its stop alone where nothing can be started now."""
    drift = wanted.mismatches[current.id]
    actions = (*stop_and_remove([current], FORCED_GRACE_SECONDS), *creation(wanted, wanted.others))
    if (wanted.failures and _is_in_backoff(wanted, backoff.START)) or start_refused(wanted):
        actions = tuple(stops([current], FORCED_GRACE_SECONDS))
    message = "; ".join(map(str, drift))
    return SandboxPlan(wanted.name, Verdict.REPLACE, cause_of(drift), message, actions, changes=drift)


def _unhealthy(wanted: Wanted, current: Observed) -> SandboxPlan:
    """Restarted as what has exited is; during the backoff, or where nothing can be started, it stays up."""
    kept = SandboxPlan(wanted.name, Verdict.KEEP, Reason.UNHEALTHY, current.inspection.health_message)
    if wanted.sandbox.restart is Restart.NO:
        return kept
    if _is_in_backoff(wanted, backoff.RUN):
        return replace(kept, retry_at=wanted.status.retry_at)
    if start_refused(wanted):
        return kept
    return replace(kept, verdict=Verdict.START, actions=_again(wanted, current))


def _again(wanted: Wanted, current: Observed) -> tuple[Action, ...]:
    return (*stops([current]), *start_after(wanted, wanted.others, current.id))


def _end(wanted: Wanted, ended: Observed) -> SandboxPlan:
    name, inspection = wanted.name, ended.inspection
    if why := excess(wanted.situation.policy, ended, wanted.status):
        return SandboxPlan(name, Verdict.KEEP, *why)
    message = exit_message(inspection, wanted.status)
    if inspection.exit_code or inspection.oom_killed:
        reason = Reason.OOM_KILLED if for_memory(inspection, wanted.status) else Reason.EXIT_CODE
        return SandboxPlan(name, Verdict.KEEP, reason, f"{message}, not restarted")
    return SandboxPlan(name, Verdict.KEEP, Reason.COMPLETED, message)


def _start(wanted: Wanted) -> SandboxPlan:
    """What to do for a sandbox that has a slot and no container running as it should."""
    name, current, old = wanted.name, wanted.current, wanted.old
    stops_first = wanted.status.unconfirmed_start or wanted.situation.up(name)
    after = backoff.START | backoff.STOP_AND_REMOVE if stops_first else backoff.START
    if wanted.failures and _is_in_backoff(wanted, after):
        return backoff.wait(SandboxPlan(name, Verdict.WAIT, Reason.NOT_STARTED), wanted.status)
    if current is not None and current.state is State.REMOVING:
        return SandboxPlan(name, Verdict.WAIT, Reason.ENGINE_BUSY, "the engine is removing its container")
    if current is not None and current.state is State.DEAD:
        removal = SandboxPlan(name, Verdict.REMOVE, Reason.LEFTOVER, "its container is dead", (Remove(current.id),))
        return wanted.situation.unless_in_backoff(removal)
    if why := _unfit(wanted.sandbox, wanted.situation.world):
        return SandboxPlan(name, Verdict.WAIT, *why)
    if current is not None:
        actions = tuple(start_after(wanted, wanted.others, current.id))
        if wanted.restart_asked and not wanted.situation.up(name):
            return SandboxPlan(name, Verdict.START, Reason.RESTART_ASKED, "", actions)
        if wanted.exited:
            return SandboxPlan(
                name, Verdict.START, Reason.EXITED, exit_message(current.inspection, wanted.status), actions
            )
        return SandboxPlan(name, Verdict.START, Reason.NOT_STARTED, "", actions)
    if old is None:
        return SandboxPlan(name, Verdict.CREATE, Reason.ABSENT, "", tuple(creation(wanted, ())))
    return _replacement(wanted, old)


def _replacement(wanted: Wanted, old: Observed) -> SandboxPlan:
    known = wanted.status.configuration if wanted.status.container_id == old.id else {}
    changed = changes(wanted.rendered, old.inspection, known)
    same = old.fingerprint == wanted.rendered.fingerprint
    cause = Reason.PORTS_CHANGED if same else Reason.CONFIGURATION_CHANGED
    message = "; ".join(f"{change.knob}: {change.actual} -> {change.expected}" for change in changed)
    actions = tuple(creation(wanted, wanted.others))
    return SandboxPlan(wanted.name, Verdict.REPLACE, cause, message, actions, changes=changed)


def start_refused(wanted: Wanted) -> SandboxPlan | None:
    """Why nothing may be started for this sandbox, on this engine, now; None when it may."""
    world = wanted.situation.world
    if other := world.in_place_of(wanted.name):
        return _kept_out(wanted.name, other)
    why = _unfit(wanted.sandbox, world)
    return SandboxPlan(wanted.name, Verdict.WAIT, *why) if why else None


def _unfit(sandbox: Sandbox, world: World) -> tuple[Reason, str] | None:
    """Why the engine and its network are unfit for it, whatever its container is like; None when they are fit."""
    if lacking := world.engine.lacking:
        return Reason.ENGINE_UNFIT, f"the engine cannot enforce {', '.join(lacking)}; see `reconciler doctor`"
    network = world.network
    if network is None or sandbox.network_mode is not None:
        return None
    if network.why_unfit:
        return Reason.NETWORK_UNFIT, f"{network.why_unfit}; remove the network: {network.name}"
    if network.why_unfiltered:
        return Reason.NETWORK_UNFIT, f"{network.why_unfiltered}; see `reconciler doctor`"
    return None


def _kept_out(name: str, other: Unmanaged) -> SandboxPlan:
    """Nothing is started beside a container that stands for the sandbox and is not ours."""
    verdict, cause = (Verdict.HOLD, Reason.OWNED_BY_ANOTHER) if other.source else (Verdict.WAIT, Reason.UNMANAGED)
    remedy = f"`--adopt {shlex.quote(other.source)}` takes it over" if other.source else "remove it, or its labels"
    why = "owned by another source" if other.source else other.why
    why = printable(f"{why}; {remedy} (container {other.name}, {other.id[:12]})")
    return SandboxPlan(name, verdict, cause, why)


def _is_in_backoff(wanted: Wanted, after: frozenset[Reason]) -> bool:
    return backoff.is_in_backoff(wanted.status, after, wanted.situation.now)
