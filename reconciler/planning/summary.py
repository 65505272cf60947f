"""What the controller says of itself and of all its sandboxes together."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from reconciler.model.desired import Desired
from reconciler.model.plan import Plan, Reason, SandboxPlan, Verdict
from reconciler.model.status import EngineStatus, PendingApproval, Phase, SandboxStatus
from reconciler.model.world import World
from reconciler.spec.policy import Policy

FREEZES = frozenset(
    {Reason.CHANGES_WAIT, Reason.DIRECTORY_UNREADABLE, Reason.DIRECTORY_REPLACED, Reason.REMOVAL_BUDGET_EXCEEDED}
)
"""Causes for which removals wait."""


def summary_fields(
    desired: Desired, policy: Policy, world: World, plan: Plan, statuses: Iterable[SandboxStatus], scan_error: str
) -> dict[str, Any]:
    """The fields of a `ControllerStatus` that a pass comes to know."""
    engine, pending_approval = world.engine, plan.pending_approval
    up = {container.sandbox for container in world.containers if container.up}
    frozen = [planned.message for planned in plan.sandboxes if planned.cause in FREEZES]
    return {
        "available": True,
        "unavailable_reason": "",
        "engine": EngineStatus(name=engine.name, version=engine.version, api_version=engine.api_version),
        "counts": dict(Counter(status.phase for status in statuses)),
        "slots_used_by": tuple(sorted(up)),
        "slots_reserved_for": tuple(
            planned.sandbox for planned in plan.sandboxes if planned.sandbox not in up and _has_slot(planned)
        ),
        "slots_used_by_unmanaged": tuple(one.name for one in world.unmanaged if one.sandbox and one.up),
        "frozen": bool(frozen) or not desired.complete,
        "frozen_reason": frozen[0] if frozen else scan_error,
        "pending_approval": PendingApproval(
            reason=pending_approval.reason, containers=pending_approval.containers, policy=policy.fingerprint
        )
        if pending_approval.reason
        else None,
        "broken": {
            **{desired.file_of(name): tuple(map(str, problems)) for name, problems in desired.broken.items()},
            **{problem.file: (str(problem),) for problem in desired.ignored},
        },
        "notes": tuple(map(str, desired.notes)),
        "unmanaged": tuple(f"{found.why}: {found.name} ({found.id[:12]})" for found in world.unmanaged),
    }


def _has_slot(planned: SandboxPlan) -> bool:
    """Of a sandbox that is not up: not if it has ended, is not meant to run, or is kept out by what is not ours."""
    meant = planned.rendered is not None and planned.verdict not in {Verdict.KEEP, Verdict.HOLD}
    return planned.cause is Reason.IN_FLIGHT or (
        meant and planned.cause not in {Reason.LIMIT_EXCEEDED, Reason.UNMANAGED}
    )


def in_one_line(statuses: Iterable[SandboxStatus], *, available: bool) -> str:
    """What a service manager shows: `3 running, 1 waiting, engine available`."""
    counts = Counter(status.phase for status in statuses)
    sandboxes = [f"{counts[phase]} {phase.lower()}" for phase in Phase if counts[phase]] or ["no sandboxes"]
    return ", ".join([*sandboxes, f"engine {'available' if available else 'not available'}"])
