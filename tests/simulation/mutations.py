"""Bugs planted into the real code, one at a time: a simulation that cannot find them would prove nothing.

python -m tests.simulation.mutations NAME SEEDS [FROM]     plays until a seed finds the bug, and prints it
"""
# ruff: noqa: ARG005 - what is called in place of something takes its arguments

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from types import SimpleNamespace
from typing import Any, TypeVar, TypeVarTuple

from pydantic import BaseModel

from reconciler.control.controller import Controller
from reconciler.control.executor import Executor
from reconciler.control.messages import SandboxPlanEnded
from reconciler.control.observer import Observer
from reconciler.control.pin import Pin
from reconciler.control.read import Reader
from reconciler.model.container import MOUNTED
from reconciler.model.desired import Desired
from reconciler.model.errors import EngineRefused, EngineUnavailable
from reconciler.model.labels import Owner
from reconciler.model.plan import Action, Outcome, Reason, Remove, SandboxPlan, Start, Stop, Verdict, Verify
from reconciler.model.status import Ask, SandboxStatus
from reconciler.model.world import Inspection, World
from reconciler.planning import (
    asked,
    backoff,
    converge,
    decide,
    held,
    kernel,
    memo,
    outranked,
    ports,
    removals,
    slots,
    status_reducer,
    unwanted,
)
from reconciler.planning.actions import start_after
from reconciler.planning.fingerprint import fingerprints, salt_of
from reconciler.planning.held import excess
from reconciler.planning.images import fitted
from reconciler.planning.render import render
from reconciler.planning.rollout import few_at_a_time
from reconciler.planning.situation import Situation
from reconciler.planning.status_reducer import on_asked
from reconciler.planning.wanted import Wanted
from reconciler.sources.directory import port_clashes
from reconciler.spec.sandbox import Restart
from tests.simulation.seeds import play

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")
Model = TypeVar("Model", bound=BaseModel)
Ports = dict[str, dict[int, int]]
Inspected = Inspection | EngineRefused | None

NOT_SURE = Reason.DIRECTORY_UNREADABLE, Reason.CHANGES_WAIT


@dataclass(frozen=True)
class Bug:
    """In place of `right`, a function or a property, `wrong` is called, with `right` before its arguments."""

    seed: int
    """The story that finds it."""
    right: Any
    wrong: Callable[..., Any]


def bug(
    seed: int,
    right: Callable[[*Arguments], Result],
    wrong: Callable[[Callable[[*Arguments], Result], *Arguments], Result],
) -> Bug:
    """`right` is a name and no text: when it is gone nothing here can be imported, when it changes mypy complains."""
    return Bug(seed, right, wrong)


def plant(planted: Bug) -> None:
    """For the rest of this process: in the class or module that defines it, and in each that has imported it."""
    right = getattr(planted.right, "fget", None) or getattr(planted.right, "func", planted.right)

    def wrong(*arguments: Any) -> Any:
        return planted.wrong(right, *arguments)

    *outer, name = right.__qualname__.split(".")
    home = reduce(getattr, outer, sys.modules[right.__module__])
    assert vars(home)[name] is planted.right
    modules = [module for key, module in sys.modules.items() if key.startswith(("reconciler.", "tests."))]
    for owner in [home, *(module for module in modules if vars(module).get(name) is planted.right)]:
        setattr(owner, name, wrong if right is planted.right else property(wrong))


def but(model: Model, **said: object) -> Model:
    return model.model_copy(update=said)


def knowing(situation: Situation, **known: Any) -> Situation:
    """With a memory of something else."""
    return replace(situation, memory=replace(situation.memory, **known))


def all_known(situation: Situation) -> Iterable[SandboxStatus]:
    return situation.memory.statuses.values()


def remembering(wanted: Wanted, **said: object) -> Wanted:
    """With a status that says something else."""
    statuses = {**wanted.situation.memory.statuses, wanted.name: but(wanted.status, **said)}
    return replace(wanted, situation=knowing(wanted.situation, statuses=statuses))


def recently(situation: Situation, **said: object) -> Situation:
    """With a memory of other removals."""
    return knowing(situation, recent=but(situation.memory.recent, **said))


def awake(desired: Desired) -> Desired:
    """With nothing suspended."""
    declared = {name: replace(one, sandbox=but(one.sandbox, suspend=None)) for name, one in desired.declared.items()}
    return replace(desired, declared=declared)


