"""What a witness of one simulation knows: what has happened so far, and what is there now.

The simulation tells it what happens; properties ask it. It decides nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from reconciler.control.controller import Controller
from reconciler.control.read import Reading
from reconciler.control.reconcile import Cycle
from reconciler.model.desired import Desired
from reconciler.model.labels import SALT
from reconciler.model.plan import Plan, Reason, Remove, SandboxPlan, Stop
from reconciler.model.status import Ask, Failure, PendingApproval, SandboxStatus
from reconciler.planning.admission import effective, violations
from reconciler.planning.asked import Answer
from reconciler.spec.policy import OnViolation, Policy
from reconciler.spec.sandbox import Sandbox
from tests.floor import outside_the_floor
from tests.simulation.story import MISSING_IMAGE
from tests.simulation.world import SOURCES, Host

Raw = dict[str, Any]
"""A container in the words of the Engine API."""

UP = {"running", "paused", "restarting"}
LABEL = "reconciler.sandbox"
OTHERS = "0" * 8
"""How the names of another source's containers end."""


@dataclass
class Witness:
    host: Host
    controller: Controller = field(init=False)

    # of containers, by id
    ours: set[str] = field(default_factory=set)
    verified: dict[str, bool] = field(default_factory=dict)
    """Whether a plan has found it within the floor, since its sandbox's other containers were last touched."""
    over_log_rate: set[str] = field(default_factory=set)
    """What was told of as saying too much, until its next run."""
    belated: set[str] = field(default_factory=set)
    """What was started by a call that had been given up."""
    ended_itself: set[str] = field(default_factory=set)
    drifted: set[str] = field(default_factory=set)
    """What somebody has changed, without a word."""

    runs: Counter[str] = field(default_factory=Counter)
    """How often each was started."""

    # of sandboxes, by name
    down: set[str] = field(default_factory=set)
    """Who was taken down, and not asked for since."""
    unanswered: set[str] = field(default_factory=set)
    """Of whom something is asked."""
    to_end: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    """The runs that were there when a restart was asked for: the container, and how often it had been started."""
    removed_at: dict[str, float] = field(default_factory=dict)
    """When each was last removed without approval."""
    known_since: dict[str, float] = field(default_factory=dict)
    public_fingerprints: dict[str, str] = field(default_factory=dict)
    """By all that files and policy said, but for the values of `environment`."""

    # of the controller that runs
    cycle: Cycle | None = None
    """Its last plan, and what that was made from."""
    in_flight: set[str] = field(default_factory=set)
    """The sandboxes whose plans in flight it counted at the end of its last work."""
    limits: dict[str, int] = field(default_factory=dict)
    """Of each plan in flight, the highest limit under which a pass counted it: nothing can call it back later."""
    updating: dict[str, int] = field(default_factory=dict)
    """Of each update in flight, the highest number under which a pass counted it."""
    replacing: set[str] = field(default_factory=set)
    """Sandboxes in flight that held a place already, whatever the limit became since."""
    executing: bool = False
    was_reachable: bool = False
    """Whether nothing hid the engine from the last pass."""
    pending_before: PendingApproval | None = None
    """What waited for approval before the last pass."""

    # of everything
    remembered_since: float = 0
    """Since when the controller can know of removals: its state may have been lost."""
    forgetful: bool = False
    """Whether the state was lost: who ended a container is then not known any more."""
    not_let_in: dict[str, Failure] = field(default_factory=dict)
    """Who had no credentials when these last changed."""
    jumped: bool = False
    """Whether somebody has set the clock."""

    def credentials_changed(self) -> None:
        failures = {status.name: status.failure for status in self.controller.statuses.values() if status.failure}
        self.not_let_in = {name: one for name, one in failures.items() if one.reason is Reason.IMAGE_PULL_UNAUTHORIZED}

    # --- what happens to containers ------------------------------------------------------------------------------

    def called(self, call: str) -> None:
        """What was verified before the sandbox's other container was stopped is not verified any more."""
        what, _, about = call.partition(" ")
        if what in {"stop", "remove"} and not self.host.engine.belated:
            self.verified = {
                container: fit
                for container, fit in self.verified.items()
                if container in self.containers
                and self.containers[container]["Name"].split(".")[:3] != f"/{about}".split(".")[:3]
            }

    def created(self, container: str) -> None:
        name = self.containers[container]["Name"]
        if name.startswith("/reconciler.default.") and not name.endswith(OTHERS):
            self.ours.add(container)

    def inspected(self, container: str) -> None:
        if container in self.ours and self.executing and not is_up(self.containers[container]):
            self.verified[container] = not outside_the_floor(self.containers[container])

    def starts(self, container: str) -> None:
        self.runs[container] += 1
        if self.host.engine.belated:
            self.belated.add(container)
        else:
            self.verified.pop(container, None)

    def died(self, container: str) -> None:
        self.over_log_rate.discard(container)
        if self.host.engine.belated:  # whoever asked for it has given it up
            self.ended_itself.add(container)

    # --- what the controller does --------------------------------------------------------------------------------

    def begun(self, controller: Controller) -> None:
        self.controller = controller
        self.cycle = None
        self.in_flight, self.limits, self.updating, self.replacing = set(), {}, {}, set()

    def ended(self, *, state_kept: bool) -> None:
        self._forget_who_is_gone()
        if not (state_kept or self.host.store.requests()):
            self.unanswered.clear()
        if self.host.store.controller() is None:
            self.removed_at, self.remembered_since = {}, self.host.clock.now()
        self.known_since = {name: since for name, since in self.known_since.items() if name in self.statuses}
        self.forgetful = self.forgetful or not state_kept

    def answered(self, answers: Iterable[Answer]) -> None:
        """What is refused changes nothing; of what is asked of a sandbox, the last counts."""
        answers = tuple(answers)
        self.unanswered -= {one.told.sandbox for one in answers}
        for request, name in ((one.request, one.told.sandbox) for one in answers if not one.refused):
            self.down.discard(name)
            self.to_end.pop(name, None)
            if request.what is Ask.DOWN:
                self.down.add(name)
            if request.what is Ask.RESTART:
                self.to_end[name] = self.runs_of(name)

    def runs_of(self, name: str) -> set[tuple[str, int]]:
        """The last run of each of its containers."""
        there = (one for one in self.ours & self.containers.keys() if name_of(self.containers[one]) == name)
        return {(one, self.runs[one]) for one in there}

    def _forget_who_is_gone(self) -> None:
        """With its file and its containers, or with the state, goes what was asked of it."""
        self.down &= self.statuses.keys()
        self.to_end = {name: runs for name, runs in self.to_end.items() if name in self.statuses}

    def works(self) -> None:
        """It is about to make a pass, if one is due."""
        self._forget_who_is_gone()
        engine, now = self.host.engine, self.host.clock.now()
        self.was_reachable = not engine.fault and engine.down is None and not engine.another_answers
        self.pending_before = self.controller.status.pending_approval
        containers = {name_of(raw) for raw in self.containers.values() if raw["Id"] in self.ours}
        unnoticed = self.in_flight | self.statuses.keys()  # that it went and came back
        there = self.host.directory.files.keys() | containers | unnoticed
        self.known_since = {name: self.known_since.get(name, now) for name in there if name}
        window = self.reading.policy.removals.window  # what a shorter one forgets, a longer one does not know
        self.removed_at = {name: at for name, at in self.removed_at.items() if abs(now - at) < window}

    def worked(self, in_flight: Iterable[str]) -> None:
        self.in_flight = set(in_flight)

    def submitted(self, planned: SandboxPlan, under_way: Iterable[SandboxPlan]) -> None:
        """It begins `planned`, while `under_way` have not ended."""
        policy, name = self.reading.policy, planned.sandbox
        begun = [one for one in self.plan.sandboxes if one.actions]
        in_flight = {one.sandbox: one for one in (*under_way, *begun)}
        self.limits = {one: max(policy.sandboxes_max, self.limits.get(one, 0)) for one in in_flight}
        self.replacing &= in_flight.keys()
        if name in self.running():
            self.replacing.add(name)
        most = policy.replacements.max_parallel
        updates = {one for one in self.updating if one in in_flight and in_flight[one].is_update and one != name}
        self.updating = {one: max(most, self.updating[one]) for one in updates}
        if planned.is_update:
            self.updating[name] = most
        if self.is_unapproved_removal(planned):
            self.removed_at[name] = self.host.clock.now()

    # --- what is there -------------------------------------------------------------------------------------------

    @property
    def containers(self) -> Mapping[str, Raw]:
        return self.host.engine.raw_containers

    @property
    def statuses(self) -> Mapping[str, SandboxStatus]:
        return self.host.store.statuses()

    @property
    def reading(self) -> Reading:
        """The policy and the files in force."""
        return self.controller.reading

    @property
    def plan(self) -> Plan:
        assert self.cycle is not None
        return self.cycle.plan

    @property
    def seen(self) -> Mapping[str, str]:
        """The sandbox of each container that the controller has last seen; empty for a stranger's."""
        if self.cycle is None:
            return {}
        world = self.cycle.world
        ours, strangers = {one.id: one.sandbox for one in world.containers}, {one.id: "" for one in world.unmanaged}
        return ours | strangers

    def missed(self) -> set[str]:
        """The containers that the controller would miss in a list."""
        if self.cycle is None:
            return {status.container_id for status in self.statuses.values()}
        return set(self.seen)

    def up(self) -> list[Raw]:
        return [raw for raw in self.containers.values() if is_up(raw)]

    def up_of(self, name: str) -> list[Raw]:
        return [raw for raw in self.up() if raw["Id"] in self.ours and name_of(raw) == name]

    def running(self) -> list[str]:
        """The sandboxes of all containers of ours that are up."""
        return self.up_among(self.ours)

    def up_among(self, containers: set[str]) -> list[str]:
        return [name_of(raw) for raw in self.up() if raw["Id"] in containers]

    def pick(self, number: int, state: str = "") -> str:
        """One of our containers, in that state; empty when there is none."""
        there = sorted(self.ours & self.containers.keys())
        found = [one for one in there if not state or self.containers[one]["State"]["Status"] == state]
        return found[number % len(found)] if found else ""

    def salts(self) -> Mapping[str, set[str]]:
        """Of each sandbox, those of its containers."""
        found: dict[str, set[str]] = {}
        for one in self.ours & self.containers.keys():
            found.setdefault(name_of(self.containers[one]), set()).add(self.containers[one]["Config"]["Labels"][SALT])
        return found

    # --- what that means -----------------------------------------------------------------------------------------

    def has_written_too_much(self, name: str) -> set[str]:
        """The containers of the sandbox for which the controller has measured that."""
        status, disk = self.statuses.get(name), self.reading.policy.limits.disk
        return {container for container, size in status.disk_bytes.items() if size > disk} if status else set()

    def is_unapproved_removal(self, planned: SandboxPlan) -> bool:
        touched = {action.container for action in planned.actions if isinstance(action, Stop | Remove)}
        return planned.cause is Reason.FILE_REMOVED and not touched <= self.host.store.approved()

    def is_unclear(self, raw: Raw) -> bool:
        """Renamed and changed, or not described: without a status that knows it, it may as well be a stranger's."""
        if raw["Id"] == self.host.engine.indescribable:
            return True
        renamed = raw["Id"] in self.ours and not raw["Name"].startswith("/reconciler.")
        known = {status.container_id for status in self.statuses.values()}
        return renamed and raw["Id"] not in known and bool(outside_the_floor(raw))


