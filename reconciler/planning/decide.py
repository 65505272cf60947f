"""All choices: what should be, what is and what is remembered come in, a plan comes out.

Nowhere else does desired meet observed. Nothing here reads a clock, draws a number or calls anything.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from reconciler.model.desired import Desired
from reconciler.model.labels import network_name
from reconciler.model.plan import Action, Create, CreateNetwork, Plan, Reason, RemoveNetwork, SandboxPlan
from reconciler.model.status import Ask
from reconciler.model.world import State, World
from reconciler.planning import backoff
from reconciler.planning.converge import converge
from reconciler.planning.fingerprint import is_about
from reconciler.planning.memo import Memo
from reconciler.planning.outranked import while_allowed
from reconciler.planning.rollout import few_at_a_time
from reconciler.planning.situation import Memory, Situation
from reconciler.planning.slots import allot_slots
from reconciler.planning.unwanted import in_flight, plan_unwanted
from reconciler.planning.wanted import Wanted
from reconciler.spec.policy import Policy


def decide(
    desired: Desired, policy: Policy, world: World, memory: Memory, now: float, memo: Memo | None = None
) -> Plan:
    """The plan of one pass; `now` is in seconds since the epoch. `memo`, from the pass before, makes it cheaper."""
    memo = memo or Memo()
    memo.next_pass()
    situation = Situation(desired, policy, world, memory, now, memo)
    unwanted, pending_approval = plan_unwanted(situation)
    wanted = _plan_wanted(situation, unwanted)
    by_name = sorted(unwanted + wanted, key=lambda planned: planned.sandbox)
    sandboxes = tuple(_with_what_runs(situation, while_allowed(situation, planned)) for planned in by_name)
    return Plan(tuple(_setup(world, wanted)), sandboxes, pending_approval, outdated=frozenset(_outdated(situation)))


def _outdated(situation: Situation) -> Iterator[str]:
    """Whose file is gone, or needs another image than is being pulled, or none; what is not sure ends no pull.

    Nor is a pull waited for by whoever wants the sandbox down.
    """
    desired, requests = situation.desired, situation.memory.requests
    unsure = desired.names - {name for name, problems in situation.problems.items() if not problems}
    for name, reference in situation.memory.pulling.items() if desired.complete else ():
        needed = situation.rendered[name].image if name in situation.rendered else None
        down = name in requests and requests[name].what is Ask.DOWN
        if name not in unsure and (down or needed != reference):
            yield name


def _plan_wanted(situation: Situation, unwanted: list[SandboxPlan]) -> list[SandboxPlan]:
    """The plans of the sandboxes that should run."""
    busy = situation.memory.in_flight & situation.should_run.keys()
    free = sorted(situation.should_run.keys() - busy)
    wanted = [Wanted(situation, situation.should_run[name], situation.rendered[name]) for name in free]
    with_slot = [(one, converge(one)) for one in wanted]
    slots = allot_slots(situation, with_slot, unwanted)
    decided = [
        (one, planned if one.name in slots.given else converge(one, no_slot=slots.why_no_more))
        for one, planned in with_slot
    ]
    return [*map(in_flight, busy), *few_at_a_time(situation, decided)]


def _with_what_runs(situation: Situation, planned: SandboxPlan) -> SandboxPlan:
    """With the container that runs on, and the time at which that counts as ready if it has failed before."""
    up = situation.up(planned.sandbox)
    if up and not (planned.current and planned.current.up):
        planned = replace(planned, current=up[-1])
    status, current = situation.status(planned.sandbox), planned.current
    if status.foreign_processes and not planned.actions:
        planned = replace(planned, message="; ".join(filter(None, (planned.message, *status.foreign_processes))))
    if current is None or current.state is not State.RUNNING:
        return planned
    if planned.rendered is None or is_about(status, planned.rendered):
        planned = replace(planned, ready_at=backoff.ready_at(status, current.inspection.started_at, situation.now))
    if planned.ready_at and planned.cause in {Reason.RUNNING, Reason.HEALTHY}:
        return replace(planned, cause=Reason.STARTING, message=backoff.SETTLING)
    return planned


def _setup(world: World, wanted: Iterable[SandboxPlan]) -> Iterator[Action]:
    """What is done to the network before anything else."""
    if world.network is not None:
        yield from map(RemoveNetwork, world.network.surplus)
    elif any(isinstance(action, Create) for planned in wanted for action in planned.actions):
        yield CreateNetwork(network_name(world.owner.instance))
