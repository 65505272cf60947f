"""One simulation: a story told to the real controller, watched after every single call."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any

from reconciler.control.controller import Controller
from reconciler.control.lanes import Finish, Lanes
from reconciler.control.messages import EngineConnected, EngineSaid, FilesChanged, ResyncAsked, SaidTooMuch, Tell
from reconciler.control.read import Reading
from reconciler.control.reconcile import Cycle, Reconciler
from reconciler.control.schedule import RESYNC_SECONDS
from reconciler.control.sources import Volumes
from reconciler.control.surroundings import Clock
from reconciler.engine.docker.decode import NO_TRAFFIC_BETWEEN, epoch
from reconciler.engine.protocol import Engine
from reconciler.model.desired import Desired
from reconciler.model.plan import Lane, Outcome, Reason, Remove, Start, Stop
from reconciler.model.policy import OnViolation, Policy
from reconciler.model.quantities import GIB
from reconciler.model.sandbox import DesiredState, Sandbox
from reconciler.model.status import Approval, ConditionType, WithheldRemovals
from reconciler.planning import backoff
from reconciler.planning.decide import Memory, decide
from reconciler.planning.judge import effective, judge
from tests.floor import outside_the_floor
from tests.simulation.story import DRIFTS, POLICIES, VARIANTS, Step
from tests.simulation.world import SOURCES, Host, KilledError, allowing

UP = {"running", "paused", "restarting"}
WRITES = {"create", "create_network", "start", "stop", "remove", "unpause"}
OUTRANK = {Reason.POLICY_VIOLATION, Reason.DISK_EXCEEDED, Reason.LOG_RATE_EXCEEDED}
"""Causes for which what runs is stopped whatever its file says, or cannot say."""
SETTLE_ROUNDS = 40
QUIET_ROUNDS = 5
"""So long that nothing rests any more."""

LABEL = "reconciler.sandbox"
OTHERS = "0" * 8
"""How the names of another source's containers end."""
FIXED_PORT = str(VARIANTS["fixed port"]["ports"][0]["published"])


class ViolationError(BaseException):
    """Something happened that must never happen. No `except Exception` of the controller's stops it."""


class SteppedLanes(Lanes):
    """Lanes that go on only when they are told to."""

    def __init__(self, engine: Engine, volumes: Volumes, tell: Tell, finish_output: Finish, clock: Clock) -> None:
        super().__init__(engine, volumes, tell, finish_output, clock)
        self.lanes: list[Iterator[Outcome]] = []
        self.watch: Callable[[Lane], None] = lambda _: None
        self.watch_end: Callable[[Outcome], None] = lambda _: None
        self.last: dict[Iterator[Outcome], Outcome] = {}

    def submit(self, lane: Lane) -> None:
        self.watch(lane)
        self.lanes.append(self.carry_out(lane))

    def step(self, number: int) -> None:
        if self.lanes:
            lane = self.lanes[number % len(self.lanes)]
            if outcome := next(lane, None):
                self.last[lane] = outcome
            else:
                self.lanes.remove(lane)
                if last := self.last.pop(lane, None):
                    self.watch_end(last)


class CheckedReconciler(Reconciler):
    """Whose every plan is the one that would be made by who remembers nothing of the passes before."""

    def reconcile(self, reading: Reading, memory: Memory) -> Cycle:
        cycle = super().reconcile(reading, memory)
        if cycle.plan != decide(reading.desired, reading.policy, cycle.world, cycle.memory, cycle.now):
            raise ViolationError("a plan would be another one if nothing were remembered")
        return cycle