@dataclass(frozen=True)
class Settled:
    """What has become of it all, beside what is declared."""

    witness: Witness
    policy: Policy
    desired: Desired

    @cached_property
    def suspended(self) -> set[str]:
        """By what their files say, or have said before nobody could make sense of them any more."""
        said = {**self.witness.reading.desired.last_good, **self.desired.declared}
        return {name for name, declaration in said.items() if declaration.sandbox.suspend}

    @cached_property
    def held(self) -> set[str]:
        """Whose files say nothing that counts."""
        return self.suspended | self.desired.broken.keys() | (self.desired.invalid_names.keys() - self.files)

    @cached_property
    def files(self) -> set[str]:
        return set(self.witness.host.directory.files)

    @cached_property
    def accepted(self) -> Mapping[str, Sandbox]:
        """What the policy allows of what is declared."""
        image = self.witness.host.engine.known_image
        return {
            name: effective(declaration.sandbox, self.policy)
            for name, declaration in self.desired.declared.items()
            if name not in self.held
            and not violations(declaration, self.policy, SOURCES, image(declaration.sandbox.image))
        }

    @cached_property
    def unclear(self) -> Mapping[str, Raw]:
        """The containers of which the controller cannot know whether they are ours."""
        found = self.witness.containers.items()
        return {one: raw for one, raw in found if self.witness.is_unclear(raw) or raw["Name"].endswith(OTHERS)}

    @cached_property
    def unclear_names(self) -> set[str]:
        return set(map(name_of, self.unclear.values()))

    @cached_property
    def running(self) -> set[str]:
        return set(self.witness.up_among(self.witness.ours - self.unclear.keys()))

    @cached_property
    def full(self) -> list[Raw]:
        """The containers that have written too much."""
        ours = self.witness.ours & self.witness.containers.keys() - self.unclear.keys()
        size, disk = self.witness.host.engine.size_of, self.policy.limits.disk
        return [self.witness.containers[one] for one in sorted(ours) if size(one) > disk]

    @cached_property
    def runs(self) -> Iterable[tuple[str, Sandbox, Raw]]:
        """Each accepted sandbox that runs, with its container."""
        names = sorted(self.running & self.accepted.keys() - self.unclear_names)
        return [(name, self.accepted[name], raw) for name in names for raw in self.witness.up_of(name)]

    @cached_property
    def with_their_image(self) -> Iterable[tuple[str, Sandbox, Raw]]:
        """Those whose image can be had: what waits for another one runs on as it is."""
        return [one for one in self.runs if one[1].image != MISSING_IMAGE]

    def may_run_on(self, name: str) -> bool:
        """Whether what runs is what the policy in force allows, whatever the file asks for now."""
        return self.policy.on_violation is OnViolation.REPORT or all(
            raw["HostConfig"]["Memory"] <= self.policy.limits.mem_limit
            and all(port in self.policy.published_ports for port in published(raw))
            for raw in self.witness.up_of(name)
        )


def name_of(raw: Raw) -> str:
    """The sandbox that the container says it is of."""
    return str(raw["Config"]["Labels"].get(LABEL, ""))


def is_up(raw: Raw) -> bool:
    return raw["State"]["Status"] in UP


def is_unhealthy(raw: Raw) -> bool:
    return bool(raw["State"].get("Health", {}).get("Status") == "unhealthy")


def serves(raw: Raw) -> bool:
    health = raw["State"].get("Health", {}).get("Status", "healthy")
    return bool(raw["State"]["Status"] == "running" and health == "healthy")


def published(raw: Raw) -> set[int]:
    """The host's ports that a container is to take."""
    return {int(one["HostPort"]) for bound in (raw["HostConfig"]["PortBindings"] or {}).values() for one in bound}
