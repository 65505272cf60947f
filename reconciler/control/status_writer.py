"""Keeps the statuses of all sandboxes: reduced from what was observed, planned and done, then written."""

import logging
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, TypeVarTuple

from reconciler.control.clock import Clock
from reconciler.model.desired import Desired
from reconciler.model.plan import Outcome, Plan, Reason, SandboxPlan, Verdict
from reconciler.model.status import JournalEntry, SandboxStatus
from reconciler.model.world import Image, World
from reconciler.planning import status_reducer
from reconciler.planning.asked import Answer
from reconciler.report.journal import Journal
from reconciler.report.metrics import Metrics
from reconciler.report.store import Store

log = logging.getLogger(__name__)

Arguments = TypeVarTuple("Arguments")


class StatusWriter:
    """The statuses of all sandboxes. Nothing is written before `flush`."""

    def __init__(
        self, store: Store, journal: Journal, metrics: Metrics, clock: Clock, on_outcome: Callable[[Outcome], None]
    ) -> None:
        self._store, self._journal, self._metrics = store, journal, metrics
        self._clock, self._on_outcome = clock, on_outcome
        self._statuses = store.statuses()
        self._changed: set[str] = set()
        self._gone: set[str] = set()
        self._refusals: dict[str, tuple[Verdict, Reason, str]] = {}
        self._planned: dict[str, tuple[SandboxStatus, SandboxPlan, str, Image | None]] = {}
        """The last plan of each sandbox and its result: the same plan again changes nothing."""

    @property
    def statuses(self) -> Mapping[str, SandboxStatus]:
        """By name, also where the file could not be written."""
        return self._statuses

    def on_observed(self, statuses: Mapping[str, SandboxStatus]) -> None:
        """The statuses after an observation."""
        for name, status in statuses.items():
            before = self._statuses.get(name, status)
            self._put(status)
            self._record_health(before, status)
            self._record_foreign(before, status)

    def on_answered(self, answers: Iterable[Answer]) -> None:
        """After requests, whose effects are in the statuses already."""
        for request, told, refused in answers:
            self._record(told, "refused" if refused else "ok", verdict=request.what.upper())

    def on_planned(self, plan: Plan, desired: Desired, world: World) -> None:
        """After a decision. What is refused is told in the journal, once."""
        now = self._clock.now()
        for planned in plan.sandboxes:
            name = planned.sandbox
            before = self._statuses.get(name) or SandboxStatus(name=name, added_at=now)
            file = desired.file_of(name) or ("" if desired.complete else before.file)
            same_again = (before, planned, file, world.images.get(before.image))
            if self._planned.get(name) != same_again:
                broken = bool(desired.problems_of(name))
                self._put(status_reducer.on_planned(before, planned, file, world.images, now, broken=broken))
                self._record_refusal(planned)
                self._planned[name] = (self._statuses[name], *same_again[1:])

    def keep_only(self, names: set[str]) -> None:
        """The others have neither a file nor a container any more."""
        self._gone |= self._statuses.keys() - names
        for name in self._gone:
            self._statuses.pop(name, None)
            self._refusals.pop(name, None)
            self._planned.pop(name, None)

    def reduce(
        self,
        sandbox: str,
        reducer: Callable[[SandboxStatus, *Arguments, float], SandboxStatus],
        *arguments: *Arguments,
    ) -> None:
        """Takes a function of `status_reducer` to the status of a sandbox, unless that is gone."""
        if sandbox in self._statuses:
            self._put(reducer(self._statuses[sandbox], *arguments, self._clock.now()))

    def on_credentials_changed(self) -> None:
        """After those for registries may have changed."""
        for name in tuple(self._statuses):
            self.reduce(name, status_reducer.on_credentials_changed)

    def on_disk_measured(self, sizes: Mapping[str, int], sandbox_of: Mapping[str, str]) -> None:
        """`sizes` are the bytes that each container has written; `sandbox_of` tells to which sandbox it belongs."""
        sizes_of: dict[str, dict[str, int]] = {}
        for container, size in sizes.items():
            sizes_of.setdefault(sandbox_of.get(container, ""), {})[container] = size
        for name, own in sizes_of.items():
            self.reduce(name, status_reducer.on_disk_measured, own)

    def on_outcome(self, outcome: Outcome) -> None:
        """After an action; the journal has a line for each."""
        planned = outcome.planned
        self.reduce(planned.sandbox, status_reducer.on_outcome, outcome)
        self._record(
            planned,
            outcome.failure or "ok",
            action=str(outcome.action),
            container=outcome.container,
            message=outcome.message or planned.message,
            engine_said=outcome.engine_said,
            duration_seconds=outcome.duration_seconds,
        )
        self._metrics.done(outcome)
        self._on_outcome(outcome)

    def flush(self, only: Set[str] | None = None) -> None:
        """Writes what has changed, of all or `only` of some; what cannot be written now is tried again next time."""
        changed = self._changed - self._gone
        now = changed if only is None else changed & only
        failed = {name for name in now if not self._store.write_status(self._statuses[name])}
        self._changed = changed - now | failed
        self._gone = {name for name in self._gone if not self._store.forget(name)}

    def _put(self, status: SandboxStatus) -> None:
        before = self._statuses.get(status.name)
        if before is not status:
            self._metrics.changed(before, status)
            self._statuses[status.name] = status
            self._changed.add(status.name)
            self._gone.discard(status.name)

    def _record(self, planned: SandboxPlan, result: str, **details: Any) -> None:
        """Writes a line of the journal, and a sentence of the log: what was decided, and what came of it."""
        decided = {"sandbox": planned.sandbox, "verdict": planned.verdict, "cause": planned.cause}
        told = {"message": planned.message, **details}
        entry = JournalEntry(at=self._clock.now(), result=result, **(decided | told))
        self._journal.write(entry)
        log.log(logging.INFO if result == "ok" else logging.WARNING, "%s", entry.sentence)

    def _record_health(self, before: SandboxStatus, after: SandboxStatus) -> None:
        """Records when a health check begins to fail, once in each run, and when it passes again."""
        if before.unhealthy_run == after.unhealthy_run:
            return
        failure = after.failure if after.unhealthy_run else None
        cause = Reason.UNHEALTHY if failure else Reason.HEALTHY
        message = failure.message if failure else "its health check passes again"
        planned = SandboxPlan(after.name, Verdict.KEEP, cause, message)
        self._record(planned, failure.reason if failure else "ok", container=after.container_id)

    def _record_foreign(self, before: SandboxStatus, after: SandboxStatus) -> None:
        """Records what somebody runs in it, when it is first seen."""
        for told in after.foreign_processes:
            if told not in before.foreign_processes:
                planned = SandboxPlan(after.name, Verdict.KEEP, Reason.FOREIGN_PROCESS, told)
                self._record(planned, Reason.FOREIGN_PROCESS, container=after.container_id)

    def _record_refusal(self, planned: SandboxPlan) -> None:
        """Records a refusal once, when it begins or changes."""
        if planned.cause is Reason.IN_FLIGHT:
            return
        if planned.verdict not in {Verdict.HOLD, Verdict.WAIT}:
            self._refusals.pop(planned.sandbox, None)
            return
        refusal = (planned.verdict, planned.cause, planned.message)
        if self._refusals.get(planned.sandbox) == refusal:
            return
        self._refusals[planned.sandbox] = refusal
        self._record(planned, "refused")
