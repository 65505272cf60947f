"""Which removals may happen, and which wait for somebody's approval.

Without approval no more sandboxes are removed within the policy's window than its budget: `max`, or `share` of those
that ran when the window began. What was withheld once stays withheld until it is approved or declared again, or the
policy changes: it does not become right by waiting, nor because files were added.
"""

from collections.abc import Iterable, Mapping

from reconciler.model.desired import Desired
from reconciler.model.plan import Plan, Reason
from reconciler.model.status import PendingApproval, RecentRemovals, SandboxStatus
from reconciler.model.world import World
from reconciler.spec.policy import Policy

Pending = Mapping[str, tuple[Reason, str]]
"""By sandbox, why its removal waits: the reason and a sentence."""

STILL = "its removal waits; `reconciler approve` allows it"


def pending_approval(
    going: frozenset[str],
    running: Iterable[SandboxStatus],
    desired: Desired,
    directory: tuple[int, int] | None,
    policy: Policy,
    before: PendingApproval | None,
    recent: RecentRemovals,
    now: float,
) -> Pending:
    """Of the sandboxes that are `going` without approval, those that must not be removed now.

    `running` are the statuses of all that run, `directory` is the identity of the directory that counted last, `before`
    is what was withheld until now.
    """
    if not going:
        return {}
    if not desired.complete:
        return dict.fromkeys(going, unsure(desired))
    if desired.empty and desired.directory != directory:
        why = "the directory is empty, perhaps another one; `reconciler approve` removes all"
        return dict.fromkeys(going, (Reason.DIRECTORY_REPLACED, why))
    still = before.containers.keys() & going if before and before.policy == policy.fingerprint else frozenset()
    kept = dict.fromkeys(still, (before.reason, STILL)) if before else {}
    if why := _over_budget(going - still, running, policy, recent, now):
        kept |= dict.fromkeys(going - still, (Reason.REMOVAL_BUDGET_EXCEEDED, why))
    return kept


def unsure(desired: Desired) -> tuple[Reason, str]:
    """Why nothing is removed or replaced by what a reading says that is not sound."""
    if desired.waits:
        return Reason.CHANGES_WAIT, desired.waits
    return Reason.DIRECTORY_UNREADABLE, "the directory cannot be read; nothing is removed or replaced"


def _over_budget(
    going: frozenset[str], running: Iterable[SandboxStatus], policy: Policy, recent: RecentRemovals, now: float
) -> str:
    """Why so many are too many; empty when they are not. Where the window is not remembered, only `max` counts."""
    budget, begun = policy.removals, now - policy.removals.window
    removed = {name for name, at in recent.removed.items() if abs(now - at) < budget.window}
    ran = {status.name for status in running if status.added_at <= begun} | removed
    share = int(budget.share * len(ran)) if recent.since <= begun else 0
    if not going or len(going | removed) <= max(budget.max, share):
        return ""
    told = f" after {len(removed - going)}" if removed - going else ""
    return f"{len(going)} removals{told}, over the budget of {max(budget.max, share)}; `reconciler approve` allows them"


def remembered(
    recent: RecentRemovals, plan: Plan, world: World, approved: frozenset[str], policy: Policy, now: float
) -> RecentRemovals:
    """With those that the plan removes without approval, and without those that no window holds any more."""
    plans = [planned for planned in plan.sandboxes if planned.cause is Reason.FILE_REMOVED and planned.actions]
    removed = [
        planned.sandbox for planned in plans if not approved.issuperset(one.id for one in world.of(planned.sandbox))
    ]
    kept = {name: at for name, at in recent.removed.items() if abs(now - at) < policy.removals.window}
    return recent.model_copy(update={"removed": kept | dict.fromkeys(removed, now)})
