"""What to do for one sandbox that should run."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from reconciler.model.plan import (
    NEW,
    Action,
    Create,
    Lane,
    Pull,
    Reason,
    Remove,
    Rename,
    Start,
    Stop,
    Unpause,
    Verdict,
    Verify,
)
from reconciler.model.policy import Policy
from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.sandbox import PullPolicy, Restart, Sandbox
from reconciler.model.status import SandboxStatus
from reconciler.model.text import printable
from reconciler.model.world import Health, Observed, State, Unmanaged, World
from reconciler.planning import backoff
from reconciler.planning.attest import unfit
from reconciler.planning.changes import changes
from reconciler.planning.excess import excess, over_disk
from reconciler.planning.exits import exit_message
from reconciler.planning.fingerprint import EPOCH, is_about
from reconciler.planning.images import fitted
from reconciler.planning.recall import Recall

GRACE_SECONDS = 10
"""How long a container is given to stop when nothing says otherwise."""

FORCED_GRACE_SECONDS = 1
"""The longest that a container which has drifted, or is forbidden, is given: its own time was chosen by its author."""


@dataclass(frozen=True)
class Case:
    """One sandbox that should run, and what there is of it."""

    sandbox: Sandbox
    rendered: Rendered
    containers: tuple[Observed, ...]
    status: SandboxStatus
    policy: Policy
    world: World
    now: float
    recall: Recall

    @cached_property
    def mismatches(self) -> dict[str, tuple[Mismatch, ...]]:
        """What is not as rendered, of the containers that claim to be."""
        return {
            container.id: self.recall(unfit, container.id, self.rendered, container.inspection, self.world.network)
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
    def full(self) -> bool:
        """Whether the container that is meant to run has written too much: it is never started again as it is."""
        return self.current is not None and over_disk(self.policy, self.current, self.status)

    @property
    def standing(self) -> Observed | None:
        """The container that stands for the sandbox: the one that is meant to run, unless only an older one does."""
        if self.old is not None and self.old.up and not (self.current and self.current.up):
            return self.old
        return self.current

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, by its own restart rule."""
        current = self.current
        if current is None or current.state is not State.EXITED:
            return False
        if self.full or (current.id == self.status.noisy and self.sandbox.restart is Restart.NO):
            return True
        if current.id in self.status.halted:
            return False
        match self.sandbox.restart:
            case Restart.ALWAYS:
                return False
            case Restart.ON_FAILURE:
                return current.inspection.exit_code == 0
            case Restart.NO:
                return True

    @cached_property
    def with_a_slot(self) -> Lane:
        """What would be done if it had a place under the limit."""
        return self._lane("")

    @property
    def rank(self) -> tuple[int, int]:
        """The order of those that wait for a place under the limit.

        What has exited for the first time keeps its place. Then comes who has never failed, then who has failed and can
        be tried now, the fewest failures first: two that take turns would keep the place between them. Last comes who
        would not use the place now, as a failure rests or the engine or the network is not fit.
        """
        current, failure = self.current, self.status.failure
        failures = self.status.failures if self._same else 0
        if self.with_a_slot.verdict in {Verdict.WAIT, Verdict.HOLD}:
            return 3, failures
        exited = current is not None and current.state is State.EXITED and current.id not in self.status.halted
        if exited and (not failures or (failures == 1 and failure is not None and failure.reason in backoff.RUN)):
            return 0, 0
        return (2 if failures else 1), failures

    @property
    def _same(self) -> bool:
        """Whether what is remembered of failures is about what is rendered now."""
        return is_about(self.status, self.rendered) or self.status.epoch < EPOCH

    def lane(self, limit_message: str) -> Lane:
        """`limit_message` is not empty when it has no place under the limit."""
        lane = self._lane(limit_message) if limit_message else self.with_a_slot
        current = lane.current or self.standing
        return replace(lane, rendered=self.rendered, current=current, synced=self._is_synced(lane))

    def _is_synced(self, lane: Lane) -> bool:
        """Whether what runs, or has come to its end by itself, is what is declared, and nothing else runs."""
        current = self.current
        if current is None or self.mismatches[current.id] or lane.cause is Reason.LIMIT_EXCEEDED:
            return False
        exited = current.state is State.EXITED and current.id not in self.status.halted
        return (current.up or exited) and not any(other.up for other in self.others)

    def _lane(self, limit_message: str) -> Lane:
        name, current = self.rendered.sandbox, self.current
        up = [container for container in self.containers if container.up]
        if lane := excessive(name, up, self.policy, self.status):
            return self._rested(lane)
        if up and self.full and current is not None and (why := excess(self.policy, current, self.status)):
            return self._rested(Lane(name, Verdict.STOP, *why, tuple(stops(up, FORCED_GRACE_SECONDS))))
        if limit_message and up:
            return self._rested(Lane(name, Verdict.STOP, Reason.LIMIT_EXCEEDED, limit_message, tuple(stops(up))))
        if current is not None and current.up:
            return self._rested(self._up(current))
        if misfits := [other for other in self.others if not other.up and self.mismatches.get(other.id)]:
            found = "; ".join(str(mismatch) for misfit in misfits for mismatch in self.mismatches[misfit.id])
            return self._rested(Lane(name, Verdict.REMOVE, Reason.VERIFICATION_FAILED, found, tuple(disposal(misfits))))
        if self.ended and current is not None and not up:
            return self._end(current)
        if not up and (other := self.world.in_place_of(name)):
            return _kept_out(name, other, current)
        if limit_message:
            return Lane(name, Verdict.WAIT, Reason.LIMIT_EXCEEDED, limit_message)
        return self._start(up)

    def _up(self, current: Observed) -> Lane:
        name = self.rendered.sandbox
        drift = self.mismatches[current.id]
        if drift:
            actions = (*disposal([current], FORCED_GRACE_SECONDS), *self._creation(self.others))
            found = "; ".join(map(str, drift))
            lane = Lane(name, Verdict.REPLACE, Reason.DRIFTED, found, actions, changes=drift)
            resting = self._same and backoff.rests(self.status, backoff.START, self.now)
            if resting or self._startable(lane) is not lane:
                return replace(lane, actions=tuple(stops([current], FORCED_GRACE_SECONDS)))
            return lane
        if current.state is State.PAUSED:
            return Lane(name, Verdict.START, Reason.PAUSED, "somebody paused it", (Unpause(current.id),))
        if actions := tuple(disposal(self.others)):
            return Lane(name, Verdict.REPLACE, Reason.LEFTOVER, "an older container is left over", actions)
        if current.name != self.rendered.name and not backoff.rests(self.status, backoff.START, self.now):
            why = f"somebody renamed it to {printable(current.name)}"
            return Lane(name, Verdict.RENAME, Reason.RENAMED, why, (Rename(current.id, self.rendered.name),))
        match current.health:
            case None:
                return Lane(name, Verdict.KEEP, Reason.RUNNING)
            case Health.HEALTHY:
                return Lane(name, Verdict.KEEP, Reason.HEALTHY)
            case Health.STARTING:
                return Lane(name, Verdict.KEEP, Reason.STARTING, "its health check has not passed yet")
            case Health.UNHEALTHY:
                return self._unhealthy(current)

    def _unhealthy(self, current: Observed) -> Lane:
        """Restarted as what has exited is; while that rests, or nothing can be started, it stays up."""
        kept = Lane(self.rendered.sandbox, Verdict.KEEP, Reason.UNHEALTHY, current.inspection.health_message)
        if self.sandbox.restart is Restart.NO:
            return kept
        if backoff.rests(self.status, backoff.RUN, self.now):
            return replace(kept, retry_at=self.status.retry_at)
        actions = (*stops([current]), *self._restart(current).actions)
        lane = replace(kept, verdict=Verdict.START, actions=actions)
        return lane if self._startable(lane) is lane else kept

    def _end(self, current: Observed) -> Lane:
        inspection = current.inspection
        name, code = self.rendered.sandbox, inspection.exit_code
        if why := excess(self.policy, current, self.status):
            return Lane(name, Verdict.KEEP, *why)
        message = exit_message(inspection)
        if code or inspection.oom_killed:
            reason = Reason.OOM_KILLED if inspection.oom_killed else Reason.EXIT_CODE
            return Lane(name, Verdict.KEEP, reason, f"{message}, not restarted")
        return Lane(name, Verdict.KEEP, Reason.COMPLETED, message)

    def _start(self, up: list[Observed]) -> Lane:
        """What to do for a sandbox that has a place and no container running as it should."""
        name, current = self.rendered.sandbox, self.current
        hindered = backoff.START | backoff.DISPOSAL if up or self.status.doubtful else backoff.START
        if self._same and backoff.rests(self.status, hindered, self.now):
            return backoff.wait(Lane(name, Verdict.WAIT, Reason.NOT_STARTED), self.status)
        if current is not None and current.state in {State.REMOVING, State.DEAD}:
            return self._rested(self._gone(current))
        if current is not None:
            return self._startable(self._restart(current))
        if self.old is None:
            return self._startable(Lane(name, Verdict.CREATE, Reason.ABSENT, "", tuple(self._creation(()))))
        known = self.status.configuration if self.status.container_id == self.old.id else {}
        changed = changes(self.rendered, self.old.inspection, known)
        cause = Reason.CONFIGURATION_CHANGED
        if self.old.fingerprint == self.rendered.fingerprint:
            cause = Reason.PORTS_CHANGED
        message = "; ".join(f"{change.knob}: {change.actual} -> {change.expected}" for change in changed)
        actions = tuple(self._creation(self.others))
        return self._startable(Lane(name, Verdict.REPLACE, cause, message, actions, current=self.old, changes=changed))

    def _gone(self, current: Observed) -> Lane:
        name = self.rendered.sandbox
        if current.state is State.REMOVING:
            return Lane(name, Verdict.WAIT, Reason.ENGINE_BUSY, "the engine is removing its container")
        return Lane(name, Verdict.REMOVE, Reason.LEFTOVER, "its container is dead", (Remove(current.id),))

    def _restart(self, current: Observed) -> Lane:
        actions = tuple(self._started_after(self.others, current.id))
        name, cause = self.rendered.sandbox, Reason.NOT_STARTED
        if current.state is State.EXITED and current.id not in self.status.halted:
            return Lane(name, Verdict.START, Reason.EXITED, exit_message(current.inspection), actions)
        return Lane(name, Verdict.START, cause, "", actions)

    def _creation(self, before: tuple[Observed, ...]) -> Iterator[Action]:
        """New and verified first, then the old ones stopped, the new one started, the old ones removed.

        What holds the new one's name has to go before it is made, and what does not run before it is started.
        """
        in_the_way = [other for other in before if other.name == self.rendered.name]
        rest = [other for other in before if other not in in_the_way]
        image = self.world.images.get(self.rendered.image)
        if self.sandbox.pull_policy is PullPolicy.ALWAYS or (
            self.sandbox.pull_policy is PullPolicy.MISSING and image is None
        ):
            yield Pull(self.rendered.image)
        yield from disposal(in_the_way)
        yield Create(fitted(self.rendered, image))
        yield from self._started_after(rest, NEW)

    def _started_after(self, others: Sequence[Observed], container: str) -> Iterator[Action]:
        """What cannot be started stops nobody; and nothing is started that was changed while another one stopped."""
        yield Verify(self.rendered, container)
        if way := tuple(self._making_way(others)):
            yield from way
            yield Verify(self.rendered, container)
        yield Start(container)
        if self.rendered.spec.volumes:  # which the engine looks up anew at each start
            yield Verify(self.rendered, container)
        yield from removes(filter(self._is_sure, others))

    def _making_way(self, others: Sequence[Observed]) -> Iterator[Action]:
        """What must happen so that none of the others runs beside the one that is started next.

        A start that got no answer may happen late, and a controller that has lost its state does not know of it: what
        does not run is of no use, and goes first.
        """
        yield from stops(other for other in others if other.up)
        yield from removes(other for other in others if not self._is_sure(other))

    def _is_sure(self, other: Observed) -> bool:
        """Whether a container stays down once it was stopped."""
        return other.up and other.id != self.status.doubtful

    def _startable(self, lane: Lane) -> Lane:
        """The lane, or why nothing may be started for this sandbox, or on this engine, now."""
        if other := self.world.in_place_of(lane.sandbox):
            return _kept_out(lane.sandbox, other, lane.current)
        if not self.world.engine.seccomp:
            why = "the engine has no seccomp, without which no sandbox is started"
            return Lane(lane.sandbox, Verdict.WAIT, Reason.SECCOMP_MISSING, why, current=lane.current)
        network = self.world.network
        if network is not None and self.sandbox.network_mode is None and (network.why_unfit or network.unfiltered):
            why = f"{network.unfiltered}; see `reconciler doctor`"
            if network.why_unfit:
                why = f"{network.why_unfit}; remove the network: {network.name}"
            return Lane(lane.sandbox, Verdict.WAIT, Reason.NETWORK_UNFIT, why, current=lane.current)
        return lane

    def _rested(self, lane: Lane) -> Lane:
        if lane.actions and backoff.rests(self.status, backoff.DISPOSAL, self.now):
            return backoff.wait(lane, self.status)
        return lane