@dataclass
class Simulation:
    """Steps are methods; what a step needs and is not there makes it do nothing, so that stories can be cut."""

    host: Host = field(default_factory=Host)
    ours: set[str] = field(default_factory=set)
    verified: dict[str, bool] = field(default_factory=dict)
    in_lane: bool = False
    noisy: set[str] = field(default_factory=set)
    """What was told of as saying too much, until its next run."""
    belated: set[str] = field(default_factory=set)
    ended_itself: set[str] = field(default_factory=set)
    drifted: set[str] = field(default_factory=set)
    removed_at: dict[str, float] = field(default_factory=dict)
    """When each sandbox was last removed without approval."""
    known_since: dict[str, float] = field(default_factory=dict)
    remembered_since: float = 0
    """Since when the controller can know of removals: its state may have been lost."""
    jumped: bool = False
    """Whether somebody has set the clock."""
    withheld_before: WithheldRemovals | None = None
    """What waited for approval before the pass."""
    forgetful: bool = False
    """Whether the state was lost: who ended a container is then not known any more."""

    def __post_init__(self) -> None:
        self._wrap_engine()
        self._begin()

    def play(self, story: list[Step]) -> None:
        """Raises `ViolationError`."""
        for step in story:
            getattr(self, step.what)(*step.how)
        self.settle()

    # --- steps: people -------------------------------------------------------------------------------------------

    def declare(self, name: str, variant: str) -> None:
        self.host.directory.files[name] = Sandbox.model_validate({"image": "app:1", **VARIANTS[variant]})
        self._files_changed()

    def spoil(self, name: str) -> None:
        """The file is there, and nobody can make sense of it."""
        self.host.directory.files[name] = None
        self._files_changed()

    def delete(self, name: str) -> None:
        if name not in self.host.directory.files:
            self.host.directory.strays.discard(name)
        self.host.directory.files.pop(name, None)
        self._files_changed()

    def rename(self, name: str, other: str) -> None:
        if name in self.host.directory.files:
            self.host.directory.files[other] = self.host.directory.files.pop(name)
        self._files_changed()

    def misname(self, name: str) -> None:
        """The file gets a name that no sandbox can have."""
        if name in self.host.directory.files:
            del self.host.directory.files[name]
            self.host.directory.strays.add(name)
        self._files_changed()

    def empty(self) -> None:
        self.host.directory.files.clear()
        self.host.directory.strays.clear()
        self._files_changed()

    def replace_directory(self) -> None:
        self.host.directory.identity += 1
        self.host.directory.files.clear()
        self.host.directory.strays.clear()
        self._files_changed()

    def hide_directory(self, readable: bool) -> None:
        self.host.directory.readable = readable
        self._files_changed()

    def git(self, under_way: bool) -> None:
        """Somebody begins, or ends, a merge."""
        self.host.directory.under_way = under_way
        self._files_changed()

    def decree(self, policy: str) -> None:
        said = POLICIES[policy]
        self.host.policy = None if said is None else allowing(**said)
        self._files_changed()

    def approve(self) -> None:
        status = self.host.store.controller()
        if status and status.withheld:
            ids = tuple(id_ for found in status.withheld.containers.values() for id_ in found)
            self.host.store.approve(Approval(containers=ids, at=0))
            self._files_changed()

    def resync(self) -> None:
        self.controller.tell(ResyncAsked())

    def set_clock(self, seconds: float) -> None:
        self.host.clock.skew += seconds
        self.jumped = True

    # --- steps: the engine and strangers -------------------------------------------------------------------------

    def fault(self, fault: str, fuse: int) -> None:
        self.host.engine.arm(fault, fuse)

    def engine(self, up: bool) -> None:
        self.host.engine.down = None if up else "connection refused"
        if up:
            self.controller.tell(EngineConnected())

    def happen_late(self) -> None:
        self.host.engine.happen_late()

    def drift(self, number: int, drift: int) -> None:
        if container := self._pick(number):
            self.host.engine.update(container, **DRIFTS[drift])
            self.drifted.add(container)

    def pause(self, number: int) -> None:
        if container := self._pick(number, "running"):
            self.host.engine.pause(container)

    def remove_by_force(self, number: int) -> None:
        if container := self._pick(number):
            self.host.engine.remove_by_force(container)

    def exit(self, number: int, code: int, oom: bool) -> None:
        if container := self._pick(number, "running"):
            self.host.engine.exit(container, code, oom=oom)
            self.ended_itself.add(container)

    def chatter(self, number: int) -> None:
        """It says so much that the controller is told, again and again."""
        if container := self._pick(number, "running"):
            self.noisy.add(container)
            self._tell_of_noise()

    def _tell_of_noise(self) -> None:
        """Whoever is not known yet is not listened to."""
        for container in sorted(self.noisy & self.controller._sandbox_of.keys()):
            at = max(self.host.clock.now(), epoch(self._raw(container)["State"]["StartedAt"]))
            self.controller.tell(SaidTooMuch(self.controller._sandbox_of[container], container, at))

    def fill(self, number: int, size_gib: int) -> None:
        if container := self._pick(number, "running"):
            self.host.engine.fill(container, size_gib * GIB)

    def health(self, number: int, health: str) -> None:
        if (container := self._pick(number, "running")) and "Health" in self._raw(container)["State"]:
            self.host.engine.set_health(container, health)

    def sicken(self, name: str) -> None:
        """Its health check fails, and goes on to fail."""
        for raw in self._up_of(name):
            if "Health" in raw["State"]:
                self.host.engine.set_health(raw["Id"], "unhealthy")

    def stranger(self, number: int) -> None:
        """Somebody runs a container with our labels, under a name of their own."""
        labels = {"reconciler.instance": "default", LABEL: "abcdefg"[number % 7], "reconciler.fingerprint": "0" * 64}
        name = f"stranger-{number}"
        if f"/{name}" not in self._names():
            self.host.engine.run_foreign(name, "app:1", Labels=labels)

    def other_source(self, number: int) -> None:
        """A controller of another directory, somewhere else, has started a sandbox under the same instance."""
        sandbox = "abcdefg"[number % 7]
        name = f"reconciler.default.{sandbox}.{OTHERS}"
        own = {"instance": "default", "sandbox": sandbox, "fingerprint": OTHERS * 8, "source": "another", "ports": ""}
        if f"/{name}" not in self._names():
            labels = {f"reconciler.{key}": value for key, value in own.items()}
            self.host.engine.run_foreign(name, "app:1", Labels=labels)

    def give_name(self, number: int) -> None:
        """Somebody renames one of ours."""
        if (container := self._pick(number)) and f"/renamed-{number}" not in self._names():
            self.host.engine.give_name(container, f"renamed-{number}")

    def mistake(self, number: int) -> None:
        """The engine cannot describe one of our containers; with a negative number it can describe all of them."""
        self.host.engine.indescribable = self._pick(number) if number >= 0 else ""

    def exchange(self, done: bool) -> None:
        """Whoever can write above the sources of volumes puts a link in their place, or takes it away; nobody tells."""
        self.host.engine.paths.are_exchanged = done

    def second_network(self) -> None:
        """What an engine may make of a request that it gets twice at the same time."""
        if self.host.engine._networks:
            labels = {"reconciler.instance": "default"}
            self.host.engine.add_network("reconciler.default", options=dict(NO_TRAFFIC_BETWEEN), own_labels=labels)

    # --- steps: time and the controller --------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        self.host.clock.elapsed += seconds

    def hear(self) -> None:
        for event in self.host.engine.said:
            self.controller.tell(EngineSaid(event))
        self.host.engine.said.clear()

    def deaf(self) -> None:
        self.host.engine.said.clear()

    def work(self) -> None:
        before, engine = (self.controller, self.controller.status.passes), self.host.engine
        sound = not engine.fault and engine.down is None
        self.withheld_before = self.controller.status.withheld
        self._note_names()
        self._survive(self.controller.work)
        if (self.controller, self.controller.status.passes - 1) == before:
            if self.controller.status.available:
                self._check_queue()
                self._check_told()
            elif sound:
                raise ViolationError("one odd container stops the whole")

    def lane(self, number: int) -> None:
        self.in_lane = True
        self._survive(lambda: self.lanes.step(number))
        self.in_lane = False

    def restart(self, state: str = "kept", number: int = 0) -> None:
        if state == "lost":
            self.host.store.lose()
        if state == "corrupt":
            self.host.store.spoil(number)
        if self.host.store.controller() is None:
            self.removed_at, self.remembered_since = {}, self.host.clock.now()
        kept = self.host.store.statuses()
        self.known_since = {name: since for name, since in self.known_since.items() if name in kept}
        self.forgetful = self.forgetful or state != "kept"
        self.host.store.release()
        self._begin()

    # --- how it works --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self.host.policy is None:
            self.host.policy = allowing()
        self.controller = Controller(self.host.surroundings(), lanes=SteppedLanes, reconciler=CheckedReconciler)
        self.lanes: SteppedLanes = self.controller._lanes  # type: ignore[assignment]
        self.lanes.watch, self.lanes.watch_end = self._check_lane, self._check_end
        self.host.engine.known = lambda: self.controller._observer._known
        self.limits: dict[str, int] = {}
        """Of each lane in flight, the highest limit under which a pass counted it: nothing can call it back later."""
        self.updating: dict[str, int] = {}
        """Of each update in flight, the highest number under which a pass counted it."""
        self.replacing: set[str] = set()
        """Sandboxes in flight that held a place already, whatever the limit became since."""

    def _note_names(self) -> None:
        """Since when each sandbox is there, by its file or by a container."""
        containers = {raw["Config"]["Labels"].get(LABEL) for raw in self._containers.values() if raw["Id"] in self.ours}
        unnoticed = self.controller._in_flight.keys() | self.host.store.statuses().keys()  # that it went and came back
        there = self.host.directory.files.keys() | containers | unnoticed
        now = self.host.clock.now()
        self.known_since = {name: self.known_since.get(name, now) for name in there if name}
        window = (
            self.controller.reading.policy.removals.window
        )  # what a shorter one forgets, a longer one does not know
        self.removed_at = {name: at for name, at in self.removed_at.items() if abs(now - at) < window}

    def _survive(self, work: Any) -> None:
        try:
            work()
        except KilledError:
            self.restart()
        if error := self.controller.status.pass_error:
            raise ViolationError(f"a pass failed: {error}")

    def _files_changed(self) -> None:
        self.controller.tell(FilesChanged())

    @property
    def _containers(self) -> dict[str, dict[str, Any]]:
        return self.host.engine._containers

    def _names(self) -> set[str]:
        return {raw["Name"] for raw in self._containers.values()}

    def _raw(self, container: str) -> dict[str, Any]:
        return self._containers[container]

    def _pick(self, number: int, state: str = "") -> str:
        found = sorted(id_ for id_ in self.ours if id_ in self._containers)
        found = [id_ for id_ in found if not state or self._raw(id_)["State"]["Status"] == state]
        return found[number % len(found)] if found else ""

    def _running(self) -> list[str]:
        """The sandboxes of all containers of ours that are up."""
        return self._up_among(self.ours)

    def _up_among(self, containers: set[str]) -> list[str]:
        return [raw["Config"]["Labels"][LABEL] for raw in self._all_up() if raw["Id"] in containers]

    def _all_up(self) -> list[dict[str, Any]]:
        return [raw for raw in self._containers.values() if raw["State"]["Status"] in UP]

    def _up_of(self, name: str) -> list[dict[str, Any]]:
        return [raw for raw in self._all_up() if raw["Id"] in self.ours and raw["Config"]["Labels"][LABEL] == name]

    # --- what must never happen ----------------------------------------------------------------------------------

    def _wrap_engine(self) -> None:
        engine = self.host.engine
        create, start, die, inspect = engine._create, engine._start, engine._die, engine.inspect

        def created(name: str, body: dict[str, Any]) -> str:
            container = create(name, body)
            if name.startswith("reconciler.default.") and not name.endswith(OTHERS):
                self.ours.add(container)
            return container

        def started(container: str) -> None:
            ours = container in self.ours & self._containers.keys()
            if not ours or engine.belated or self._raw(container)["State"]["Status"] in UP:
                start(container)
                if engine.belated:
                    self.belated.add(container)
                    self._check_pairs()
                return
            if not self.verified.pop(container, False):
                raise ViolationError(f"{self._raw(container)['Name']} was started without having been verified")
            start(container)
            self._check_pairs()
            if self._raw(container)["Config"]["Labels"][LABEL] not in self.replacing:
                self._check_running()

        def died(container: str, code: int, *, oom: bool = False) -> None:
            if engine.belated:  # whoever asked for it has given it up
                self.ended_itself.add(container)
            self.noisy.discard(container)
            die(container, code, oom=oom)

        def inspected(container: str) -> Any:
            found = inspect(container)
            if container in self.ours and self.in_lane and self._raw(container)["State"]["Status"] not in UP:
                self.verified[container] = not outside_the_floor(self._raw(container))
            return found

        engine._create, engine._start = created, started  # type: ignore[method-assign]
        engine._die, engine.inspect = died, inspected  # type: ignore[method-assign]
        engine.before_call = self._check_call

    def _check_call(self, call: str) -> None:
        """What was verified before the sandbox's other container was stopped is not verified any more."""
        what, _, about = call.partition(" ")
        if what in {"stop", "remove"} and not self.host.engine.belated:
            self.verified = {
                container: fit
                for container, fit in self.verified.items()
                if container in self._containers
                and self._raw(container)["Name"].split(".")[:3] != f"/{about}".split(".")[:3]
            }
        not_ours = about.startswith("stranger") or about.endswith(OTHERS)
        if what in {"start", "stop", "remove", "unpause", "rename"} and not_ours:
            raise ViolationError(f"{call}: it is not ours")

    def _check_running(self) -> None:
        """Under the limit, but for what an engine started belatedly, which nobody can call back."""
        running = self._up_among(self.ours - self.belated)
        limit = max(self.limits.values(), default=0)
        if len(running) > limit:
            raise ViolationError(f"{len(running)} run under a limit of {limit}: {sorted(running)}")

    def _check_pairs(self) -> None:
        running = self._running()
        if len(set(running)) < len(running):
            raise ViolationError(f"two run for one name: {sorted(running)}")

    def _check_queue(self) -> None:
        """Who has never failed never waits behind who is in backoff."""
        statuses = self.host.store.statuses().values()
        used = {*self._running(), *self.controller._in_flight}
        resting = [status.name for status in statuses if status.phase == "Backoff" and status.name not in used]
        waiting = [one.name for one in statuses if one.reason is Reason.LIMIT_EXCEEDED and not one.failures]
        if resting and set(waiting) - used and len(used) < self.controller.reading.policy.sandboxes_max:
            raise ViolationError(f"{waiting} have never failed and wait for {resting}, which are in backoff")

    def _check_told(self) -> None:
        """What is ours and serves is shown ready, and nothing else; what is not as declared is never shown synced.

        Of a sandbox that a lane works on this is not known, nor of one that somebody has changed without a word.
        """
        unclear = {raw["Config"]["Labels"][LABEL] for raw in self._all_up() if self._is_unclear(raw)}
        for name, status in self.host.store.statuses().items():
            if name in self.controller._in_flight.keys() | unclear:
                continue
            strange = {container for container, owner in self.controller._sandbox_of.items() if not owner}
            serving = [raw for raw in self._up_of(name) if _serves(raw) and raw["Id"] not in strange]
            settling = status.failures and any(self._is_new(raw) for raw in serving)
            if bool(serving) is not status.ready and not (settling and not status.ready):
                raise ViolationError(f"{name} {'serves' if serving else 'does not serve'}, and is shown otherwise")
            synced = status.condition(ConditionType.SYNCED)
            if synced and synced.status and not self._is_synced(name, status.container_id):
                raise ViolationError(f"{name} is not as declared, and is shown synced")

    def _is_new(self, raw: dict[str, Any]) -> bool:
        started = datetime.fromisoformat(raw["State"]["StartedAt"]).timestamp()
        return self.host.clock.now() - started < backoff.MIN_READY_SECONDS

    def _is_synced(self, name: str, container: str) -> bool:
        desired, policy = self.controller.reading.desired, self.controller.reading.policy
        if name not in desired.declared or judge(desired.declared[name], policy, SOURCES):
            return False
        sandbox, raw = effective(desired.declared[name].sandbox, policy), self._containers.get(container)
        if sandbox.state is DesiredState.STOPPED:
            return name not in self._running()
        return raw is not None and (
            container in self.drifted
            or (
                raw["HostConfig"]["Memory"] == sandbox.mem_limit
                and raw["Config"]["Image"] == sandbox.image
                and raw["Config"]["Labels"].items() >= policy.labels.items()
                and not outside_the_floor(raw)
            )
        )

    def _check_patience(self, lane: Lane, memory: Memory) -> None:
        """What is unhealthy is left up while its failure rests, and for good when it is not to be restarted."""
        name, status = lane.sandbox, memory.statuses[lane.sandbox]
        if lane.cause is not Reason.UNHEALTHY:
            return
        if self.controller.reading.desired.declared[name].sandbox.restart == "no":
            raise ViolationError(f"{name} is restarted, and says that it is not to be")
        if 0 < status.retry_at - self.host.clock.now() <= backoff.MAX_SECONDS:
            raise ViolationError(f"{name} is unhealthy and restarted without a rest")

    def _check_turn(self, lane: Lane, memory: Memory) -> None:
        """Who has failed again and again never takes the slot for which waits who has never failed."""
        name, starts = lane.sandbox, any(isinstance(action, Start) for action in lane.actions)
        waiting = [one for one in self.controller._plan.lanes if one.verdict == "WAIT" and one.cause == "LimitExceeded"]
        if not starts or name in self._running() or memory.statuses[name].failures < 2:
            return
        if patient := [one.sandbox for one in waiting if not memory.statuses[one.sandbox].failures]:
            raise ViolationError(f"{name} has failed and goes before {patient}, which have never failed")

    def _check_lane(self, lane: Lane) -> None:
        """What a lane may do follows from the last scan alone."""
        desired, policy = self.controller.reading.desired, self.controller.reading.policy
        memory = self.controller._memory()
        name = lane.sandbox
        limit = policy.sandboxes_max
        counted = {name, *self.controller._in_flight}
        self.limits = {other: max(limit, self.limits.get(other, 0)) for other in counted}
        self.replacing = {other for other in self.replacing if other in self.controller._in_flight}
        if name in self._running():
            self.replacing.add(name)
        self._check_updates(lane, policy.replacements.max_parallel)
        status = memory.statuses.get(name)
        full = {id_ for id_, size in status.disk_bytes.items() if size > policy.limits.disk} if status else set()
        if full & {action.container for action in lane.actions if isinstance(action, Start)}:
            raise ViolationError(f"{lane}: it has written too much, and is started again")
        if all(isinstance(action, Stop) and action.container in full | self.noisy for action in lane.actions):
            return
        self._check_file(lane, desired)
        self._check_turn(lane, memory)
        self._check_patience(lane, memory)
        if lane.cause is not Reason.FILE_REMOVED:
            return
        if name in desired.declared or not desired.sound:
            raise ViolationError(f"{lane}: its absence is not sure")
        if {action.container for action in lane.actions if isinstance(action, Stop | Remove)} <= memory.approved:
            return
        before = self.withheld_before
        if before and before.policy == policy.fingerprint and name in before.containers:
            raise ViolationError(f"{lane}: it was withheld, and nobody has approved it")
        self._check_budget(name, policy)

    def _check_budget(self, name: str, policy: Policy) -> None:
        """In no window is more removed without approval than `max`, or than `share` of what ran when it began."""
        now, budget = self.host.clock.now(), policy.removals
        removed = {one for one, at in self.removed_at.items() if abs(now - at) < budget.window} | {name}
        begun = inf if self.jumped else now - budget.window  # nobody can tell when, by a clock that was set
        ran = {one for one in self._running() if self.known_since.get(one, now) <= begun} | removed
        share = int(budget.share * len(ran)) if self.remembered_since <= begun else 0
        if len(removed) > max(budget.max, share):
            raise ViolationError(f"{sorted(removed)} are removed, and {sorted(ran)} ran when the window began")
        self.removed_at[name] = now

    def _check_file(self, lane: Lane, desired: Desired) -> None:
        """Nothing is done on the word of a file that cannot be used, or must not be used yet.

        The policy outranks it, and what somebody has changed is nobody's word.
        """
        name = lane.sandbox
        suspended = name in desired.declared and desired.declared[name].sandbox.suspend
        if lane.cause in OUTRANK or (lane.cause is Reason.DRIFTED and not suspended):
            return
        if name in desired.broken or (name in desired.declared and desired.declared[name].sandbox.suspend):
            raise ViolationError(f"{lane}: it is held")
        if name in desired.strays and name not in desired.declared:
            raise ViolationError(f"{lane}: a stray may be meant as it")
        if name in desired.declared and id(desired.declared[name]) not in self.host.directory.believable:
            raise ViolationError(f"{lane}: its file was read in the middle of a merge")
        wanted = [one for one in desired.declared.values() if one.sandbox.state is DesiredState.RUNNING]
        fixed = [one.name for one in wanted if any(port.published for port in one.sandbox.ports)]
        if len(fixed) > 1:
            raise ViolationError(f"{lane}: {fixed} publish the same port")

    def _check_updates(self, lane: Lane, limit: int) -> None:
        """A changed policy never replaces everything at once, and a freeze withholds what it would replace."""
        if lane.is_update and not self.controller.reading.desired.sound:
            raise ViolationError(f"{lane}: what it is replaced by is not sure")
        in_flight = self.controller._in_flight
        self.updating = {
            other: max(limit, highest)
            for other, highest in self.updating.items()
            if other in in_flight and in_flight[other].is_update and other != lane.sandbox
        }
        if lane.is_update:
            self.updating[lane.sandbox] = limit
            if len(self.updating) > max(self.updating.values()):
                raise ViolationError(f"{sorted(self.updating)} are replaced at once under a limit of {limit}")

    def _check_end(self, last: Outcome) -> None:
        """A lane that has ended well, or has found an exchanged source, leaves none mounted."""
        if last.failure is Reason.MOUNT_MISMATCH:
            raise ViolationError(f"{last.lane}: what has something else mounted was not stopped at once")
        if last.failure is None and last.action == last.lane.actions[-1]:
            self._check_mounts(last.lane.sandbox)

    def _check_mounts(self, name: str) -> None:
        for raw in self._all_up():
            if raw["Config"]["Labels"].get(LABEL) == name and raw["Id"] in self.host.engine.paths.strayed:
                raise ViolationError(f"{name} runs with something else mounted")

    # --- what must come to be ------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Faults end; then the world becomes as declared, and nothing more is done."""
        engine, directory = self.host.engine, self.host.directory
        engine.fault, engine.down, engine.indescribable, directory.readable = "", None, "", True
        directory.under_way = False
        engine.paths.are_exchanged = False
        engine.happen_late()
        self.host.policy = self.host.policy or allowing()
        self.resync()
        quiet = 0
        for _ in range(SETTLE_ROUNDS):
            quiet = 0 if self._writes_of_a_round() else quiet + 1
            if quiet == QUIET_ROUNDS:
                self._check_settled()
                return
        raise ViolationError(f"it does not settle: {self._writes_of_a_round()}")

    def _writes_of_a_round(self) -> list[str]:
        """Those that fail are left out: what cannot be had is asked for again and again."""
        before = len(self.host.engine.calls)
        self._round()
        failing = {name for name, status in self.host.store.statuses().items() if status.failures}
        writes = (call for call in self.host.engine.calls[before:] if call.split()[0] in WRITES)
        return [call for call in writes if not any(f"reconciler.default.{name}." in call for name in failing)]

    def _round(self) -> None:
        self.host.clock.elapsed += RESYNC_SECONDS * 1.5
        self.hear()
        self._tell_of_noise()
        self.work()
        for _ in range(200):
            if not self.lanes.lanes:
                break
            self.lane(0)
        self.work()
        self.approve()

    def _check_settled(self) -> None:
        self.drifted.clear()
        self._check_told()
        policy, files = self.host.policy, self.host.directory.files
        assert policy is not None
        desired = self.host.directory.scan()
        held = {name for name, sandbox in files.items() if name in desired.broken or (sandbox and sandbox.suspend)}
        held |= self.host.directory.strays - files.keys()
        accepted = {
            name: effective(declaration.sandbox, policy)
            for name, declaration in desired.declared.items()
            if not judge(declaration, policy, SOURCES, self.host.engine.known_image(declaration.sandbox.image))
            and name not in held
        }
        unclear = [raw for raw in self._containers.values() if self._is_unclear(raw) or raw["Name"].endswith(OTHERS)]
        running = set(self._up_among(self.ours - {raw["Id"] for raw in unclear}))
        full = {
            raw["Config"]["Labels"][LABEL]: raw["State"]["Status"] in UP
            for raw in self._containers.values()
            if raw["Id"] in self.ours
            and self.host.engine.size_of(raw["Id"]) > policy.limits.disk
            and raw not in unclear
        }
        if loud := {one for one in self.noisy if self.controller._sandbox_of.get(one)}:
            raise ViolationError(f"{loud} have said too much, and run on")
        if any(full.values()):
            raise ViolationError(f"of {sorted(full)}, some have written too much, and run")
        for name in running:
            if not self._may_run_on(name, policy):
                raise ViolationError(f"{name} is held, and the policy forbids it")
            declared = files.get(name)
            suspended = declared is not None and declared.suspend
            if not suspended and any(map(outside_the_floor, self._up_of(name))):
                raise ViolationError(f"{name} is held, and somebody has changed it")
        for name in running - held:
            refused_but_good = name in files and name not in accepted
            stopped = name in accepted and accepted[name].state is DesiredState.STOPPED
            if name not in files or stopped or (refused_but_good and not self._may_run_on(name, policy)):
                raise ViolationError(f"{name} runs and should not")
        able = {
            name
            for name, sandbox in accepted.items()
            if sandbox.state is DesiredState.RUNNING and sandbox.image != "missing:1"
        }
        ended = {
            status.name
            for status in self.host.store.statuses().values()
            if status.phase in {"Completed", "Failed"}
            and (self.forgetful or status.container_id in {*self.ended_itself, status.noisy})
        }
        waiting = able - running - ended - full.keys() - {raw["Config"]["Labels"][LABEL] for raw in unclear}
        if any(FIXED_PORT in str(raw["HostConfig"]["PortBindings"]) for raw in self._all_up()):
            waiting -= {name for name in able if any(port.published for port in accepted[name].ports)}
        if waiting and len(running) + len(unclear) < policy.sandboxes_max:
            raise ViolationError(f"{sorted(waiting)} do not run, and {sorted(running)} do")
        for name in running & accepted.keys() - {raw["Config"]["Labels"][LABEL] for raw in unclear}:
            if any(map(_is_unhealthy, self._up_of(name))) and accepted[name].restart != "no":
                raise ViolationError(f"{name} is unhealthy for ever")
            self._check_as_declared(name, accepted[name], policy)

    def _is_unclear(self, raw: dict[str, Any]) -> bool:
        """Renamed and changed, or not described: without a status that knows it, it may as well be a stranger's."""
        if raw["Id"] == self.host.engine.indescribable:
            return True
        renamed = raw["Id"] in self.ours and not raw["Name"].startswith("/reconciler.")
        known = {status.container_id for status in self.host.store.statuses().values()}
        return renamed and raw["Id"] not in known and bool(outside_the_floor(raw))

    def _may_run_on(self, name: str, policy: Policy) -> bool:
        """Whether what runs is what the policy in force allows, whatever the file asks for now."""
        if policy.on_violation is OnViolation.REPORT:
            return True
        up = (raw for raw in self._all_up() if raw["Config"]["Labels"].get(LABEL) == name and raw["Id"] in self.ours)
        return all(
            raw["HostConfig"]["Memory"] <= policy.limits.mem_limit
            and all(port in policy.published_ports for port in _published(raw))
            for raw in up
        )

    def _check_as_declared(self, name: str, sandbox: Sandbox, policy: Policy) -> None:
        status = self.host.store.statuses()[name]
        (raw,) = (raw for raw in self._all_up() if raw["Id"] in self.ours and raw["Config"]["Labels"][LABEL] == name)
        host = raw["HostConfig"]
        replaced = sandbox.image == "missing:1" or status.failures  # what waits to be replaced keeps its name
        if not raw["Name"].startswith(f"/reconciler.default.{name}.") and not replaced:
            raise ViolationError(f"{name} runs under the name {raw['Name']}")
        left = [other for other in self._containers.values() if other["Config"]["Labels"].get(LABEL) == name]
        waits = status.failures  # for its replacement, which may be there already
        if status.phase == "Running" and not waits and len([one for one in left if one["Id"] in self.ours]) > 1:
            raise ViolationError(f"{name} runs, and something is left over")
        if sandbox.image != "missing:1" and (
            host["Memory"] != sandbox.mem_limit
            or raw["Config"]["Image"] != sandbox.image
            or raw["State"]["Status"] != "running"
            or outside_the_floor(raw)
        ):
            raise ViolationError(f"{name} runs otherwise than declared ({status.phase} {status.reason})")
        if not _published(raw) <= set(policy.published_ports):
            raise ViolationError(f"{name} publishes {_published(raw)}, outside of {policy.published}")
        self._check_mounts(name)
        for key, value in policy.labels.items():
            if raw["Config"]["Labels"].get(key) != value and sandbox.image != "missing:1":
                raise ViolationError(f"{name} lacks the label {key} of the policy")


def _published(raw: dict[str, Any]) -> set[int]:
    """The host's ports that a container is to take."""
    return {int(one["HostPort"]) for bound in raw["HostConfig"]["PortBindings"].values() for one in bound}


def _is_unhealthy(raw: dict[str, Any]) -> bool:
    return bool(raw["State"].get("Health", {}).get("Status") == "unhealthy")


def _serves(raw: dict[str, Any]) -> bool:
    health = raw["State"].get("Health", {}).get("Status", "healthy")
    return bool(raw["State"]["Status"] == "running" and health == "healthy")
