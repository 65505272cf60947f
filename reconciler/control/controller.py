"""The controller: one thread that owns all state, a queue of what happens elsewhere, and the order of steps."""

import logging
import queue
from collections.abc import Callable, Mapping
from typing import assert_never

from reconciler.control.dependencies import Dependencies
from reconciler.control.executor import Executor
from reconciler.control.messages import (
    DiskMeasured,
    EngineEvent,
    LogRateExceeded,
    Message,
    Notice,
    OutputEnded,
    Progress,
    SandboxPlanEnded,
)
from reconciler.control.observer import Observer
from reconciler.control.own_status import OwnStatus
from reconciler.control.pin import Pin
from reconciler.control.read import Reader, Reading
from reconciler.control.reconcile import Cycle, Reconciler
from reconciler.control.schedule import Schedule, wait_seconds
from reconciler.control.status_writer import StatusWriter
from reconciler.control.watch_engine import watch_engine
from reconciler.control.watch_files import watch_files
from reconciler.model.errors import EngineUnavailable, OwnershipUnclear
from reconciler.model.plan import Action, CreateNetwork, Outcome, Plan, Reason, SandboxPlan, Verdict
from reconciler.model.status import HEARTBEAT_SECONDS, ControllerStatus, Phase, SandboxStatus
from reconciler.model.world import Event, Happening
from reconciler.planning import status_reducer
from reconciler.planning.situation import Memory
from reconciler.planning.summary import in_one_line

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.2
"""How often `apply` looks again while it waits for a health check."""

SHUTDOWN_SECONDS = 10.0
"""How long sandbox plans may take to finish once the controller is asked to stop."""


