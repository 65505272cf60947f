"""What the controller says of itself and of all its sandboxes together."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from reconciler.model.desired import Desired
from reconciler.model.plan import Lane, Plan, Reason, Verdict
from reconciler.model.policy import Policy
from reconciler.model.status import EngineStatus, Phase, SandboxStatus, WithheldRemovals
from reconciler.model.text import printable
from reconciler.model.world import World

FREEZES = frozenset(
    {Reason.CHANGES_WAIT, Reason.DIRECTORY_UNREADABLE, Reason.DIRECTORY_REPLACED, Reason.REMOVAL_BUDGET_EXCEEDED}
)
"""Causes that withhold removals."""


def overview(
    desired: Desired, policy: Policy, world: World, plan: Plan, statuses: Iterable[SandboxStatus], scan_error: str
) -> dict[str, Any]:
    """The fields of a `ControllerStatus` that a pass comes to know."""
    engine, withheld = world.engine, plan.withheld
    up = {container.sandbox for container in world.containers if container.up}
    frozen = [lane.message for lane in plan.lanes if lane.cause in FREEZES]
    return {
        "available": True,
        "unavailable_reason": "",
        "engine": EngineStatus(name=engine.name, version=engine.version, api_version=engine.api_version),
        "counts": dict(Counter(status.phase for status in statuses)),
        "limit_held_by": tuple(sorted(up)),
        "limit_reserved_for": tuple(lane.sandbox for lane in plan.lanes if lane.sandbox not in up and _has_slot(lane)),
        "limit_used_by_unmanaged": tuple(printable(one.name) for one in world.unmanaged if one.sandbox and one.up),
        "frozen": bool(frozen) or not desired.sound,
        "frozen_reason": frozen[0] if frozen else scan_error,
        "withheld": WithheldRemovals(reason=withheld.reason, containers=withheld.containers, policy=policy.fingerprint)
        if withheld.reason
        else None,
        "broken": {
            **{desired.file_of(name): tuple(map(str, problems)) for name, problems in desired.broken.items()},
            **{problem.file: (str(problem),) for problem in desired.ignored},
        },
        "notes": tuple(map(str, desired.notes)),
        "unmanaged": tuple(f"{found.why}: {found.name} ({found.id[:12]})" for found in world.unmanaged),
    }


def _has_slot(lane: Lane) -> bool:
    """Of a sandbox that is not up; what has ended, is not meant to run, or is kept out by a stranger has none."""
    meant = lane.rendered is not None and lane.verdict not in {Verdict.KEEP, Verdict.HOLD}
    return lane.cause is Reason.IN_FLIGHT or (meant and lane.cause not in {Reason.LIMIT_EXCEEDED, Reason.UNMANAGED})


def in_one_line(statuses: Iterable[SandboxStatus], *, available: bool) -> str:
    """What a service manager shows: `3 running, 1 waiting, engine available`."""
    counts = Counter(status.phase for status in statuses)
    sandboxes = [f"{counts[phase]} {phase.lower()}" for phase in Phase if counts[phase]] or ["no sandboxes"]
    return ", ".join([*sandboxes, f"engine {'available' if available else 'not available'}"])
