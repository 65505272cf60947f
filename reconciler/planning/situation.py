"""What a pass decides from, and what follows from it at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from reconciler.model.desired import Desired
from reconciler.model.errors import Problem
from reconciler.model.plan import SandboxPlan
from reconciler.model.rendered import Rendered
from reconciler.model.status import Ask, PendingApproval, RecentRemovals, Request, SandboxStatus
from reconciler.model.world import Observed, World
from reconciler.planning import backoff
from reconciler.planning.admission import effective, violations
from reconciler.planning.fingerprint import salt_of
from reconciler.planning.memo import Memo
from reconciler.planning.ports import allocate_ports
from reconciler.planning.render import render
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import DesiredState, Sandbox

NOTHING_KNOWN = SandboxStatus(name="")


@dataclass(frozen=True, slots=True)
class Memory:
    """What the controller knows besides files and engine.

    `directory` is the identity of the directory at the last scan that counted. `approved` are ids of containers whose
    removal an operator approved, `pending_approval` is what waits for that, `recent` what was removed without.
    `requests` are what people ask of single sandboxes, by name.
    `in_flight` are the sandboxes whose plan is still being carried out, `replacing` those of them whose plan is an
    update, `pulling` the image that the plan of some of them begins with pulling. `seed` is a random number for the
    choice of ports; without one none is chosen, for a plan that nobody carries out. `secret` is random too, the same in
    all passes: a sandbox without a container has its salt from it.
    """

    statuses: Mapping[str, SandboxStatus]
    secret: bytes = field(repr=False)
    directory: tuple[int, int] | None = None
    approved: frozenset[str] = frozenset()
    pending_approval: PendingApproval | None = None
    recent: RecentRemovals = field(default_factory=RecentRemovals)
    requests: Mapping[str, Request] = field(default_factory=dict)
    in_flight: frozenset[str] = frozenset()
    replacing: frozenset[str] = frozenset()
    pulling: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = 0


@dataclass(frozen=True)
class Situation:
    """What is declared, allowed, there and remembered at the time `now`, in seconds since the epoch."""

    desired: Desired
    policy: Policy
    world: World
    memory: Memory
    now: float
    memo: Memo

    def status(self, name: str) -> SandboxStatus:
        """One without a name for a sandbox of which nothing is remembered."""
        return self.memory.statuses.get(name, NOTHING_KNOWN)

    def is_down(self, name: str) -> bool:
        """Whether somebody has taken it down, and nobody has asked for it since."""
        asked = self.status(name).asked
        return asked is not None and asked.what is Ask.DOWN

    def up(self, name: str) -> list[Observed]:
        """The sandbox's containers that are up, the oldest first."""
        return [container for container in self.world.of(name) if container.up]

    @cached_property
    def names_up(self) -> set[str]:
        """Sandboxes of which a container is up."""
        return {container.sandbox for container in self.world.containers if container.up}

    @cached_property
    def problems(self) -> dict[str, tuple[Problem, ...]]:
        """Why the policy refuses each declared sandbox; empty for what it accepts."""
        policy, sources, images = self.policy, self.world.sources, self.world.images
        return {
            name: self.memo(
                violations, name, one, policy, sources, images.get(one.sandbox.image or policy.defaults.image)
            )
            for name, one in self.desired.declared.items()
        }

    @cached_property
    def should_run(self) -> dict[str, Sandbox]:
        """The effective sandboxes that are declared, accepted, and neither suspended, stopped nor taken down."""
        return {
            name: self.effective(name, declaration.sandbox)
            for name, declaration in self.desired.declared.items()
            if not self.problems[name]
            and declaration.sandbox.suspend is None
            and declaration.sandbox.state is DesiredState.RUNNING
            and not self.is_down(name)
        }

    @cached_property
    def rendered(self) -> dict[str, Rendered]:
        """The container of each sandbox that should run."""
        ports = allocate_ports(
            self.should_run, self.world, self.memory.statuses, self.policy.published_ports, self.memory.seed
        )
        return {name: self.render(name, sandbox, ports[name]) for name, sandbox in self.should_run.items()}

    def effective(self, name: str, sandbox: Sandbox) -> Sandbox:
        """The sandbox over the policy's defaults."""
        return self.memo(effective, name, sandbox, self.policy)

    def render(self, name: str, sandbox: Sandbox, ports: Mapping[int, int]) -> Rendered:
        """The container of an effective sandbox, with the salt of the one that is there."""
        world, salt = self.world, salt_of(name, self.world.of(name), self.memory.secret)
        return self.memo(render, name, name, sandbox, self.policy, world.owner, ports, world.sources, salt)

    def unless_in_backoff(self, planned: SandboxPlan) -> SandboxPlan:
        """The plan, or its postponement while the backoff of a failed stop or removal lasts."""
        if planned.actions:
            status = self.status(planned.sandbox)
            if backoff.is_in_backoff(status, backoff.STOP_AND_REMOVE, self.now):
                return backoff.wait(planned, status)
        return planned