class Controller:
    """`run` for ever, or `apply` once. Raises `StateUnusable` or `PolicyUnknown` when it cannot begin, and
    `OwnershipUnclear` as soon as it turns out that another controller may be at work on the same sandboxes::

        WAITING -------- it is time ---------> PASSING ------- a plan -------> ACTING
         | ^ ^                                  | | ^                             |
         | | +-- a file has just gone missing --+ | | it is time                  |
         | |                                      v |                             |
         | |                  no answer:  ENGINE ABSENT                           |
         | |                                                                      |
         | +----------------- sandbox plans are submitted ------------------------+
         v
        STOPPING: when asked to, from wherever it waits

    Waiting: messages are handled, also from the executor, which works meanwhile; each may bring the next pass forward.
    Passing: files are read, the engine is observed, a plan is made. Acting, still in the pass: statuses are written,
    the network is set up, sandbox plans are submitted. Engine absent: waiting too, with growing pauses. Stopping: no
    new action starts, and those under way get a little time; `apply` stops by itself when nothing is left to do.
    """

    def __init__(
        self,
        dependencies: Dependencies,
        *,
        executor: Callable[..., Executor] = Executor,
        reconciler: Callable[..., Reconciler] = Reconciler,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        self._dependencies, self._clock, self._store = dependencies, dependencies.clock, dependencies.store
        self._settings, engine = dependencies.settings, dependencies.engine
        self._reader = Reader(dependencies.read_policy, dependencies.scan, self._clock)
        self._store.lock()
        self._metrics = dependencies.metrics
        self._status_writer = StatusWriter(self._store, dependencies.journal, self._metrics, self._clock, on_outcome)
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        known = {status.container_id for status in self._status_writer.statuses.values() if status.container_id}
        self._pin, owner = Pin(engine, self._store), self._settings.owner
        self._observer = Observer(engine, owner, dependencies.host, self._pin, dependencies.parallel_map, known)
        self._reconciler = reconciler(self._observer, self._clock, dependencies.draw_seed)
        self._log_collector = dependencies.log_collector
        self._executor = executor(
            engine, self._pin, self._observer.volumes, self.tell, self._log_collector.finish, self._clock
        )
        self._in_flight: dict[str, SandboxPlan] = {}
        self._sandbox_of: dict[str, str] = {}
        """Of each container that was seen; empty for a stranger's."""
        self._plan = Plan()
        self._own = OwnStatus(self._settings, self._store, self._clock, self.reading.policy.sandboxes_max)
        self._stopping = False
        self._credentials: object = None
        self._measuring_due = False
        self._schedule = Schedule(
            self._clock.monotonic(), min(HEARTBEAT_SECONDS, dependencies.manager.heartbeat_seconds)
        )

    def tell(self, message: Message) -> None:
        """Puts a message on the controller's queue; from any thread, and from a signal handler."""
        self._queue.put(message)

    # --- commands ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Keeps the sandboxes as declared until it is told to stop. Leaves them running."""
        settings = self._settings
        watch_engine(self._dependencies.engine, self.tell)
        files = [settings.registries, *([settings.policy_file] if settings.policy_file else [])]
        with watch_files(settings.directory, files, self._store.asked_in, self.tell):
            log.info("watching %s as instance %s", settings.directory, settings.instance)
            try:
                while not self._stopping:
                    self._turn_and_tell()
            finally:
                self._dependencies.manager.stopping()
                self._shut_down()

    def _turn_and_tell(self) -> None:
        passes, manager = self.status.passes, self._dependencies.manager
        self._turn()
        if self.status.passes > passes:
            manager.ready()
        manager.status(in_one_line(self._status_writer.statuses.values(), available=self.status.available))

    def apply(self, timeout_seconds: float) -> None:
        """Converges once: returns when nothing is left to do now, or when the time is up."""
        deadline = self._clock.monotonic() + timeout_seconds
        try:
            while not self._stopping and self._clock.monotonic() < deadline:
                self._turn(deadline)
                if self._settled():
                    break
                if not self._in_flight:
                    self._schedule.ask(self._clock.monotonic() + SETTLE_SECONDS)
        finally:
            self._shut_down()

    @property
    def status(self) -> ControllerStatus:
        """Of this controller, as it is known now."""
        return self._own.now

    @property
    def statuses(self) -> Mapping[str, SandboxStatus]:
        """By name, as they are now; the files are older while they cannot be written."""
        return self._status_writer.statuses

    @property
    def reading(self) -> Reading:
        """What files and policy said when they were last read."""
        return self._reader.reading

    def _settled(self) -> bool:
        if not self.status.available:
            return True
        unsettled = {Phase.STARTING, Phase.PULLING, Phase.UPDATING, Phase.STOPPING}
        busy = any(status.phase in unsettled for status in self._status_writer.statuses.values())
        return self._plan.changes_nothing and not self._in_flight and not busy

    # --- time ----------------------------------------------------------------------------------------------------

    def _turn(self, deadline: float = float("inf")) -> None:
        """Waits for a message, the next pass or the deadline, and then works; sends a heartbeat when it is due."""
        if self._schedule.heartbeat_is_due(self._clock.monotonic()):
            self._heartbeat()
        self._wait(min(self._schedule.next_at, deadline))
        if not self._stopping:
            self.work()

    def _heartbeat(self) -> None:
        """Tells the state directory and the service manager that the loop is alive."""
        self._store.heartbeat_now()
        self._dependencies.manager.alive()
        self._schedule.heartbeat_sent(self._clock.monotonic())

    def work(self) -> None:
        """Handles all queued messages, makes a pass if one is due, and writes changed statuses."""
        self._wait(0)
        now = self._clock.monotonic()
        if self._schedule.resync_is_due(now):
            self._resync()
        if self._schedule.pass_is_due(now):
            self.make_pass()
        self._status_writer.flush()

    def _wait(self, until: float) -> None:
        """Handles all queued messages; waits for the first one until the given monotonic time."""
        try:
            self._handle(self._queue.get(timeout=max(0.0, until - self._clock.monotonic())))
            while True:
                self._handle(self._queue.get_nowait())
        except queue.Empty:
            return

    def _handle(self, message: Message) -> None:
        match message:
            case Notice.FILES_CHANGED:
                self._reader.invalidate()
                self._pass_soon()
            case EngineEvent(event):
                self._heard(event)
            case Notice.ENGINE_CONNECTED:
                self._resync()
            case Notice.ENGINE_DISCONNECTED:
                self._pass_soon()
            case Notice.RESYNC_ASKED:
                log.info("full resync, as asked")
                self._dependencies.manager.reloading()
                self._resync()
            case Notice.STOP_ASKED:
                self._stopping = True
            case Progress(planned, text, share):
                self._status_writer.reduce(planned.sandbox, status_reducer.on_progress, planned, text, share)
            case Outcome():
                self._done(message)
            case SandboxPlanEnded(planned):
                self._in_flight.pop(planned.sandbox, None)
                self._pass_soon()
            case OutputEnded(sandbox, container, last_output):
                self._status_writer.reduce(sandbox, status_reducer.on_output_ended, container, last_output)
            case DiskMeasured() | LogRateExceeded():
                self._used(message)
            case other:
                assert_never(other)

    def _used(self, message: DiskMeasured | LogRateExceeded) -> None:
        """A running container may use more than the policy allows."""
        match message:
            case LogRateExceeded(sandbox, container, at):
                self._status_writer.reduce(sandbox, status_reducer.on_log_rate_exceeded, container, at)
                self._pass_soon()
            case DiskMeasured(sizes):
                self._status_writer.on_disk_measured(sizes, self._sandbox_of)
                if max(sizes.values(), default=0) > self.reading.policy.limits.disk:
                    self._pass_soon()

    def _heard(self, event: Event) -> None:
        self._observer.heard(event)
        sandbox = self._sandbox_of.get(event.container)
        if sandbox is None and event.what is Happening.REMOVED:  # the last list has shown it already
            return
        if sandbox not in self._in_flight and (sandbox is not None or not self._in_flight):
            self._pass_soon()

    def _pass_soon(self) -> None:
        self._schedule.ask(self._clock.monotonic())

    def _resync(self) -> None:
        """Trusts nothing that is remembered: the next pass reads all files and inspects all containers."""
        self._observer.invalidate_all()
        self._reader.invalidate()
        self._schedule.resynced(self._clock.monotonic())
        self._measuring_due = True

    def _done(self, outcome: Outcome) -> None:
        self._observer.done(outcome)
        self._status_writer.on_outcome(outcome)

    def _shut_down(self) -> None:
        """Starts no further action and gives those under way a little time. The sandboxes keep running."""
        self._executor.abandon()
        until = self._clock.monotonic() + SHUTDOWN_SECONDS
        while self._in_flight and self._clock.monotonic() < until:
            self._wait(until)
        if self._in_flight:
            log.warning("ended while %s were under way", ", ".join(sorted(self._in_flight)))
        self._status_writer.flush()
        self._dependencies.exclusive.release()
        self._store.release()

    # --- the pass ------------------------------------------------------------------------------------------------

    def make_pass(self) -> None:
        """Read, observe, decide, act, report."""
        begun, worked = self._clock.monotonic(), self._clock.worked()
        try:
            reading = self._reader.read()
            self._schedule.begun(reading.again_at)
            self._own.read(reading)
            if not reading.sure:
                return
            self._look_at_credentials()
            self._carry_out(self._reconciler.reconcile(reading, self._memory()))
            self._schedule.succeeded()
            self._own.succeeded()
        except OwnershipUnclear:
            raise
        except EngineUnavailable as error:
            self._observer.invalidate_all()
            self._own.unavailable(str(error))
            self._schedule.failed(self._clock.monotonic())
        except Exception as error:
            log.exception("the pass failed; please report this")
            self._own.failed(error)
            self._schedule.failed(self._clock.monotonic())
        took, worked = self._clock.monotonic() - begun, self._clock.worked() - worked
        self._schedule.ended(self._clock.monotonic(), worked)
        self._own.passed(took)
        self._metrics.passed(self.status, self._status_writer.statuses.values())

    def _look_at_credentials(self) -> None:
        if (credentials := self._dependencies.credentials()) != self._credentials:
            self._credentials = credentials
            self._status_writer.on_credentials_changed()

    def _carry_out(self, cycle: Cycle) -> None:
        """Records what was seen and decided, and then acts."""
        reading, world = cycle.reading, cycle.world
        self._pin.keep()
        self._dependencies.exclusive.hold(world.engine, world.owner.instance)
        self._sandbox_of = {container.id: container.sandbox for container in world.containers}
        self._sandbox_of |= dict.fromkeys((stranger.id for stranger in world.unmanaged), "")
        self._status_writer.on_observed(cycle.memory.statuses)
        self._status_writer.on_answered(cycle.answers)
        if self._measuring_due:
            self._measuring_due = False
            self._dependencies.disk.measure(self.tell)
        # the last output belongs to an exit that was counted
        counted = [one for one in world.containers if one.up or one.sandbox not in self._in_flight]
        self._log_collector.follow(counted, self.tell, reading.policy.limits.log_rate)
        self._plan = cycle.plan
        self._status_writer.on_planned(self._plan, reading.desired, world)
        self._status_writer.keep_only({planned.sandbox for planned in self._plan.sandboxes} | self._in_flight.keys())
        self._own.decided(cycle, self._status_writer.statuses.values())
        # before acting, as this process may be killed meanwhile; who only waits can wait for that too
        acted_on = {planned.sandbox for planned in self._plan.sandboxes if planned.actions}
        self._status_writer.flush(acted_on | cycle.memory.requests.keys())
        for name in cycle.plan.outdated:
            self._executor.cancel(self._in_flight[name])
        for name, request in cycle.memory.requests.items():
            if name not in cycle.memory.in_flight:
                self._store.spend_request(name, request)
        self._act(self._plan)

    def _memory(self) -> Memory:
        return Memory(
            statuses=self._status_writer.statuses,
            secret=self._dependencies.secret,
            directory=self.status.directory_id,
            approved=self._store.approved(),
            requests=self._store.requests(),
            pending_approval=self.status.pending_approval,
            recent=self.status.removals,
            in_flight=frozenset(self._in_flight),
            replacing=frozenset(name for name, planned in self._in_flight.items() if planned.is_update),
            pulling={name: planned.pulls for name, planned in self._in_flight.items() if planned.pulls},
        )

    def _act(self, plan: Plan) -> None:
        for action in plan.setup:
            outcome = self._executor.perform(_setup_plan(action), action)
            self._done(outcome)
            if outcome.failure is not None:
                self._schedule.failed(self._clock.monotonic())
            elif isinstance(action, CreateNetwork):
                self._pass_soon()
        if any(isinstance(action, CreateNetwork) for action in plan.setup):
            return  # a new network is inspected before anything is started in it
        for planned in plan.sandboxes:
            if planned.actions:
                self._in_flight[planned.sandbox] = planned
        for planned in plan.sandboxes:
            if planned.actions:
                self._executor.submit(planned)
        self._schedule.ask(self._clock.monotonic() + wait_seconds(plan, self._clock.now()))


def _setup_plan(action: Action) -> SandboxPlan:
    if isinstance(action, CreateNetwork):
        return SandboxPlan("", Verdict.CREATE, Reason.NETWORK_MISSING, actions=(action,))
    return SandboxPlan("", Verdict.REMOVE, Reason.NETWORK_UNFIT, "two networks have its name", (action,))
