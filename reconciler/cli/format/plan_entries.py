"""The entries of a plan, in the same words for every output format."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from reconciler.model.desired import Desired
from reconciler.model.plan import Plan, Reason, SandboxPlan, Verdict
from reconciler.model.rendered import Mismatch
from reconciler.planning.describe import NOTHING
from reconciler.spec.units import duration_text

SENTENCES: Mapping[Reason, str] = {
    Reason.ABSENT: "it has no container",
    Reason.NOT_STARTED: "its container does not run",
    Reason.CONFIGURATION_CHANGED: "its configuration has changed",
    Reason.PORTS_CHANGED: "its ports have changed",
    Reason.DRIFTED: "somebody has changed its container",
    Reason.KERNEL_MISMATCH: "the kernel has other limits or rights for it than the engine says",
    Reason.INVALID_FILE: "invalid file; the running container is left unchanged until it is fixed",
}
"""For causes that are explained by themselves; for the others, the plan has a message."""

UNSEEN = (
    "its configuration has changed, in a field that this plan cannot compare: a value of environment, a path on the "
    "host, or what reconciler itself sets"
)

SUMMARY: Mapping[str, tuple[str, str]] = {
    "create": ("to create", "to create"),
    "start": ("to start", "to start"),
    "replace": ("to replace", "to replace"),
    "stop": ("to stop", "to stop"),
    "remove": ("to remove", "to remove"),
    "rename": ("to rename", "to rename"),
    "wait": ("waits", "wait"),
    "hold": ("held", "held"),
    "refuse": ("refused", "refused"),
    "broken": ("broken", "broken"),
    "ignore": ("file ignored", "files ignored"),
    "keep": ("unchanged", "unchanged"),
}
"""What a plan does with a sandbox, in singular and plural, in the order of the summary."""

ALARMING = frozenset({"hold", "refuse", "broken", "ignore"})


class Change(NamedTuple):
    """Of a variable of `environment`, `old` is empty, and `new` is what happens to it."""

    field: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What happens to one sandbox, and why."""

    does: str
    name: str
    why: str
    changes: tuple[Change, ...] = ()
    problems: tuple[str, ...] = ()


def entries(plan: Plan, desired: Desired, now: float) -> list[Entry]:
    """All but what is unchanged: first what is done, last what must not be overlooked."""
    told = [*_setup(plan), *(entry(planned, now) for planned in plan.sandboxes if planned.verdict is not Verdict.KEEP)]
    told += [Entry("ignore", one.file, "not the file of a sandbox", problems=(str(one),)) for one in desired.ignored]
    return sorted(told, key=lambda entry: list(SUMMARY).index(entry.does) if entry.does in ALARMING | {"wait"} else 0)


def _setup(plan: Plan) -> Iterator[Entry]:
    for action in plan.setup:
        does, _, what = str(action).partition(" ")
        yield Entry(does, what, "the sandboxes share it")


def entry(planned: SandboxPlan, now: float) -> Entry:
    """`now` is in seconds since the epoch."""
    changed, problems = tuple(map(_change, planned.changes)), tuple(map(str, planned.problems))
    return Entry(_does(planned), planned.sandbox, _why(planned, now), changed, problems)


def _change(change: Mismatch) -> Change:
    """Never a value of `environment`."""
    if change.knob.startswith("environment."):
        happens = {change.actual: "(added)", change.expected: "(removed)"}
        return Change(change.knob, "", happens.get(NOTHING, "(changed)"))
    return Change(change.knob, change.actual, change.expected)


def _does(planned: SandboxPlan) -> str:
    if planned.verdict is Verdict.HOLD and planned.cause is Reason.POLICY_VIOLATION:
        return "refuse"
    return "broken" if planned.cause is Reason.INVALID_FILE else planned.verdict.lower()


def _why(planned: SandboxPlan, now: float) -> str:
    if planned.cause is Reason.POLICY_VIOLATION and planned.problems:
        return "the policy forbids it" + ("" if planned.actions else "; the running container is left unchanged")
    if planned.cause is Reason.SUSPENDED:
        return f"it is suspended: {planned.message}"
    if planned.verdict is Verdict.WAIT and planned.retry_at:
        rest = duration_text(max(0, round(planned.retry_at - now)))
        return f"it failed ({planned.cause}): {planned.message}; it is tried again in {rest}"
    if planned.cause is Reason.CONFIGURATION_CHANGED and not planned.changes:
        return UNSEEN
    return SENTENCES.get(planned.cause) or planned.message or planned.cause


def changes(plan: Plan, desired: Desired) -> bool:
    """Whether anything is done now: nothing is while git is at work."""
    return not plan.changes_nothing and not desired.waits


def note(plan: Plan, desired: Desired) -> str:
    """What the reader has to know first; usually empty."""
    waits = f"{desired.waits}: until it is over, nothing of this is done" if desired.waits else ""
    return "; ".join(filter(None, [waits, plan.unseen]))


def summary(plan: Plan, desired: Desired) -> str:
    """`Plan: 1 to create, 2 unchanged.`"""
    counts = Counter(_does(planned) for planned in plan.sandboxes) + Counter({"ignore": len(desired.ignored)})
    told = [f"{counts[does]} {words[counts[does] > 1]}" for does, words in SUMMARY.items() if counts[does]]
    if plan.changes_nothing:
        told.insert(0, "nothing to do")
    elif desired.waits:
        told.insert(0, "nothing to do yet")
    return f"Plan: {', '.join(told)}."


def as_json(plan: Plan, desired: Desired, now: float) -> dict[str, Any]:
    """The whole plan, also of what is unchanged; `reconciler plan --help` says what is in it."""
    return {
        "summary": summary(plan, desired),
        "changes": changes(plan, desired),
        "waits": desired.waits or "",
        "unseen": plan.unseen,
        "setup": [str(action) for action in plan.setup],
        "sandboxes": [_planned_as_json(planned, now) for planned in plan.sandboxes],
        "ignored": [asdict(invalid_name) for invalid_name in desired.ignored],
        "pending_approval": {name: list(ids) for name, ids in plan.pending_approval.containers.items()},
    }


def _planned_as_json(planned: SandboxPlan, now: float) -> dict[str, Any]:
    told = entry(planned, now)
    return {
        "name": told.name,
        "verdict": planned.verdict,
        "cause": planned.cause,
        "why": told.why,
        "message": planned.message,
        "actions": [str(action) for action in planned.actions],
        "changes": [change._asdict() for change in told.changes],
        "problems": [asdict(problem) for problem in planned.problems],
        "retry_at": planned.retry_at,
    }
