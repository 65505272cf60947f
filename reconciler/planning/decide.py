"""All choices: what should be, what is and what is remembered come in, a plan comes out.

Nowhere else does desired meet observed. Nothing here reads a clock, draws a number or calls anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from reconciler.model.desired import Desired
from reconciler.model.errors import Problem
from reconciler.model.labels import PREFIX, network_name
from reconciler.model.plan import (
    NEW,
    Action,
    Create,
    CreateNetwork,
    Lane,
    Plan,
    Pull,
    Reason,
    Removals,
    Remove,
    Start,
    Stop,
    Unpause,
    Verdict,
    Verify,
)
from reconciler.model.policy import OnViolation, Policy
from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.sandbox import DesiredState, PullPolicy, Restart, Sandbox
from reconciler.model.status import SandboxStatus
from reconciler.model.world import Health, Observed, State, World
from reconciler.planning import backoff
from reconciler.planning.attest import attest, stranded
from reconciler.planning.judge import effective, judge
from reconciler.planning.ports import allot
from reconciler.planning.render import render

GRACE_SECONDS = 10
"""How long a container is given to stop when nothing says otherwise."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the controller knows besides files and engine.

    `directory` is the identity of the directory at the last scan that counted. `approved` are ids of containers whose
    removal an operator approved. `in_flight` are sandboxes that a lane is working on. `seed` is a number drawn at
    random, for the choice of ports.
    """

    statuses: Mapping[str, SandboxStatus]
    directory: tuple[int, int] | None = None
    approved: frozenset[str] = frozenset()
    in_flight: frozenset[str] = frozenset()
    seed: int = 0


def decide(desired: Desired, policy: Policy, world: World, memory: Memory, now: float) -> Plan:
    """The plan of one pass; `now` is in seconds since the epoch."""
    return _Decision(desired, policy, world, memory, now).plan()


class _Decision:
    """One call of `decide`: its arguments, and what follows from them."""

    def __init__(self, desired: Desired, policy: Policy, world: World, memory: Memory, now: float) -> None:
        self.desired, self.policy, self.world, self.memory, self.now = desired, policy, world, memory, now
        self.containers: dict[str, list[Observed]] = {}
        for container in sorted(world.containers, key=lambda container: (container.created_at, container.id)):
            self.containers.setdefault(container.sandbox, []).append(container)
        self.problems = {
            name: judge(declaration, policy, world.sources) for name, declaration in desired.declared.items()
        }

    def plan(self) -> Plan:
        unwanted, withheld = self._unwanted()
        wanted = self._wanted(unwanted)
        needs_network = any(isinstance(action, Create) for lane in wanted for action in lane.actions)
        setup: tuple[Action, ...] = ()
        if needs_network and self.world.network is None:
            setup = (CreateNetwork(network_name(self.world.instance)),)
        return Plan(setup, tuple(sorted(unwanted + wanted, key=lambda lane: lane.sandbox)), withheld)

    # --- the sandboxes that should run ---------------------------------------------------------------------------

    @cached_property
    def running(self) -> dict[str, Sandbox]:
        """The effective sandboxes that are declared, accepted, and meant to run."""
        return {
            name: effective(declaration.sandbox, self.policy)
            for name, declaration in self.desired.declared.items()
            if not self.problems[name]
            and declaration.sandbox.suspend is None
            and declaration.sandbox.state is DesiredState.RUNNING
        }

    @cached_property
    def rendered(self) -> dict[str, Rendered]:
        ports = allot(self.running, self.world, self.memory.statuses, self.memory.seed)
        return {
            name: render(name, sandbox, self.policy, self.world.instance, ports[name], self.world.sources)
            for name, sandbox in self.running.items()
        }

    def _wanted(self, unwanted: list[Lane]) -> list[Lane]:
        cases = {name: self._case(name) for name in self.running if name not in self.memory.in_flight}
        admitted, message = self._admission(cases, unwanted)
        lanes = [_in_flight(name) for name in self.memory.in_flight & self.running.keys()]
        return lanes + [case.lane(message if name not in admitted else "") for name, case in cases.items()]

    def _case(self, name: str) -> "_Case":
        return _Case(
            sandbox=self.running[name],
            rendered=self.rendered[name],
            containers=tuple(self.containers.get(name, ())),
            status=self.memory.statuses.get(name) or SandboxStatus(name=name),
            policy=self.policy,
            world=self.world,
            now=self.now,
        )

    def _admission(self, cases: Mapping[str, "_Case"], unwanted: list[Lane]) -> tuple[set[str], str]:
        """The sandboxes that have a place under the limit, and the sentence for those that have none.

        Who runs keeps its place; the others get one in the order of their rank, then their name. A place is free only
        when its container has really stopped.
        """
        limit = self.policy.sandboxes_max
        busy = self.memory.in_flight
        up = {name for name, found in self.containers.items() if any(container.up for container in found)}
        staying = busy | {lane.sandbox for lane in unwanted if lane.sandbox in up and not lane.actions}
        keepers = sorted(name for name in cases if name in up)[: max(0, limit - len(staying))]
        taken = sum(container.up for container in self.world.containers) + len(busy - up)
        waiting = sorted(
            (name for name, case in cases.items() if name not in up and not case.ended),
            key=lambda name: (cases[name].rank, name),
        )
        starters = waiting[: max(0, limit - taken)]
        ended = {name for name, case in cases.items() if case.ended and name not in up}
        holders = sorted({*keepers, *staying, *(up - cases.keys()), *starters})
        message = (
            f"the limit of {limit} running sandboxes is reached; "
            f"places are held by {', '.join(holders) or 'nobody'}; remove or stop one of them, or raise sandboxes_max"
        )
        return {*keepers, *starters, *ended}, message

    # --- the sandboxes that should not ---------------------------------------------------------------------------

    def _unwanted(self) -> tuple[list[Lane], Removals]:
        names = {*self.desired.declared, *self.desired.broken, *self.containers} - self.running.keys()
        lanes = {name: self._unwanted_lane(name) for name in names}
        removals = {name for name, lane in lanes.items() if lane.cause is Reason.FILE_REMOVED}
        reason, why = self._freeze(removals)
        withheld = {name for name in removals if reason and not self._approved(name)}
        for name in withheld:
            lanes[name] = Lane(name, Verdict.HOLD, reason or Reason.FILE_REMOVED, why)
        approvable = withheld if reason is not Reason.DIRECTORY_UNREADABLE else set()
        ids = {name: tuple(container.id for container in self.containers[name]) for name in sorted(approvable)}
        return list(lanes.values()), Removals(ids, reason if approvable else None)

    def _unwanted_lane(self, name: str) -> Lane:
        containers = self.containers.get(name, [])
        up = [container for container in containers if container.up]
        declaration = self.desired.declared.get(name)
        if name in self.memory.in_flight:
            return _in_flight(name)
        if name in self.desired.broken:
            return Lane(name, Verdict.HOLD, Reason.INVALID_FILE, str(self.desired.broken[name][0]))
        if declaration is None:
            return self._rested(self._removal(name, containers))
        if declaration.sandbox.suspend is not None:
            return Lane(name, Verdict.HOLD, Reason.SUSPENDED, declaration.sandbox.suspend)
        if self.problems[name]:
            return self._rested(self._refused(name, up, self.problems[name]))
        if up:
            return self._rested(
                Lane(name, Verdict.STOP, Reason.STOP_DECLARED, "the file says `state: stopped`", tuple(_stops(up)))
            )
        return Lane(name, Verdict.KEEP, Reason.STOPPED)

    def _removal(self, name: str, containers: list[Observed]) -> Lane:
        if all(container.state is State.REMOVING for container in containers):
            return Lane(name, Verdict.WAIT, Reason.ENGINE_BUSY, "the engine is removing it")
        actions = tuple(_disposal(containers))
        return Lane(name, Verdict.REMOVE, Reason.FILE_REMOVED, "its file is gone", actions, current=containers[-1])

    def _refused(self, name: str, up: list[Observed], problems: tuple[Problem, ...]) -> Lane:
        """What was accepted under the policy in force runs on; what a changed policy rejects is stopped."""
        said = "; ".join(map(str, problems))
        status = self.memory.statuses.get(name)
        if up and all(_accepted_under(self.policy, container, status) for container in up):
            return Lane(name, Verdict.HOLD, Reason.POLICY_VIOLATION, f"{said}; the last accepted version runs on")
        if up and self.policy.on_violation is OnViolation.REPORT:
            return Lane(name, Verdict.HOLD, Reason.POLICY_VIOLATION, f"{said}; it runs on: on_violation is report")
        if up:
            return Lane(name, Verdict.STOP, Reason.POLICY_VIOLATION, said, tuple(_stops(up)))
        return Lane(name, Verdict.HOLD, Reason.POLICY_VIOLATION, said)

    def _freeze(self, removals: set[str]) -> tuple[Reason | None, str]:
        """Why removals must not happen now, if they must not."""
        if not removals:
            return None, ""
        if not self.desired.sound:
            return Reason.DIRECTORY_UNREADABLE, "the directory cannot be read, so nothing is removed"
        if self.desired.empty and self.desired.directory != self.memory.directory:
            return (
                Reason.DIRECTORY_REPLACED,
                "the directory is empty and another one than before; `reconciler approve` removes all the same",
            )
        going = {name for name in removals if not self._approved(name)}
        going |= self.memory.in_flight - self.desired.declared.keys() - self.desired.broken.keys()
        running = sum(any(container.up for container in found) for found in self.containers.values())
        budget = self.policy.removals
        if len(going) > budget.max and len(going) > budget.share * running:
            return (
                Reason.REMOVAL_BUDGET_EXCEEDED,
                f"{len(going)} removals at once, with {running} running, are over the budget of {budget.max} or "
                f"{budget.share:.0%}; `reconciler approve` lets them happen",
            )
        return None, ""

    def _approved(self, name: str) -> bool:
        return all(container.id in self.memory.approved for container in self.containers[name])

    def _rested(self, lane: Lane) -> Lane:
        status = self.memory.statuses.get(lane.sandbox)
        if lane.actions and status and backoff.rests(status, backoff.DISPOSAL, self.now):
            return backoff.wait(lane, status)
        return lane


@dataclass(frozen=True)
class _Case:
    """One sandbox that should run, and what there is of it."""

    sandbox: Sandbox
    rendered: Rendered
    containers: tuple[Observed, ...]
    status: SandboxStatus
    policy: Policy
    world: World
    now: float

    @cached_property
    def mismatches(self) -> dict[str, tuple[Mismatch, ...]]:
        """What is not as rendered, of the containers that claim to be."""
        return {
            container.id: attest(self.rendered, container.inspection)
            + stranded(self.rendered, container.inspection, self.world.network)
            for container in self.containers
            if container.fingerprint == self.rendered.fingerprint and container.ports == self.rendered.ports
        }

    @cached_property
    def current(self) -> Observed | None:
        """The container that is meant to run: what already runs goes before what does not, then the newest."""
        claiming = [container for container in self.containers if container.id in self.mismatches]
        fit = [container for container in claiming if container.up or not self.mismatches[container.id]]
        return max(fit, key=lambda container: (container.up, container.created_at), default=None)

    @cached_property
    def others(self) -> tuple[Observed, ...]:
        return tuple(container for container in self.containers if container is not self.current)

    @cached_property
    def old(self) -> Observed | None:
        """The container that a new one would replace."""
        return max(self.others, key=lambda container: (container.up, container.created_at), default=None)

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, by its own restart rule."""
        current = self.current
        if current is None or current.state is not State.EXITED or current.id == self.status.halted:
            return False
        match self.sandbox.restart:
            case Restart.ALWAYS:
                return False
            case Restart.ON_FAILURE:
                return current.inspection.exit_code == 0
            case Restart.NO:
                return True

    @property
    def rank(self) -> int:
        """The order of those that wait for a place: what ran before, what is new, what has only ever failed.

        Of the last, those that would rest come after those that would try, so that nobody is kept waiting by failures.
        """
        if self.current is not None and self.current.state is State.EXITED:
            return 0
        if not self.status.failures:
            return 1
        return 3 if backoff.rests(self.status, backoff.START, self.now) else 2

    def lane(self, limit_message: str) -> Lane:
        """`limit_message` is not empty when it has no place under the limit."""
        lane = self._lane(limit_message)
        return replace(lane, rendered=self.rendered, current=lane.current or self.current)

    def _lane(self, limit_message: str) -> Lane:
        name, current = self.rendered.sandbox, self.current
        up = [container for container in self.containers if container.up]
        if limit_message and up:
            return self._rested(Lane(name, Verdict.STOP, Reason.LIMIT_EXCEEDED, limit_message, tuple(_stops(up))))
        if current is not None and current.up:
            return self._rested(self._up(current))
        if misfits := [other for other in self.others if not other.up and self.mismatches.get(other.id)]:
            found = "; ".join(str(mismatch) for misfit in misfits for mismatch in self.mismatches[misfit.id])
            return self._rested(
                Lane(name, Verdict.REMOVE, Reason.VERIFICATION_FAILED, found, tuple(_disposal(misfits)))
            )
        if self.ended and current is not None and not up:
            return self._end(current)
        if limit_message:
            return Lane(name, Verdict.WAIT, Reason.LIMIT_EXCEEDED, limit_message)
        return self._start(up)

    def _up(self, current: Observed) -> Lane:
        name = self.rendered.sandbox
        drift = self.mismatches[current.id]
        if drift:
            actions = (*_disposal([current]), *self._creation(self.others))
            found = "; ".join(map(str, drift))
            lane = Lane(name, Verdict.REPLACE, Reason.DRIFTED, found, actions, changes=drift)
            return lane if self._startable(lane) is lane else replace(lane, actions=tuple(_stops([current])))
        if current.state is State.PAUSED:
            return Lane(name, Verdict.START, Reason.PAUSED, "somebody paused it", (Unpause(current.id),))
        if actions := tuple(_disposal(self.others)):
            return Lane(name, Verdict.REPLACE, Reason.LEFTOVER, "an older container is left over", actions)
        match current.health:
            case None:
                return Lane(name, Verdict.KEEP, Reason.RUNNING)
            case Health.HEALTHY:
                return Lane(name, Verdict.KEEP, Reason.HEALTHY)
            case Health.STARTING:
                return Lane(name, Verdict.KEEP, Reason.STARTING, "its health check has not passed yet")
            case Health.UNHEALTHY:
                said = current.inspection.health_output.strip()
                return Lane(name, Verdict.KEEP, Reason.UNHEALTHY, "its health check fails" + (said and f": {said}"))

    def _end(self, current: Observed) -> Lane:
        inspection = current.inspection
        name, code = self.rendered.sandbox, inspection.exit_code
        if inspection.oom_killed:
            return Lane(name, Verdict.KEEP, Reason.OOM_KILLED, "it ran out of memory and is not restarted")
        if code:
            return Lane(name, Verdict.KEEP, Reason.EXIT_CODE, f"it exited with code {code} and is not restarted")
        return Lane(name, Verdict.KEEP, Reason.COMPLETED, "it exited with code 0")

    def _start(self, up: list[Observed]) -> Lane:
        """What to do for a sandbox that has a place and no container running as it should."""
        name, current = self.rendered.sandbox, self.current
        same = self.status.fingerprint == self.rendered.fingerprint
        if same and backoff.rests(self.status, backoff.START, self.now):
            outdated = [container for container in up if not _accepted_under(self.policy, container, self.status)]
            if outdated and self.policy.on_violation is OnViolation.STOP:
                why = "it was accepted under an earlier policy, and its replacement fails"
                return Lane(name, Verdict.STOP, Reason.POLICY_VIOLATION, why, tuple(_stops(outdated)))
            return backoff.wait(Lane(name, Verdict.WAIT, Reason.NOT_STARTED), self.status)
        if current is not None and current.state in {State.REMOVING, State.DEAD}:
            return self._rested(self._gone(current))
        if current is not None:
            return self._startable(self._restart(current))
        if self.old is None:
            return self._startable(Lane(name, Verdict.CREATE, Reason.ABSENT, "", tuple(self._creation(()))))
        changes = tuple(filter(_is_said, attest(self.rendered, self.old.inspection)))
        cause = Reason.CONFIGURATION_CHANGED
        if self.old.fingerprint == self.rendered.fingerprint:
            cause = Reason.PORTS_CHANGED
        message = "; ".join(f"{change.knob}: {change.actual} -> {change.expected}" for change in changes)
        actions = tuple(self._creation(self.others))
        return self._startable(Lane(name, Verdict.REPLACE, cause, message, actions, current=self.old, changes=changes))

    def _gone(self, current: Observed) -> Lane:
        name = self.rendered.sandbox
        if current.state is State.REMOVING:
            return Lane(name, Verdict.WAIT, Reason.ENGINE_BUSY, "the engine is removing its container")
        return Lane(name, Verdict.REMOVE, Reason.LEFTOVER, "its container is dead", (Remove(current.id),))

    def _restart(self, current: Observed) -> Lane:
        actions = (
            Verify(self.rendered, current.id),
            *_stops(other for other in self.others if other.up),
            Start(current.id),
            *_removes(self.others),
        )
        name, cause = self.rendered.sandbox, Reason.NOT_STARTED
        if current.state is State.EXITED and current.id != self.status.halted:
            code = current.inspection.exit_code
            killed = ", out of memory" if current.inspection.oom_killed else ""
            return Lane(name, Verdict.START, Reason.EXITED, f"it exited with code {code}{killed}", actions)
        return Lane(name, Verdict.START, cause, "", actions)

    def _creation(self, before: tuple[Observed, ...]) -> Iterator[Action]:
        """New and verified first, then the old ones stopped, the new one started, the old ones removed.

        Only what holds the new one's name has to go before.
        """
        in_the_way = [other for other in before if other.name == self.rendered.name]
        rest = [other for other in before if other not in in_the_way]
        image = self.world.images.get(self.rendered.image)
        if self.sandbox.pull_policy is PullPolicy.ALWAYS or (
            self.sandbox.pull_policy is PullPolicy.MISSING and image is None
        ):
            yield Pull(self.rendered.image)
        yield from _disposal(in_the_way)
        yield Create(self.rendered)
        yield Verify(self.rendered)
        yield from _stops(other for other in rest if other.up)
        yield Start(NEW)
        yield from _removes(rest)

    def _startable(self, lane: Lane) -> Lane:
        """The lane, or why nothing may be started on this engine now."""
        if not self.world.engine.seccomp:
            why = "the engine has no seccomp, without which no sandbox is started"
            return Lane(lane.sandbox, Verdict.WAIT, Reason.SECCOMP_MISSING, why, current=lane.current)
        network = self.world.network
        if network is not None and network.why_unfit and self.sandbox.network_mode is None:
            why = f"network {network.name} {network.why_unfit}; remove it, and it is created anew"
            return Lane(lane.sandbox, Verdict.WAIT, Reason.NETWORK_UNFIT, why, current=lane.current)
        return lane

    def _rested(self, lane: Lane) -> Lane:
        if lane.actions and backoff.rests(self.status, backoff.DISPOSAL, self.now):
            return backoff.wait(lane, self.status)
        return lane


