"""The sandboxes that should not run now: in flight, invalid, gone, suspended, stopped or refused."""

from dataclasses import replace

from reconciler.model.errors import Problem
from reconciler.model.plan import Reason, Removals, SandboxPlan, Verdict
from reconciler.model.world import State
from reconciler.planning import removals
from reconciler.planning.actions import stop_and_remove, stops
from reconciler.planning.converge import converge
from reconciler.planning.situation import Situation
from reconciler.planning.wanted import Wanted
from reconciler.spec.sandbox import DesiredState, Sandbox

PROBLEMS_TOLD = 5
"""So many of a refused file's problems are in its status; `validate` tells all."""


def plan_unwanted(situation: Situation) -> tuple[list[SandboxPlan], Removals]:
    """Their plans, and the removals that wait for approval."""
    desired = situation.desired
    names = {*desired.declared, *desired.broken, *situation.world.by_sandbox}
    if not desired.complete:  # what has a status may still have a file
        names |= situation.memory.statuses.keys()
    plans = {name: _plan(situation, name) for name in names - situation.should_run.keys()}
    going = frozenset(name for name, planned in plans.items() if planned.cause is Reason.FILE_REMOVED)
    pending = removals.pending_approval(situation, going)
    plans |= {name: SandboxPlan(name, Verdict.HOLD, reason, why) for name, (reason, why) in pending.items()}
    return list(plans.values()), removals.approvable(situation, pending)


def in_flight(name: str) -> SandboxPlan:
    """The plan of a sandbox that has one already."""
    return SandboxPlan(name, Verdict.WAIT, Reason.IN_FLIGHT, "its last plan is still being carried out")


def _plan(situation: Situation, name: str) -> SandboxPlan:
    desired, up = situation.desired, situation.up(name)
    if name in situation.memory.in_flight:
        return in_flight(name)
    if problems := desired.problems_of(name):
        return SandboxPlan(name, Verdict.HOLD, Reason.INVALID_FILE, str(problems[0]), problems=problems)
    if name not in desired.declared:
        if not situation.world.of(name):
            return SandboxPlan(name, Verdict.HOLD, *removals.unsure(desired))
        return _removal(situation, SandboxPlan(name, Verdict.REMOVE, Reason.FILE_REMOVED, "its file is gone"))
    sandbox, problems = desired.declared[name].sandbox, situation.problems[name]
    if sandbox.suspend is not None:
        synced = _is_synced(situation, name, sandbox)
        return SandboxPlan(name, Verdict.HOLD, Reason.SUSPENDED, sandbox.suspend, problems=problems, synced=synced)
    if situation.is_down(name):
        down = SandboxPlan(name, Verdict.KEEP, Reason.TAKEN_DOWN, Reason.TAKEN_DOWN.means, problems=problems)
        return _removal(situation, replace(down, verdict=Verdict.REMOVE)) if situation.world.of(name) else down
    if up and sandbox.state is DesiredState.STOPPED:
        stop = SandboxPlan(name, Verdict.STOP, Reason.STOP_DECLARED, "the file says `state: stopped`", tuple(stops(up)))
        return situation.unless_in_backoff(stop)
    if problems:
        told = _told(problems) + ("; the last accepted version runs on" if up else "")
        return SandboxPlan(name, Verdict.HOLD, Reason.POLICY_VIOLATION, told, problems=problems)
    return SandboxPlan(name, Verdict.KEEP, Reason.STOPPED, synced=True)


def _removal(situation: Situation, planned: SandboxPlan) -> SandboxPlan:
    """`planned`, with the actions that remove all its containers."""
    containers = situation.world.of(planned.sandbox)
    if all(container.state is State.REMOVING for container in containers):
        return SandboxPlan(planned.sandbox, Verdict.WAIT, Reason.ENGINE_BUSY, "the engine is removing it")
    actions = tuple(stop_and_remove(containers))
    return situation.unless_in_backoff(replace(planned, actions=actions, current=containers[-1]))


def _is_synced(situation: Situation, name: str, suspended: Sandbox) -> bool:
    """Whether what runs of a suspended sandbox is what its file says."""
    up = situation.up(name)
    if situation.problems[name] or not up or suspended.state is DesiredState.STOPPED:
        return not up and suspended.state is DesiredState.STOPPED
    sandbox = situation.effective(name, suspended)
    return converge(Wanted(situation, sandbox, situation.render(name, sandbox, up[-1].ports))).synced


def _told(problems: tuple[Problem, ...]) -> str:
    told = "; ".join(map(str, problems[:PROBLEMS_TOLD]))
    more = len(problems) - PROBLEMS_TOLD
    return f"{told}; and {more} more, see `reconciler validate`" if more > 0 else told
