"""How many sandboxes are replaced at a time because a file or the policy has changed."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from reconciler.model.plan import Reason, SandboxPlan, Verdict
from reconciler.planning.outranked import to_be_stopped
from reconciler.planning.removals import unsure
from reconciler.planning.situation import Situation
from reconciler.planning.wanted import Wanted


def few_at_a_time(situation: Situation, plans: Iterable[tuple[Wanted, SandboxPlan]]) -> Iterator[SandboxPlan]:
    """The plans, with as many replacements as may be under way; the others wait, all of them during a freeze.

    The fewest failures go first: two whose images cannot be pulled would keep the turn between them. What the policy
    forbids waits for nobody.
    """
    limit = situation.policy.replacements.max_parallel
    left = limit - len(situation.memory.replacing)
    for _, planned in sorted(plans, key=lambda pair: (pair[0].failures, pair[0].name)):
        if not planned.is_update:
            yield planned
        elif found := to_be_stopped(situation, planned.sandbox):
            yield replace(planned, cause=Reason.POLICY_VIOLATION, message=f"what runs is forbidden: {found[0]}")
        elif not situation.desired.complete:
            cause, why = unsure(situation.desired)
            yield replace(planned, verdict=Verdict.HOLD, cause=cause, message=why, actions=())
        elif left > 0:
            left -= 1
            yield planned
        else:
            why = f"it is replaced later: the policy allows {limit} replacements at a time"
            yield replace(planned, verdict=Verdict.WAIT, cause=Reason.REPLACEMENT_QUEUED, message=why, actions=())
