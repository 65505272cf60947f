"""Which removals may happen, and which wait for somebody's approval.

Without approval no more sandboxes are removed within the policy's window than its budget: `max`, or `share` of those
that ran when the window began. What needed approval once needs it until it is approved or declared again, or the
policy changes: it does not become right by waiting, nor because files were added.
"""

from collections.abc import Mapping

from reconciler.model.desired import Desired
from reconciler.model.labels import SOURCE
from reconciler.model.plan import Plan, Reason, Removals
from reconciler.model.status import RecentRemovals
from reconciler.model.world import World
from reconciler.planning.situation import Situation
from reconciler.spec.policy import Policy

Pending = Mapping[str, tuple[Reason, str]]
"""By sandbox, why its removal waits: the reason and a sentence."""

STILL = "its removal waits; `reconciler approve` allows it"


def pending_approval(situation: Situation, going: frozenset[str]) -> Pending:
    """Of the sandboxes that are `going`, as no file declares them, those that must not be removed now."""
    if situation.desired.complete:
        going = frozenset(name for name in going if not _approved(situation, name))
    adopted = {name: source for name in going if (source := _adopted_from(situation, name))}
    why = "adopted from {}, and no file declares it; `reconciler approve` removes it"
    kept = {name: (Reason.OWNED_BY_ANOTHER, why.format(source)) for name, source in adopted.items()}
    return {**kept, **_unapproved(situation, going - adopted.keys())}


def _approved(situation: Situation, name: str) -> bool:
    return all(container.id in situation.memory.approved for container in situation.world.of(name))


def _adopted_from(situation: Situation, name: str) -> str | None:
    """The source that owned the sandbox's containers; None when that is our own."""
    specs = [container.inspection.spec for container in situation.world.of(name)]
    sources = {spec.labels.get(SOURCE, "") for spec in specs if spec} - {"", situation.world.owner.source}
    return min(sources, default=None)


def _unapproved(situation: Situation, going: frozenset[str]) -> Pending:
    desired, policy, before = situation.desired, situation.policy, situation.memory.pending_approval
    if not desired.complete:
        return dict.fromkeys(going, unsure(desired))
    if desired.empty and desired.directory != situation.memory.directory:
        why = "the directory is empty, perhaps another one; `reconciler approve` removes all"
        return dict.fromkeys(going, (Reason.DIRECTORY_REPLACED, why))
    still = before.containers.keys() & going if before and before.policy == policy.fingerprint else frozenset()
    kept = dict.fromkeys(still, (before.reason, STILL)) if before else {}
    if why_not := _over_budget(situation, going - still):
        kept |= dict.fromkeys(going - still, (Reason.REMOVAL_BUDGET_EXCEEDED, why_not))
    return kept


def _over_budget(situation: Situation, going: frozenset[str]) -> str | None:
    """Why so many are too many; None when they are not. Where the window is not remembered, only `max` counts."""
    budget, recent, now = situation.policy.removals, situation.memory.recent, situation.now
    statuses, begun = situation.memory.statuses, now - budget.window
    removed = {name for name, at in recent.removed.items() if abs(now - at) < budget.window}
    ran = {name for name in situation.names_up & statuses.keys() if statuses[name].added_at <= begun} | removed
    allowed = max(budget.max, int(budget.share * len(ran)) if recent.since <= begun else 0)
    if len(going | removed) <= allowed:
        return None
    told = f" after {len(removed - going)}" if removed - going else ""
    return f"{len(going)} removals{told}, over the budget of {allowed}; `reconciler approve` allows them"


def unsure(desired: Desired) -> tuple[Reason, str]:
    """Why nothing is removed or replaced by what an incomplete scan says."""
    if desired.waits:
        return Reason.CHANGES_WAIT, desired.waits
    return Reason.DIRECTORY_UNREADABLE, "the directory cannot be read; nothing is removed or replaced"


def approvable(situation: Situation, pending: Pending) -> Removals:
    """What can be approved: while the directory cannot be read, only what waited before."""
    before = situation.memory.pending_approval
    if situation.desired.complete:
        waiting = {name: reason for name, (reason, _) in pending.items()}
    else:
        waiting = dict.fromkeys(before.containers.keys() & pending.keys(), before.reason) if before else {}
    ids = {name: tuple(container.id for container in situation.world.of(name)) for name in sorted(waiting)}
    return Removals(ids, min(waiting.values(), default=None))


def remembered(
    recent: RecentRemovals, plan: Plan, world: World, approved: frozenset[str], policy: Policy, now: float
) -> RecentRemovals:
    """With those that the plan removes without approval, and without those that no window holds any more."""
    plans = [planned for planned in plan.sandboxes if planned.cause is Reason.FILE_REMOVED and planned.actions]
    names = (planned.sandbox for planned in plans)
    removed = [name for name in names if not approved.issuperset(one.id for one in world.of(name))]
    kept = {name: at for name, at in recent.removed.items() if abs(now - at) < policy.removals.window}
    return recent.model_copy(update={"removed": kept | dict.fromkeys(removed, now)})
