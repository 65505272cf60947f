"""The policy outranks the file: what runs is left as it is only while it is allowed, unchanged and within its limits.

A freeze keeps back removals and replacements, and no stop.
"""

from dataclasses import replace

from reconciler.model.plan import Reason, SandboxPlan, Stop, Verdict
from reconciler.model.rendered import Mismatch
from reconciler.model.world import Observed
from reconciler.planning.actions import FORCED_GRACE_SECONDS, stops
from reconciler.planning.admission import violations
from reconciler.planning.converge import converge, excessive
from reconciler.planning.held import drifted, forbidden
from reconciler.planning.kernel import DRIFT, cause_of
from reconciler.planning.situation import Situation
from reconciler.planning.wanted import Wanted
from reconciler.spec.policy import OnViolation
from reconciler.spec.sandbox import DesiredState


def while_allowed(situation: Situation, planned: SandboxPlan) -> SandboxPlan:
    """The plan, or what has to be done instead where it would leave as it is what must not run on."""
    if planned.actions or planned.cause is Reason.IN_FLIGHT or planned.verdict not in {Verdict.HOLD, Verdict.WAIT}:
        return _hurried(situation, planned)
    planned = _while_permitted(situation, planned)
    return planned if planned.actions else _within_limits(situation, planned)


def to_be_stopped(situation: Situation, name: str) -> list[str]:
    """Why the policy does not let what runs run on, a sentence each; empty when it does."""
    found = _forbidden(situation, name) if situation.policy.on_violation is OnViolation.STOP else {}
    return [why for reasons in found.values() for why in reasons]


def _forbidden(situation: Situation, name: str) -> dict[str, tuple[str, ...]]:
    """By id, what the policy forbids of each container that is up and not as the policy wants it."""
    return {one.id: why for one in situation.up(name) if (why := _forbidden_of(situation, one))}


def _forbidden_of(situation: Situation, container: Observed) -> tuple[str, ...]:
    found, world = container.inspection, situation.world
    image = world.images.get(found.spec.image) if found.spec else None
    return situation.memo(forbidden, container.id, found, situation.policy, image, world.sources)


def _changed(situation: Situation, container: Observed) -> tuple[Mismatch, ...]:
    """What somebody has changed of it, as far as is known."""
    status = situation.status(container.sandbox)
    made_from = status.configuration if status.container_id == container.id else {}
    return drifted(container.inspection, situation.world.owner, made_from)


def _hurried(situation: Situation, planned: SandboxPlan) -> SandboxPlan:
    """The plan, with no more than a second to stop for what is forbidden or changed, whatever it is stopped for."""
    if not any(isinstance(action, Stop) and action.grace_seconds > FORCED_GRACE_SECONDS for action in planned.actions):
        return planned
    up = situation.up(planned.sandbox)
    bad = {one.id for one in up if _forbidden_of(situation, one) or _changed(situation, one)}
    actions = (
        replace(action, grace_seconds=min(action.grace_seconds, FORCED_GRACE_SECONDS))
        if isinstance(action, Stop) and action.container in bad
        else action
        for action in planned.actions
    )
    return replace(planned, actions=tuple(actions))


def _while_permitted(situation: Situation, planned: SandboxPlan) -> SandboxPlan:
    found = _forbidden(situation, planned.sandbox)
    if not found:
        return _while_unchanged(situation, planned)
    why = [one for reasons in found.values() for one in reasons]
    if situation.policy.on_violation is OnViolation.REPORT:
        message = f"{planned.message}; forbidden, and only reported: {why[0]}"
        return _while_unchanged(situation, replace(planned, message=message))
    containers = [one for one in situation.up(planned.sandbox) if one.id in found]
    stop = replace(planned, cause=Reason.POLICY_VIOLATION, message="; ".join(why))
    return _stopped(situation, stop, containers)


def _while_unchanged(situation: Situation, planned: SandboxPlan) -> SandboxPlan:
    """The plan, if nobody has changed what runs; else the change is shown and, unless suspended, undone."""
    name, up = planned.sandbox, situation.up(planned.sandbox)
    found = tuple(change for one in up for change in _changed(situation, one))
    if not found:
        return planned
    told, last = "; ".join(map(str, found)), situation.desired.last_good.get(name)
    if planned.cause is Reason.SUSPENDED or (last and last.sandbox.suspend is not None):
        return replace(planned, message=f"{planned.message}; somebody has changed it: {told}", changes=found)
    if repaired := _repaired(situation, name, up[-1]):
        return replace(repaired, problems=planned.problems)
    return _stopped(situation, replace(planned, cause=cause_of(found), message=told, changes=found), up)


def _repaired(situation: Situation, name: str, current: Observed) -> SandboxPlan | None:
    """Its replacement by what its file last said; None when that is not known, or would not undo the change."""
    declaration, sources = situation.desired.last_good.get(name), situation.world.sources
    if declaration is None or declaration.sandbox.state is DesiredState.STOPPED:
        return None
    if violations(declaration, situation.policy, sources):
        return None
    sandbox = situation.effective(name, declaration.sandbox)
    planned = converge(Wanted(situation, sandbox, situation.render(name, sandbox, current.ports)))
    return planned if planned.cause in DRIFT else None


def _stopped(situation: Situation, planned: SandboxPlan, containers: list[Observed]) -> SandboxPlan:
    actions = tuple(stops(containers, FORCED_GRACE_SECONDS))
    return situation.unless_in_backoff(replace(planned, verdict=Verdict.STOP, actions=actions, retry_at=0))


def _within_limits(situation: Situation, planned: SandboxPlan) -> SandboxPlan:
    if (stop := excessive(situation, planned.sandbox)) is None:
        return planned
    stop = replace(planned, verdict=Verdict.STOP, cause=stop.cause, message=stop.message, actions=stop.actions)
    return situation.unless_in_backoff(stop)
