"""The controller's own status, and that of all sandboxes together: `controller.json`."""

import logging
import os
from collections.abc import Iterable

from reconciler import __version__
from reconciler.control.clock import Clock
from reconciler.control.read import Reading
from reconciler.control.reconcile import Cycle
from reconciler.control.settings import Settings
from reconciler.model.desired import Desired
from reconciler.model.plan import Reason
from reconciler.model.status import ControllerStatus, RecentRemovals, SandboxStatus
from reconciler.model.world import World
from reconciler.planning.removals import remembered
from reconciler.planning.summary import summary_fields
from reconciler.report.store import Store
from reconciler.spec.text import PATH_MAX, printable

log = logging.getLogger(__name__)


class OwnStatus:
    """`now` is the current one. It is written after each pass, and during one when pending approvals have changed."""

    def __init__(self, settings: Settings, store: Store, clock: Clock, limit: int) -> None:
        self._store, self._clock = store, clock
        last, directory = store.controller(), printable(settings.directory.absolute(), PATH_MAX)
        self.now = ControllerStatus(
            available=False,
            unavailable_reason="the engine has not been asked yet",
            host=settings.address.url,
            context=settings.address.context,
            instance=settings.instance,
            source=settings.owner.source,
            version=__version__,
            pid=os.getpid(),
            started_at=clock.now(),
            directory=directory,
            directory_id=last.directory_id if last and last.directory == directory else None,
            pending_approval=last.pending_approval if last else None,
            removals=last.removals if last else RecentRemovals(since=clock.now()),
            policy_file=printable(settings.policy_file or "", PATH_MAX),
            limit=limit,
        )

    def read(self, reading: Reading) -> None:
        """After files and policy were read, or could not be."""
        self._change(
            policy_error=reading.policy_error,
            limit=reading.policy.sandboxes_max,
            scan_error=reading.scan_error,
            last_scan_at=reading.scanned_at,
            commit=reading.desired.commit,
            uncommitted=reading.desired.uncommitted,
        )
        if reading.scan_error:
            self._change(directory_id=None)  # the next directory may be another one with the same inode

    def decided(self, cycle: Cycle, statuses: Iterable[SandboxStatus]) -> None:
        """Records the directory's identity once it was read completely, the removals that count towards the budget, and
        which approvals are used up.
        """
        reading, world, plan = cycle.reading, cycle.world, cycle.plan
        if not self.now.available:
            log.info("the engine answers: %s %s", world.engine.name, world.engine.version)
        before = self.now.pending_approval, self.now.removals
        if reading.desired.complete and plan.pending_approval.reason is not Reason.DIRECTORY_REPLACED:
            self._change(directory_id=reading.desired.directory)
        self._change(
            removals=remembered(before[1], plan, world, cycle.memory.approved, reading.policy, self._clock.now()),
            **summary_fields(reading.desired, reading.policy, world, plan, statuses, reading.scan_error),
        )
        if before != (self.now.pending_approval, self.now.removals):
            self._store.write_controller(self.now)
        self._spend_approval(reading.desired, world)

    def _spend_approval(self, desired: Desired, world: World) -> None:
        """Deletes the approval once nothing is left to remove of what it allows."""
        approved = self._store.approved()
        waiting = {container.id for container in world.containers if container.sandbox not in desired.names}
        if approved and desired.complete and not approved & waiting:
            self._store.spend_approval()

    def unavailable(self, why: str) -> None:
        """The engine does not answer. The log is told when that begins, and when the reason changes."""
        if self.now.available or why != self.now.unavailable_reason:
            log.error("the engine is not available: %s", why)
        self._change(available=False, unavailable_reason=why)

    def succeeded(self) -> None:
        """After a pass without a fault."""
        self._change(pass_error="")

    def failed(self, error: Exception) -> None:
        """The pass ended in a fault of reconciler's own."""
        self._change(pass_error=f"{type(error).__name__}: see the log")

    def passed(self, seconds: float) -> None:
        """After every pass, whatever came of it: the file is written."""
        self._change(passes=self.now.passes + 1, last_pass_at=self._clock.now(), last_pass_seconds=round(seconds, 4))
        self._store.write_controller(self.now)

    def _change(self, **changes: object) -> None:
        self.now = self.now.model_copy(update={**changes, "updated_at": self._clock.now()})
