"""What to do for one sandbox that should run."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from reconciler.model.plan import (
    NEW,
    Action,
    Create,
    Pull,
    Reason,
    Remove,
    Rename,
    SandboxPlan,
    Start,
    Stop,
    Unpause,
    Verdict,
    Verify,
)
from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.status import SandboxStatus
from reconciler.model.world import Health, Observed, State, Unmanaged, World
from reconciler.planning import backoff
from reconciler.planning.attest import start_blockers
from reconciler.planning.changes import changes
from reconciler.planning.excess import excess, over_disk
from reconciler.planning.exits import exit_message
from reconciler.planning.fingerprint import EPOCH, is_about
from reconciler.planning.images import fitted
from reconciler.planning.memo import Memo
from reconciler.planning.unfit import unfit
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import PullPolicy, Restart, Sandbox
from reconciler.spec.text import printable

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
    memo: Memo

    @cached_property
    def mismatches(self) -> dict[str, tuple[Mismatch, ...]]:
        """What is not as rendered, of the containers that claim to be."""
        return {
            container.id: self.memo(
                start_blockers, container.id, self.rendered, container.inspection, self.world.network
            )
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
        if self.full or (current.id == self.status.over_log_rate and self.sandbox.restart is Restart.NO):
            return True
        if current.id in self.status.stopped_by_us:
            return False
        match self.sandbox.restart:
            case Restart.ALWAYS:
                return False
            case Restart.ON_FAILURE:
                return current.inspection.exit_code == 0
            case Restart.NO:
                return True

    @cached_property
    def with_a_slot(self) -> SandboxPlan:
        """What would be done if it had a place under the limit."""
        return self._planned("")

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
        exited = current is not None and current.state is State.EXITED and current.id not in self.status.stopped_by_us
        if exited and (not failures or (failures == 1 and failure is not None and failure.reason in backoff.RUN)):
            return 0, 0
        return (2 if failures else 1), failures

    @property
    def _same(self) -> bool:
        """Whether what is remembered of failures is about what is rendered now."""
        return is_about(self.status, self.rendered) or self.status.epoch < EPOCH

    def planned(self, limit_message: str) -> SandboxPlan:
        """`limit_message` is not empty when it has no place under the limit."""
        planned = self._planned(limit_message) if limit_message else self.with_a_slot
        current = planned.current or self.standing
        return replace(planned, rendered=self.rendered, current=current, synced=self._is_synced(planned))

    def _is_synced(self, planned: SandboxPlan) -> bool:
        """Whether what runs, or has come to its end by itself, is what is declared, and nothing else runs."""
        current = self.current
        if current is None or self.mismatches[current.id] or planned.cause is Reason.LIMIT_EXCEEDED:
            return False
        exited = current.state is State.EXITED and current.id not in self.status.stopped_by_us
        return (current.up or exited) and not any(other.up for other in self.others)

    def _planned(self, limit_message: str) -> SandboxPlan:
        name, current = self.rendered.sandbox, self.current
        up = [container for container in self.containers if container.up]
        if planned := excessive(name, up, self.policy, self.status):
            return self._unless_in_backoff(planned)
        if up and self.full and current is not None and (why := excess(self.policy, current, self.status)):
            return self._unless_in_backoff(
                SandboxPlan(name, Verdict.STOP, *why, tuple(stops(up, FORCED_GRACE_SECONDS)))
            )
        if limit_message and up:
            return self._unless_in_backoff(
                SandboxPlan(name, Verdict.STOP, Reason.LIMIT_EXCEEDED, limit_message, tuple(stops(up)))
            )
        if current is not None and current.up:
            return self._unless_in_backoff(self._up(current))
        if misfits := [other for other in self.others if not other.up and self.mismatches.get(other.id)]:
            found = "; ".join(str(mismatch) for misfit in misfits for mismatch in self.mismatches[misfit.id])
            return self._unless_in_backoff(
                SandboxPlan(name, Verdict.REMOVE, Reason.VERIFICATION_FAILED, found, tuple(stop_and_remove(misfits)))
            )
        if self.ended and current is not None and not up:
            return self._end(current)
        if not up and (other := self.world.in_place_of(name)):
            return _kept_out(name, other, current)
        if limit_message:
            return SandboxPlan(name, Verdict.WAIT, Reason.LIMIT_EXCEEDED, limit_message)
        return self._start(up)

    def _up(self, current: Observed) -> SandboxPlan:
        name = self.rendered.sandbox
        drift = self.mismatches[current.id]
        if drift:
            actions = (*stop_and_remove([current], FORCED_GRACE_SECONDS), *self._creation(self.others))
            found = "; ".join(map(str, drift))
            planned = SandboxPlan(name, Verdict.REPLACE, Reason.DRIFTED, found, actions, changes=drift)
            in_backoff = self._same and backoff.is_in_backoff(self.status, backoff.START, self.now)
            if in_backoff or self._startable(planned) is not planned:
                return replace(planned, actions=tuple(stops([current], FORCED_GRACE_SECONDS)))
            return planned
        if current.state is State.PAUSED:
            return SandboxPlan(name, Verdict.START, Reason.PAUSED, "somebody paused it", (Unpause(current.id),))
        if actions := tuple(stop_and_remove(self.others)):
            return SandboxPlan(name, Verdict.REPLACE, Reason.LEFTOVER, "an older container is left over", actions)
        if current.name != self.rendered.name and not backoff.is_in_backoff(self.status, backoff.START, self.now):
            why = f"somebody renamed it to {printable(current.name)}"
            return SandboxPlan(name, Verdict.RENAME, Reason.RENAMED, why, (Rename(current.id, self.rendered.name),))
        match current.health:
            case None:
                return SandboxPlan(name, Verdict.KEEP, Reason.RUNNING)
            case Health.HEALTHY:
                return SandboxPlan(name, Verdict.KEEP, Reason.HEALTHY)
            case Health.STARTING:
                return SandboxPlan(name, Verdict.KEEP, Reason.STARTING, "its health check has not passed yet")
            case Health.UNHEALTHY:
                return self._unhealthy(current)

    def _unhealthy(self, current: Observed) -> SandboxPlan:
        """Restarted as what has exited is; while that rests, or nothing can be started, it stays up."""
        kept = SandboxPlan(self.rendered.sandbox, Verdict.KEEP, Reason.UNHEALTHY, current.inspection.health_message)
        if self.sandbox.restart is Restart.NO:
            return kept
        if backoff.is_in_backoff(self.status, backoff.RUN, self.now):
            return replace(kept, retry_at=self.status.retry_at)
        actions = (*stops([current]), *self._restart(current).actions)
        planned = replace(kept, verdict=Verdict.START, actions=actions)
        return planned if self._startable(planned) is planned else kept

    def _end(self, current: Observed) -> SandboxPlan:
        inspection = current.inspection
        name, code = self.rendered.sandbox, inspection.exit_code
        if why := excess(self.policy, current, self.status):
            return SandboxPlan(name, Verdict.KEEP, *why)
        message = exit_message(inspection)
        if code or inspection.oom_killed:
            reason = Reason.OOM_KILLED if inspection.oom_killed else Reason.EXIT_CODE
            return SandboxPlan(name, Verdict.KEEP, reason, f"{message}, not restarted")
        return SandboxPlan(name, Verdict.KEEP, Reason.COMPLETED, message)

    def _start(self, up: list[Observed]) -> SandboxPlan:
        """What to do for a sandbox that has a place and no container running as it should."""
        name, current = self.rendered.sandbox, self.current
        hindered = backoff.START | backoff.STOP_AND_REMOVE if up or self.status.unconfirmed_start else backoff.START
        if self._same and backoff.is_in_backoff(self.status, hindered, self.now):
            return backoff.wait(SandboxPlan(name, Verdict.WAIT, Reason.NOT_STARTED), self.status)
        if current is not None and current.state in {State.REMOVING, State.DEAD}:
            return self._unless_in_backoff(self._gone(current))
        if current is not None:
            return self._startable(self._restart(current))
        if self.old is None:
            return self._startable(SandboxPlan(name, Verdict.CREATE, Reason.ABSENT, "", tuple(self._creation(()))))
        known = self.status.configuration if self.status.container_id == self.old.id else {}
        changed = changes(self.rendered, self.old.inspection, known)
        cause = Reason.CONFIGURATION_CHANGED
        if self.old.fingerprint == self.rendered.fingerprint:
            cause = Reason.PORTS_CHANGED
        message = "; ".join(f"{change.knob}: {change.actual} -> {change.expected}" for change in changed)
        actions = tuple(self._creation(self.others))
        return self._startable(
            SandboxPlan(name, Verdict.REPLACE, cause, message, actions, current=self.old, changes=changed)
        )

    def _gone(self, current: Observed) -> SandboxPlan:
        name = self.rendered.sandbox
        if current.state is State.REMOVING:
            return SandboxPlan(name, Verdict.WAIT, Reason.ENGINE_BUSY, "the engine is removing its container")
        return SandboxPlan(name, Verdict.REMOVE, Reason.LEFTOVER, "its container is dead", (Remove(current.id),))

    def _restart(self, current: Observed) -> SandboxPlan:
        actions = tuple(self._started_after(self.others, current.id))
        name, cause = self.rendered.sandbox, Reason.NOT_STARTED
        if current.state is State.EXITED and current.id not in self.status.stopped_by_us:
            return SandboxPlan(name, Verdict.START, Reason.EXITED, exit_message(current.inspection), actions)
        return SandboxPlan(name, Verdict.START, cause, "", actions)

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
        yield from stop_and_remove(in_the_way)
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
        return other.up and other.id != self.status.unconfirmed_start

    def _startable(self, planned: SandboxPlan) -> SandboxPlan:
        """The lane, or why nothing may be started for this sandbox, or on this engine, now."""
        if other := self.world.in_place_of(planned.sandbox):
            return _kept_out(planned.sandbox, other, planned.current)
        if why := unfit(self.sandbox, self.world):
            return SandboxPlan(planned.sandbox, Verdict.WAIT, *why, current=planned.current)
        return planned

    def _unless_in_backoff(self, planned: SandboxPlan) -> SandboxPlan:
        if planned.actions and backoff.is_in_backoff(self.status, backoff.STOP_AND_REMOVE, self.now):
            return backoff.wait(planned, self.status)
        return planned


def _kept_out(name: str, other: Unmanaged, current: Observed | None) -> SandboxPlan:
    """Nothing is started beside a container that stands for the sandbox and is not ours."""
    verdict, cause = (Verdict.HOLD, Reason.OWNED_BY_ANOTHER) if other.source else (Verdict.WAIT, Reason.UNMANAGED)
    remedy = f"`--adopt {shlex.quote(other.source)}` takes it over" if other.source else "remove it, or its labels"
    why = "owned by another source" if other.source else other.why
    why = printable(f"{why}; {remedy} (container {other.name}, {other.id[:12]})")
    return SandboxPlan(name, verdict, cause, why, current=current)


def excessive(
    name: str, containers: Iterable[Observed], policy: Policy, status: SandboxStatus | None
) -> SandboxPlan | None:
    """The stop of what uses more than the policy allows; None when nothing does."""
    up = [container for container in containers if container.up]
    found = [(one, why) for one in up if status and (why := excess(policy, one, status))]
    if not found:
        return None
    actions = tuple(stops((one for one, _ in found), FORCED_GRACE_SECONDS))
    return SandboxPlan(name, Verdict.STOP, *found[0][1], actions)


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


def stop_and_remove(containers: Sequence[Observed], grace_seconds_max: int | None = None) -> Iterator[Action]:
    for container in containers:
        if container.up:
            yield from stops([container], grace_seconds_max)
    yield from removes(containers)