def again(situation: Situation) -> list[SandboxPlan]:
    """Another plan for each sandbox whose plan is being carried out."""
    names = situation.memory.in_flight & situation.should_run.keys()
    all_wanted = (Wanted(situation, situation.should_run[name], situation.rendered[name]) for name in names)
    return [converge.converge(wanted) for wanted in all_wanted]


def left_alone(planned: SandboxPlan, cause: Reason) -> SandboxPlan:
    return SandboxPlan(planned.sandbox, Verdict.KEEP, Reason.RUNNING) if planned.cause is cause else planned


def at_once(
    plans: Iterable[tuple[Wanted, SandboxPlan]], decided: Iterable[SandboxPlan], *causes: Reason
) -> Iterator[SandboxPlan]:
    """The plans as they were, where one of the causes has put them off."""
    before = {planned.sandbox: planned for _, planned in plans}
    return (before[planned.sandbox] if planned.cause in causes else planned for planned in decided)


def unchecked(actions: Iterable[Action], *after: type[Action]) -> Iterator[Action]:
    """Without what is verified directly after such an action."""
    last = None
    for action in actions:
        if not (isinstance(action, Verify) and isinstance(last, after)):
            yield action
        last = action


def cut_short(executor: Executor, planned: SandboxPlan, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Ends where something else turns out to be mounted."""
    for outcome in outcomes:
        yield outcome
        if outcome.failure is Reason.MOUNT_MISMATCH:
            executor._tell(SandboxPlanEnded(planned))
            return


def preferred(kept: Ports, allocated: Ports) -> Ports:
    """Those that are kept, where there are any."""
    return {name: {port: kept[name][port] or own for port, own in of.items()} for name, of in allocated.items()}


def unpinned(right: Any, one: Any, *arguments: Any) -> Any:
    """As if any engine were the one that is pinned."""
    pin, one._pin = one._pin, SimpleNamespace(check=lambda: "")
    try:
        return right(one, *arguments)
    finally:
        one._pin = pin


def raised(found: Inspected) -> Inspected:
    if isinstance(found, EngineRefused):
        raise EngineUnavailable from found
    return found


def unmounted(right: Any, observer: Observer, *call: Any) -> Any:
    """Without what the kernel has told of mounts."""
    unreadable = right(observer, *call)
    for one, seen in observer._seen.items():
        told = tuple(found for found in seen.inspection.deviations if found.knob != MOUNTED)
        observer._seen[one] = replace(seen, inspection=replace(seen.inspection, deviations=told))
    return unreadable


# fmt: off
MUTATIONS = {
    # what is verified
    "skip the verification": bug(0, Executor._verified, lambda right, executor, outcome, rendered: outcome),
    "go on after a failed verification": bug(40, Executor._verified,
        lambda right, executor, outcome, rendered: right(executor, outcome, rendered) and outcome),
    "verify only before the old one stops": bug(0, start_after,
        lambda right, *call: unchecked(right(*call), Stop, Remove)),
    "make what was pulled as if it were known": bug(2, Executor._created,
        lambda right, executor, outcome, new: replace(outcome, container=executor._engine.create(new.name, new.spec))),
    "give no sandbox a name of its own": bug(12, render,
        lambda right, name, sandbox, *call: right(name, but(sandbox, hostname=None), *call)),
    "let an image check as often as it likes": bug(25, fitted, lambda right, rendered, image: rendered),
    "keep what has drifted": bug(43, converge._up, lambda right, *call: left_alone(right(*call), Reason.DRIFTED)),
    "start on an engine that lacks a knob of the floor": bug(41, converge._unfit,
        lambda right, sandbox, world: None if world.engine.lacking else right(sandbox, world)),
    # the executor
    "pull what is wanted no more": bug(125, Executor.cancel, lambda right, executor, planned: None),
    "let who was not let in rest": bug(206, status_reducer.on_credentials_changed, lambda right, status, now: status),
    "go on after a failure": bug(6, Executor.perform, lambda right, *call: replace(right(*call), failure=None)),
    "work twice on one sandbox": bug(2, decide._plan_wanted,
        lambda right, situation, others: [*right(situation, others), *again(situation)]),
    "start the new one before the old one has stopped": bug(0, start_after,
        lambda right, *call: sorted(right(*call), key=lambda action: isinstance(action, Stop | Remove))),
    "forget a start that may happen late": bug(561, Wanted.stays_down, lambda *_: True),
    "never clear away what is left over": bug(151, converge._up,
        lambda right, *call: left_alone(right(*call), Reason.LEFTOVER)),
    "leave a pause": bug(71, converge._up, lambda right, *call: left_alone(right(*call), Reason.PAUSED)),
    # the limit
    "count the limit before a stop has finished": bug(0, slots._used,
        lambda right, situation: right(situation) - len(situation.memory.in_flight & situation.names_up)),
    "forget who is in flight under the limit": bug(15, slots._used,
        lambda right, situation: right(situation) - len(situation.memory.in_flight - situation.names_up)),
    "forget who may be ours under the limit": bug(92, slots._used,
        lambda right, situation: right(replace(situation, world=replace(situation.world, unmanaged=())))),
    "admit one too many": bug(19, slots._used, lambda right, situation: right(situation) - 1),
    "reserve a slot for who is in backoff": bug(67, slots._rank,
        lambda right, *call: (right(*call)[0] % 3, right(*call)[1])),
    "let a crash loop go before who has never failed": bug(178, slots._rank,
        lambda right, wanted, planned: right(remembering(wanted, failures=min(wanted.status.failures, 1)), planned)),
    "let a stop by the controller end a sandbox for good": bug(180, Wanted.ended,
        lambda right, wanted: right(remembering(wanted, stopped_by_us=()))),
    "rest for ever": bug(0, backoff.is_in_backoff,
        lambda right, status, after, now: bool(status.failure and status.failure.reason in after)),
    # the unhealthy
    "leave the unhealthy alone": bug(25, converge._unhealthy,
        lambda right, *call: replace(right(*call), verdict=Verdict.KEEP, actions=())),
    "restart the unhealthy without a rest": bug(318, converge._unhealthy,
        lambda right, wanted, current: right(remembering(wanted, retry_at=0), current)),
    "restart the unhealthy whatever they say": bug(7, converge._unhealthy,
        lambda right, wanted, current: right(
            replace(wanted, sandbox=but(wanted.sandbox, restart=Restart.ALWAYS)), current)),
    # what the files say
    "treat a broken file as absent": bug(7, Desired.problems_of, lambda *_: ()),
    "remove what an invalid name may be meant as": bug(10, Desired.problems_of,
        lambda right, desired, name: desired.broken.get(name, ())),
    "ignore suspend": bug(10, Situation.__init__,
        lambda right, situation, desired, *rest: right(situation, awake(desired), *rest)),
    "let two files publish one port": bug(105, port_clashes, lambda *_: {}),
    "act in the middle of a merge": bug(5, Reader.__init__,
        lambda right, reader, policy, scan, clock: right(reader, policy, lambda: replace(scan(), waits=""), clock)),
    # what people ask for
    "end each run after a restart was asked for": bug(2, Wanted.restart_asked,
        lambda right, wanted: bool(wanted.current and (said := wanted.status.asked) and said.what is Ask.RESTART)),
    "do not restart what runs": bug(2, Wanted.restart_asked, lambda *_: False),
    "start again who was taken down": bug(2, Situation.is_down, lambda *_: False),
    "let a request go by": bug(2, asked.answers, lambda *_: ()),
    "let who is to be retried rest": bug(18, on_asked, lambda right, status, request, now: but(status, asked=request)),
    # removals and replacements
    "believe an unreadable directory": bug(108, removals._unapproved,
        lambda right, situation, going: right(
            replace(situation, desired=replace(situation.desired, complete=True)), going)),
    "let an approval stand for everything": bug(201, removals._approved,
        lambda right, situation, name: bool(situation.memory.approved)),
    "remove what waits for approval after a while": bug(35, Controller._memory,
        lambda right, controller: replace(right(controller), pending_approval=None)),
    "forget the budget": bug(5, removals._over_budget, lambda *_: None),
    "forget what was removed before": bug(5, removals._over_budget,
        lambda right, situation, going: right(recently(situation, removed={}), going)),
    "let new files raise the budget": bug(699, removals._over_budget,
        lambda right, situation, going: right(
            knowing(situation, statuses={one.name: but(one, added_at=0) for one in all_known(situation)}), going)),
    "believe a share of what nobody remembers": bug(72, removals._over_budget,
        lambda right, situation, going: right(recently(situation, since=0), going)),
    "replace all at once": bug(6, few_at_a_time,
        lambda right, situation, plans: at_once(plans, right(situation, plans), Reason.REPLACEMENT_QUEUED)),
    "forget the replacements under way": bug(6, Controller._memory,
        lambda right, controller: replace(right(controller), replacing=frozenset())),
    "replace while the directory cannot be read": bug(8, few_at_a_time,
        lambda right, situation, plans: at_once(plans, right(situation, plans), *NOT_SURE)),
    # what the policy forbids
    "leave what is held although the policy forbids it": bug(10, outranked._while_permitted,
        lambda right, situation, planned: planned),
    "leave what is held although somebody has changed it": bug(505, outranked._while_unchanged,
        lambda right, situation, planned: planned),
    "let what is held fill the disk": bug(169, outranked._within_limits, lambda right, situation, planned: planned),
    "let who says too much run on": bug(82, excess,
        lambda right, policy, container, status: right(policy, container, but(status, over_log_rate=""))),
    "start again what has written too much": bug(25, Wanted.ended,
        lambda right, wanted: right(remembering(wanted, disk_bytes={}))),
    "keep a port that a changed policy forbids": bug(83, ports.allocate_ports,
        lambda right, wanted, world, statuses, published, seed: preferred(
            right(wanted, world, statuses, range(1 << 16), None), right(wanted, world, statuses, published, seed))),
    # whose it is
    "take a stranger with our labels for ours": bug(5, Observer._not_ours_by_proof, lambda *_: None),
    "take what another source owns": bug(4, Owner.acts_for, lambda *_: True),
    "take any engine for the one that is pinned": bug(3, Pin.another, lambda right, pin: ""),
    "check the engine in observations only": bug(68, Executor._call, unpinned),
    "check the engine before actions only": bug(3, Observer._look, unpinned),
    "start beside what may be ours": bug(24, World.in_place_of,
        lambda right, world, name: found if (found := right(world, name)) and found.source else None),
    # what is secret
    "forget the salt of the container before": bug(4, salt_of,
        lambda right, sandbox, containers, secret: right(sandbox, (), secret)),
    "give all sandboxes one salt": bug(0, salt_of, lambda *_: "0" * 32),
    "put values into the public fingerprint": bug(0, fingerprints,
        lambda right, spec, salt: right(spec, salt)._replace(public=right(spec, "").salted)),
    "ignore values of environment": bug(0, fingerprints,
        lambda right, spec, salt: right(replace(spec, environment=dict.fromkeys(spec.environment, "")), salt)),
    "tell the salt in a status": bug(0, fingerprints,
        lambda right, spec, salt: right(spec, salt)._replace(salted_with=salt)),
    # what is observed
    "let one odd container stop the whole": bug(4, Observer._inspected, lambda right, *call: raised(right(*call))),
    "look at no volumes in an observation": bug(1257, Observer._inspect, unmounted),
    "look no more at volumes once they are mounted": bug(42, start_after,
        lambda right, *call: unchecked(right(*call), Start)),
    "let an exchanged source be read until the next pass": bug(42, Executor.carry_out,
        lambda right, executor, planned: cut_short(executor, planned, right(executor, planned))),
    "take the engine's word for limits": bug(30, kernel.beside_the_engine, lambda *_: iter(())),
    "ask no kernel about what is held": bug(30, held.drifted,
        lambda right, inspection, *call: right(replace(inspection, kernel=None), *call)),
    "believe a list that leaves something out": bug(176, Observer._confirm_gone,
        lambda right, observer, listed: right(observer, listed | observer._known)),
    "believe inspections for ever": bug(260, Observer.invalidate_all, lambda *_: None),
    "believe what was worked out for ever": bug(0, memo._same, lambda *_: True),
    # what is shown
    "show what is held and serves as not ready": bug(0, decide._with_what_runs,
        lambda right, situation, planned: replace(right(situation, planned), current=planned.current)),
    "take what is suspended for what is declared": bug(565, unwanted._is_synced,
        lambda right, situation, name, sandbox: right(situation, name, sandbox) or bool(situation.up(name))),
}
# fmt: on


def main(name: str, seeds: int, first: int) -> int:
    """Returns 0 when the bug is found."""
    plant(MUTATIONS[name])
    logging.disable(logging.CRITICAL)
    for seed in range(first, first + seeds):
        if violation := play(seed).violation:
            print(f"{seed} {violation}")
            return 0
    print(f"not found in {seeds} seeds")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0))
