"""All choices: what should be, what is and what is remembered come in, a plan comes out.

Nowhere else does desired meet observed. Nothing here reads a clock, draws a number or calls anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from reconciler.model.desired import Desired
from reconciler.model.errors import Problem
from reconciler.model.labels import SOURCE, network_name
from reconciler.model.plan import (
    Action,
    Create,
    CreateNetwork,
    Plan,
    Reason,
    Removals,
    RemoveNetwork,
    SandboxPlan,
    Stop,
    Verdict,
)
from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.status import PendingApproval, RecentRemovals, SandboxStatus
from reconciler.model.world import Image, Observed, State, Unmanaged, World
from reconciler.planning import backoff
from reconciler.planning import removals as removal_budget
from reconciler.planning.admission import effective, violations
from reconciler.planning.converge import (
    FORCED_GRACE_SECONDS,
    Case,
    excessive,
    stop_and_remove,
    stops,
)
from reconciler.planning.fingerprint import is_about, salt_of
from reconciler.planning.held import drifted, forbidden
from reconciler.planning.memo import Memo
from reconciler.planning.ports import allocate_ports
from reconciler.planning.removals import Pending
from reconciler.planning.render import render
from reconciler.spec.policy import OnViolation, Policy
from reconciler.spec.sandbox import DesiredState, Sandbox

ALWAYS_REMEMBERED = RecentRemovals()

PROBLEMS_TOLD = 5
"""So many of a refused file's problems are in its status; `validate` tells all."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the controller knows besides files and engine.

    `directory` is the identity of the directory at the last scan that counted. `approved` are ids of containers whose
    removal an operator approved, `withheld` is what waits for that, `recent` what was removed without. `in_flight` are
    sandboxes that a lane is working on, `replacing` those of them whose lane is an update. `seed` is a number drawn at
    random, for the choice of ports; without one none is chosen, for a plan that nobody carries out. `secret` is drawn
    at random too, once for all passes: what there is no container of has its salt from it.
    """

    statuses: Mapping[str, SandboxStatus]
    secret: bytes = field(repr=False)
    directory: tuple[int, int] | None = None
    approved: frozenset[str] = frozenset()
    pending_approval: PendingApproval | None = None
    recent: RecentRemovals = ALWAYS_REMEMBERED
    in_flight: frozenset[str] = frozenset()
    replacing: frozenset[str] = frozenset()
    seed: int | None = 0


def decide(
    desired: Desired, policy: Policy, world: World, memory: Memory, now: float, memo: Memo | None = None
) -> Plan:
    """The plan of one pass; `now` is in seconds since the epoch. `recall`, from the pass before, makes it cheaper."""
    memo = memo or Memo()
    memo.next_pass()
    return _Decision(desired, policy, world, memory, now, memo).plan()


class _Decision:
    """One call of `decide`: its arguments, and what follows from them."""

    def __init__(self, desired: Desired, policy: Policy, world: World, memory: Memory, now: float, memo: Memo) -> None:
        self.desired, self.policy, self.world, self.memory, self.now = desired, policy, world, memory, now
        self.memo = memo
        self.containers = world.by_sandbox
        self.problems = {
            name: memo(violations, name, declaration, policy, world.sources, self._image(declaration.sandbox))
            for name, declaration in desired.declared.items()
        }

    def _image(self, sandbox: Sandbox) -> Image | None:
        return self.world.images.get(sandbox.image or self.policy.defaults.image)

    def plan(self) -> Plan:
        unwanted, pending_approval = self._unwanted()
        wanted = self._wanted(unwanted)
        plans = map(self._judged, sorted(unwanted + wanted, key=lambda planned: planned.sandbox))
        return Plan(tuple(self._setup(wanted)), tuple(map(self._with_what_runs, plans)), pending_approval)

    def _judged(self, planned: SandboxPlan) -> SandboxPlan:
        """What waits or is held is left running only while the policy allows it."""
        if planned.actions or planned.cause is Reason.IN_FLIGHT or planned.verdict not in {Verdict.HOLD, Verdict.WAIT}:
            return self._hurried(planned)
        return self._within_limits(self._outranked(planned))

    def _hurried(self, planned: SandboxPlan) -> SandboxPlan:
        """The lane, with no more than a second for what is forbidden or changed, whoever wants it to stop, and why."""
        if not any(
            isinstance(action, Stop) and action.grace_seconds > FORCED_GRACE_SECONDS for action in planned.actions
        ):
            return planned
        bad = {one.id for one in self.world.of(planned.sandbox) if self._forbidden(one) or self._changed(one)}
        actions = (
            replace(action, grace_seconds=min(action.grace_seconds, FORCED_GRACE_SECONDS))
            if isinstance(action, Stop) and action.container in bad
            else action
            for action in planned.actions
        )
        return replace(planned, actions=tuple(actions))

    def _forbidden(self, container: Observed) -> tuple[str, ...]:
        found, images, sources = container.inspection, self.world.images, self.world.sources
        image = images.get(found.spec.image) if found.spec else None
        return self.memo(forbidden, container.id, found, self.policy, image, sources)

    def _changed(self, container: Observed) -> tuple[Mismatch, ...]:
        """What somebody has changed of it, as far as is known."""
        status = self.memory.statuses.get(container.sandbox)
        made_from = status.configuration if status and status.container_id == container.id else {}
        return drifted(container.inspection, self.world.owner, made_from)

    def _with_what_runs(self, planned: SandboxPlan) -> SandboxPlan:
        """The lane with the container that runs on, and the time at which that counts as ready if it has failed."""
        up = [container for container in self.world.of(planned.sandbox) if container.up]
        if planned.verdict in {Verdict.HOLD, Verdict.WAIT} and up and not (planned.current and planned.current.up):
            planned = replace(planned, current=up[-1])
        status, current = self.memory.statuses.get(planned.sandbox), planned.current
        if status is None or current is None or current.state is not State.RUNNING:
            return planned
        if planned.rendered is None or is_about(status, planned.rendered):
            planned = replace(planned, ready_at=backoff.ready_at(status, current.inspection.started_at, self.now))
        if planned.ready_at and planned.cause in {Reason.RUNNING, Reason.HEALTHY}:
            return replace(planned, cause=Reason.STARTING, message=backoff.SETTLING)
        return planned

    @cached_property
    def _up(self) -> set[str]:
        """Sandboxes of which a container is up."""
        return {container.sandbox for container in self.world.containers if container.up}

    def _setup(self, wanted: list[SandboxPlan]) -> Iterator[Action]:
        network = self.world.network
        if network is not None:
            yield from map(RemoveNetwork, network.surplus)
        elif any(isinstance(action, Create) for planned in wanted for action in planned.actions):
            yield CreateNetwork(network_name(self.world.owner.instance))

    # --- the sandboxes that should run ---------------------------------------------------------------------------

    @cached_property
    def running(self) -> dict[str, Sandbox]:
        """The effective sandboxes that are declared, accepted, and meant to run."""
        return {
            name: self.memo(effective, name, declaration.sandbox, self.policy)
            for name, declaration in self.desired.declared.items()
            if not self.problems[name]
            and declaration.sandbox.suspend is None
            and declaration.sandbox.state is DesiredState.RUNNING
        }

    @cached_property
    def rendered(self) -> dict[str, Rendered]:
        world, memory = self.world, self.memory
        ports = allocate_ports(self.running, world, memory.statuses, self.policy.published_ports, memory.seed)
        return {
            name: self.memo(
                render, name, name, sandbox, self.policy, world.owner, ports[name], world.sources, self._salt(name)
            )
            for name, sandbox in self.running.items()
        }

    def _salt(self, name: str) -> str:
        return salt_of(name, self.world.of(name), self.memory.secret)

    def _wanted(self, unwanted: list[SandboxPlan]) -> list[SandboxPlan]:
        free = self.running.keys() - self.memory.in_flight
        cases = {name: self._case(name, self.running[name], self.rendered[name]) for name in sorted(free)}
        admitted, message = self._admission(cases, unwanted)
        plans = [_in_flight(name) for name in self.memory.in_flight & self.running.keys()]
        decided = [case.planned(message if name not in admitted else "") for name, case in cases.items()]
        return plans + list(self._few_at_a_time(decided))

    def _few_at_a_time(self, plans: list[SandboxPlan]) -> Iterator[SandboxPlan]:
        """Of the replacements that a changed file or policy asks for, as many as may be under way; the rest waits.

        What the policy forbids waits for nobody. A freeze withholds the others.
        """
        limit = self.policy.replacements.max_parallel
        left = limit - len(self.memory.replacing)
        for planned in sorted(plans, key=lambda planned: planned.sandbox):
            if not planned.is_update:
                yield planned
            elif found := self._to_be_stopped(planned.sandbox):
                yield replace(planned, cause=Reason.POLICY_VIOLATION, message=f"what runs is forbidden: {found[0]}")
            elif not self.desired.complete:
                cause, why = removal_budget.unsure(self.desired)
                yield replace(planned, verdict=Verdict.HOLD, cause=cause, message=why, actions=())
            elif left > 0:
                left -= 1
                yield planned
            else:
                why = f"it is replaced later: the policy allows {limit} replacements at a time"
                yield replace(planned, verdict=Verdict.WAIT, cause=Reason.REPLACEMENT_QUEUED, message=why, actions=())

    def _to_be_stopped(self, name: str) -> list[str]:
        """Why the policy does not let what runs run on; empty when it does."""
        if self.policy.on_violation is OnViolation.REPORT:
            return []
        return [why for container in self.world.of(name) if container.up for why in self._forbidden(container)]

    def _case(self, name: str, sandbox: Sandbox, rendered: Rendered) -> Case:
        return Case(
            sandbox=sandbox,
            rendered=rendered,
            containers=self.world.of(name),
            status=self.memory.statuses.get(name) or SandboxStatus(name=name),
            policy=self.policy,
            world=self.world,
            now=self.now,
            memo=self.memo,
        )

    def _admission(self, cases: Mapping[str, Case], unwanted: list[SandboxPlan]) -> tuple[set[str], str]:
        """The sandboxes that have a slot, a place under the limit, and the sentence for those that have none.

        Who runs keeps its slot; the others get one in the order of their rank, then their name. A slot is free only
        when its container has really stopped.
        """
        limit = self.policy.sandboxes_max
        busy = self.memory.in_flight
        up = self._up
        staying = busy | {planned.sandbox for planned in unwanted if planned.sandbox in up and not planned.actions}
        keepers = sorted(name for name in cases if name in up)[: max(0, limit - len(staying))]
        others = [one for one in self.world.unmanaged if one.sandbox and one.up]
        waiting = sorted(
            (name for name, case in cases.items() if name not in up and not case.ended),
            key=lambda name: (cases[name].rank, name),
        )
        starters = waiting[: max(0, limit - self._slots_used(others))]
        ended = {name for name, case in cases.items() if case.ended and name not in up}
        idle = {name for name in starters if not cases[name].with_a_slot.actions}
        unmanaged = {f"{one.sandbox} (unmanaged)" for one in others}
        users = {*keepers, *staying, *(up - cases.keys()), *starters, *unmanaged} - idle
        told = [f"{limit} of {limit} slots are used; stop or remove one, or raise sandboxes_max"]
        told += [f"used by {', '.join(sorted(users))}"] if users else []
        told += [f"reserved for {', '.join(sorted(idle))}, which cannot start yet"] if idle else []
        return {*keepers, *starters, *ended}, "; ".join(told)

    def _slots_used(self, unmanaged: list[Unmanaged]) -> int:
        """By each container that is up, each lane that may start one, and each that is not ours and may be."""
        starting = self.memory.in_flight - self._up
        return sum(container.up for container in self.world.containers) + len(starting) + len(unmanaged)

    # --- the sandboxes that should not ---------------------------------------------------------------------------

    def _unwanted(self) -> tuple[list[SandboxPlan], Removals]:
        names = {*self.desired.declared, *self.desired.broken, *self.containers} - self.running.keys()
        if not self.desired.complete:  # what has a status may still have a file
            names |= self.memory.statuses.keys() - self.running.keys()
        plans = {name: self._unwanted_plan(name) for name in names}
        removals = {name for name, planned in plans.items() if planned.cause is Reason.FILE_REMOVED}
        pending_approval = self._pending_approval(removals)
        plans |= {
            name: SandboxPlan(name, Verdict.HOLD, reason, why) for name, (reason, why) in pending_approval.items()
        }
        return list(plans.values()), self._approvable(pending_approval)

    def _pending_approval(self, removals: set[str]) -> Pending:
        approved = {name for name in removals if self.desired.complete and self._approved(name)}
        going = removals - approved
        adopted = {name: source for name in going if (source := self._adopted_from(name))}
        why = "adopted from {}, and no file declares it; `reconciler approve` removes it"
        kept = {name: (Reason.OWNED_BY_ANOTHER, why.format(source)) for name, source in adopted.items()}
        budgeted = removal_budget.pending_approval(
            frozenset(going - adopted.keys()),
            [self.memory.statuses[name] for name in self.memory.statuses.keys() & self._up],
            self.desired,
            self.memory.directory,
            self.policy,
            self.memory.pending_approval,
            self.memory.recent,
            self.now,
        )
        return {**kept, **budgeted}

    def _adopted_from(self, name: str) -> str:
        """The source that owned the sandbox's containers; empty when it is our own."""
        specs = [container.inspection.spec for container in self.containers[name]]
        sources = {spec.labels.get(SOURCE, "") for spec in specs if spec} - {"", self.world.owner.source}
        return min(sources, default="")

    def _approvable(self, pending_approval: Pending) -> Removals:
        """What can be approved: while the directory cannot be read, only what waited before."""
        before = self.memory.pending_approval
        if not self.desired.complete:
            waiting = dict.fromkeys(before.containers.keys() & pending_approval.keys(), before.reason) if before else {}
        else:
            waiting = {name: reason for name, (reason, _) in pending_approval.items()}
        ids = {name: tuple(container.id for container in self.containers[name]) for name in sorted(waiting)}
        return Removals(ids, min(waiting.values(), default=None))

    def _unwanted_plan(self, name: str) -> SandboxPlan:
        containers = self.world.of(name)
        up = [container for container in containers if container.up]
        declaration = self.desired.declared.get(name)
        if name in self.memory.in_flight:
            return _in_flight(name)
        if problems := self.desired.problems_of(name):
            return SandboxPlan(name, Verdict.HOLD, Reason.INVALID_FILE, str(problems[0]), problems=problems)
        if declaration is None and not containers:
            return SandboxPlan(name, Verdict.HOLD, *removal_budget.unsure(self.desired))
        if declaration is None:
            return self._unless_in_backoff(self._removal(name, containers))
        if declaration.sandbox.suspend is not None:
            why, synced = declaration.sandbox.suspend, self._is_synced(name, declaration.sandbox, up)
            return SandboxPlan(name, Verdict.HOLD, Reason.SUSPENDED, why, problems=self.problems[name], synced=synced)
        if up and declaration.sandbox.state is DesiredState.STOPPED:
            why, actions = "the file says `state: stopped`", tuple(stops(up))
            return self._unless_in_backoff(SandboxPlan(name, Verdict.STOP, Reason.STOP_DECLARED, why, actions))
        if self.problems[name]:
            return replace(self._refused(name, up, self.problems[name]), problems=self.problems[name])
        return SandboxPlan(name, Verdict.KEEP, Reason.STOPPED, synced=True)

    def _is_synced(self, name: str, suspended: Sandbox, up: list[Observed]) -> bool:
        """Whether what runs of a suspended sandbox is what its file says."""
        if self.problems[name] or not up or suspended.state is DesiredState.STOPPED:
            return not up and suspended.state is DesiredState.STOPPED
        sandbox, world = self.memo(effective, name, suspended, self.policy), self.world
        ports, salt = up[-1].ports, self._salt(name)
        rendered = self.memo(render, name, name, sandbox, self.policy, world.owner, ports, world.sources, salt)
        return self._case(name, sandbox, rendered).planned("").synced

    def _within_limits(self, planned: SandboxPlan) -> SandboxPlan:
        """What is held runs on only for as long as it uses no more than the policy allows."""
        name = planned.sandbox
        stop = excessive(name, self.world.of(name), self.policy, self.memory.statuses.get(name))
        if stop is None or planned.actions or name in self.memory.in_flight:
            return planned
        cause, message, actions = stop.cause, stop.message, stop.actions
        return self._unless_in_backoff(
            replace(planned, verdict=Verdict.STOP, cause=cause, message=message, actions=actions)
        )

    def _removal(self, name: str, containers: tuple[Observed, ...]) -> SandboxPlan:
        if all(container.state is State.REMOVING for container in containers):
            return SandboxPlan(name, Verdict.WAIT, Reason.ENGINE_BUSY, "the engine is removing it")
        actions = tuple(stop_and_remove(containers))
        return SandboxPlan(
            name, Verdict.REMOVE, Reason.FILE_REMOVED, "its file is gone", actions, current=containers[-1]
        )

    def _refused(self, name: str, up: list[Observed], problems: tuple[Problem, ...]) -> SandboxPlan:
        """What the policy in force allows runs on, whatever the file asks for now."""
        said = "; ".join(map(str, problems[:PROBLEMS_TOLD]))
        if len(problems) > PROBLEMS_TOLD:
            said += f"; and {len(problems) - PROBLEMS_TOLD} more, see `reconciler validate`"
        if up:
            said += "; the last accepted version runs on"
        return SandboxPlan(name, Verdict.HOLD, Reason.POLICY_VIOLATION, said)

    def _outranked(self, planned: SandboxPlan) -> SandboxPlan:
        """What runs on is left as it is only while the policy allows it, and while nobody has changed it.

        A freeze withholds removals and replacements, and no stop.
        """
        name, up = planned.sandbox, [container for container in self.world.of(planned.sandbox) if container.up]
        wrong = {one.id: self._forbidden(one) for one in up}
        found = [why for container in up for why in wrong[container.id]]
        if found and self.policy.on_violation is OnViolation.STOP:
            actions = tuple(stops([one for one in up if wrong[one.id]], FORCED_GRACE_SECONDS))
            stop = replace(planned, verdict=Verdict.STOP, cause=Reason.POLICY_VIOLATION, message="; ".join(found))
            return self._unless_in_backoff(replace(stop, actions=actions, retry_at=0))
        if found:
            planned = replace(planned, message=f"{planned.message}; forbidden, and only reported: {found[0]}")
        return self._unchanged(name, planned, up)

    def _unchanged(self, name: str, planned: SandboxPlan, up: list[Observed]) -> SandboxPlan:
        """The lane, if nobody has changed what runs; else the change is shown and, unless suspended, undone."""
        found = tuple(change for one in up for change in self._changed(one))
        if not found:
            return planned
        told, last = "; ".join(map(str, found)), self.desired.last_good.get(name)
        if planned.cause is Reason.SUSPENDED or (last and last.sandbox.suspend is not None):
            return replace(planned, message=f"{planned.message}; somebody has changed it: {told}", changes=found)
        repaired = self._repaired(name, up[-1])
        if repaired is not None:
            return replace(repaired, problems=planned.problems)
        actions = tuple(stops(up, FORCED_GRACE_SECONDS))
        stop = replace(planned, verdict=Verdict.STOP, cause=Reason.DRIFTED, message=told, changes=found)
        return self._unless_in_backoff(replace(stop, actions=actions, retry_at=0))

    def _repaired(self, name: str, current: Observed) -> SandboxPlan | None:
        """Its replacement by what its file last said; None when that is not known, or would not mend it."""
        declaration = self.desired.last_good.get(name)
        known = declaration and all(volume.source in self.world.sources for volume in declaration.sandbox.volumes)
        if declaration is None or not known or declaration.sandbox.state is DesiredState.STOPPED:
            return None
        if violations(declaration, self.policy, self.world.sources):
            return None
        sandbox, world = effective(declaration.sandbox, self.policy), self.world
        rendered = render(name, sandbox, self.policy, world.owner, current.ports, world.sources, self._salt(name))
        planned = self._case(name, sandbox, rendered).planned("")
        return planned if planned.cause is Reason.DRIFTED else None

    def _approved(self, name: str) -> bool:
        return all(container.id in self.memory.approved for container in self.containers[name])

    def _unless_in_backoff(self, planned: SandboxPlan) -> SandboxPlan:
        status = self.memory.statuses.get(planned.sandbox)
        if planned.actions and status and backoff.is_in_backoff(status, backoff.STOP_AND_REMOVE, self.now):
            return backoff.wait(planned, status)
        return planned


def _in_flight(name: str) -> SandboxPlan:
    return SandboxPlan(name, Verdict.WAIT, Reason.IN_FLIGHT, "a lane is working on it")