def _kept_out(name: str, other: Unmanaged, current: Observed | None) -> Lane:
    """Nothing is started beside a container that stands for the sandbox and is not ours."""
    verdict, cause = (Verdict.HOLD, Reason.OWNED_BY_ANOTHER) if other.source else (Verdict.WAIT, Reason.UNMANAGED)
    remedy = f"`--adopt {shlex.quote(other.source)}` takes it over" if other.source else "remove it, or its labels"
    why = "owned by another source" if other.source else other.why
    why = printable(f"{why}; {remedy} (container {other.name}, {other.id[:12]})")
    return Lane(name, verdict, cause, why, current=current)


def excessive(name: str, containers: Iterable[Observed], policy: Policy, status: SandboxStatus | None) -> Lane | None:
    """The stop of what uses more than the policy allows; None when nothing does."""
    up = [container for container in containers if container.up]
    found = [(one, why) for one in up if status and (why := excess(policy, one, status))]
    if not found:
        return None
    actions = tuple(stops((one for one, _ in found), FORCED_GRACE_SECONDS))
    return Lane(name, Verdict.STOP, *found[0][1], actions)


def stops(containers: Iterable[Observed], grace_seconds_max: int | None = None) -> Iterator[Action]:
    for container in containers:
        spec = container.inspection.spec
        own = spec.stop_grace_period if spec else None
        grace = GRACE_SECONDS if own is None else own
        yield Stop(container.id, grace if grace_seconds_max is None else min(grace, grace_seconds_max))


def removes(containers: Iterable[Observed]) -> Iterator[Action]:
    for container in containers:
        if container.state is not State.REMOVING:
            yield Remove(container.id)


def disposal(containers: Sequence[Observed], grace_seconds_max: int | None = None) -> Iterator[Action]:
    for container in containers:
        if container.up:
            yield from stops([container], grace_seconds_max)
    yield from removes(containers)
