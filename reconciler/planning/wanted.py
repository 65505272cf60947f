"""One sandbox that should run, and which of its containers is which."""

from dataclasses import dataclass
from functools import cached_property

from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.status import Ask, SandboxStatus
from reconciler.model.world import Observed, State
from reconciler.planning.attest import start_blockers
from reconciler.planning.fingerprint import EPOCH, is_about
from reconciler.planning.held import over_disk
from reconciler.planning.situation import Situation
from reconciler.spec.sandbox import Restart, Sandbox


@dataclass(frozen=True)
class Wanted:
    """One sandbox that should run, in a situation."""

    situation: Situation
    sandbox: Sandbox
    rendered: Rendered

    @property
    def name(self) -> str:
        """The sandbox's own."""
        return self.rendered.sandbox

    @cached_property
    def containers(self) -> tuple[Observed, ...]:
        """All that it has, in any state."""
        return self.situation.world.of(self.name)

    @cached_property
    def status(self) -> SandboxStatus:
        """What was told of it last."""
        return self.situation.status(self.name)

    @cached_property
    def mismatches(self) -> dict[str, tuple[Mismatch, ...]]:
        """By id, what differs of the containers that claim to be what is rendered."""
        memo, world = self.situation.memo, self.situation.world
        return {
            one.id: memo(start_blockers, one.id, self.rendered, one.inspection, world.image_of(one), world.network)
            for one in self.containers
            if one.fingerprint == self.rendered.fingerprint and one.ports == self.rendered.ports
        }

    @cached_property
    def current(self) -> Observed | None:
        """The container that is meant to run: one that is up goes before one that is not, then the newest."""
        claiming = [container for container in self.containers if container.id in self.mismatches]
        fit = [container for container in claiming if container.up or not self.mismatches[container.id]]
        return max(fit, key=lambda container: (container.up, container.created_at), default=None)

    @cached_property
    def others(self) -> tuple[Observed, ...]:
        """Its containers but the current one."""
        return tuple(container for container in self.containers if container is not self.current)

    @cached_property
    def old(self) -> Observed | None:
        """The container that a new one would replace."""
        return max(self.others, key=lambda container: (container.up, container.created_at), default=None)

    @property
    def standing(self) -> Observed | None:
        """The container that stands for the sandbox: the one that is meant to run, unless only an older one is up."""
        current = self.current
        if current is not None and current.up:
            return current
        return self.old if self.old is not None and (current is None or self.old.up) else current

    @property
    def full(self) -> bool:
        """Whether the container that is meant to run has written too much: it is never started again as it is."""
        return self.current is not None and over_disk(self.situation.policy, self.current, self.status)

    @property
    def exited(self) -> bool:
        """Whether the container that is meant to run has exited by itself, and was not stopped by us."""
        current = self.current
        return current is not None and current.state is State.EXITED and current.id not in self.status.stopped_by_us

    @property
    def restart_asked(self) -> bool:
        """Whether somebody has asked for another run after the one that is, or was, the last."""
        asked, current = self.status.asked, self.current
        if asked is None or asked.what is not Ask.RESTART or current is None:
            return False
        return 0 < current.inspection.started_at == asked.run

    @property
    def ended(self) -> Observed | None:
        """The container that is meant to run, if it has exited and is not to be started again."""
        current, restart = self.current, self.sandbox.restart
        if current is None or current.state is not State.EXITED or (self.restart_asked and not self.full):
            return None
        if self.full or (current.id == self.status.over_log_rate and restart is Restart.NO):
            return current
        on_failure_only = restart is Restart.ON_FAILURE and current.inspection.exit_code == 0
        return current if self.exited and (on_failure_only or restart is Restart.NO) else None

    @property
    def failures(self) -> int:
        """Failures in a row of what is rendered now; those of another version of its file do not count."""
        return self.status.failures if is_about(self.status, self.rendered) or self.status.epoch < EPOCH else 0

    def stays_down(self, container: Observed) -> bool:
        """Whether a container, once it was stopped, certainly does not start again by itself.

        A timed-out start may still take effect while the container exists, and a controller that has lost its state
        does not know of it: only what is up is known to have no such start before it.
        """
        return container.up and container.id != self.status.unconfirmed_start