def _is_said(change: Mismatch) -> bool:
    """Whether a change is one that somebody asked for, and not only follows from another."""
    return not change.knob.startswith(f"labels.{PREFIX}") and change.knob != "HostConfig.MemorySwap"


def _accepted_under(policy: Policy, container: Observed, status: SandboxStatus | None) -> bool:
    attested = status.attested if status else None
    if attested and attested.container_id == container.id:
        return attested.ok and attested.policy == policy.fingerprint
    return container.policy == policy.fingerprint


def _in_flight(name: str) -> Lane:
    return Lane(name, Verdict.WAIT, Reason.IN_FLIGHT, "a lane is working on it")


def _stops(containers: "Iterator[Observed] | list[Observed]") -> Iterator[Action]:
    for container in containers:
        config = container.inspection.raw.get("Config") or {}
        grace = config.get("StopTimeout")
        yield Stop(container.id, GRACE_SECONDS if grace is None else int(grace))


def _removes(containers: "tuple[Observed, ...] | list[Observed]") -> Iterator[Action]:
    for container in containers:
        if container.state is not State.REMOVING:
            yield Remove(container.id)


def _disposal(containers: "tuple[Observed, ...] | list[Observed]") -> Iterator[Action]:
    for container in containers:
        if container.up:
            yield from _stops([container])
    yield from _removes(containers)
