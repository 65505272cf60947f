"""One simulation: a story told to the real controller, watched after every single call."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.control.controller import Controller
from reconciler.control.executor import Executor
from reconciler.control.read import Reading
from reconciler.control.reconcile import Cycle, Reconciler
from reconciler.control.schedule import RESYNC_SECONDS
from reconciler.model.plan import Outcome, SandboxPlan
from reconciler.planning.situation import Memory
from tests.simulation import properties
from tests.simulation.properties import ViolationError
from tests.simulation.steps import Steps
from tests.simulation.story import Step
from tests.simulation.witness import Settled, Witness
from tests.simulation.world import Host, KilledError, allowing

WRITES = {"create", "create_network", "start", "stop", "remove", "unpause"}
SETTLE_ROUNDS = 40
QUIET_ROUNDS = 5
"""So long that nothing rests any more."""


class Simulation(Steps):
    """The controller and what happens to it; `play` asks all properties at their moments."""

    def __init__(self) -> None:
        self.host = Host()
        self.witness = Witness(self.host)
        engine, witness = self.host.engine, self.witness
        engine.before_call, engine.before_start, engine.after_start = self._call, self._before_start, self._after_start
        engine.created, engine.inspected, engine.died = witness.created, witness.inspected, witness.died
        engine.missed = witness.missed
        engine.another.before_call = self._call_elsewhere
        self._begin()

    def play(self, story: list[Step]) -> None:
        """Raises `ViolationError`."""
        for step in story:
            getattr(self, step.what)(*step.how)
        self.settle()

    # --- steps: the controller -----------------------------------------------------------------------------------

    def work(self) -> None:
        controller, passes = self.controller, self.controller.status.passes
        self.witness.works()
        self._survive(self.controller.work)
        self.witness.worked(one.planned.sandbox for one in self.executor.under_way)
        if (self.controller, self.controller.status.passes - 1) == (controller, passes):
            for holds in properties.AFTER_A_PASS:
                holds(self.witness)

    def planned(self, number: int) -> None:
        self.witness.executing = True
        self._survive(lambda: self.executor.step(number))
        self.witness.executing = False

    def restart(self, state: str = "kept", number: int = 0) -> None:
        if state == "lost":
            self.another_engine(answers=False)
            self.host.store.lose()
        if state == "corrupt":
            self.host.store.spoil(number)
        self.witness.ended(state_kept=state == "kept")
        self.host.store.release()
        self._begin()

    def _survive(self, work: Callable[[], None]) -> None:
        try:
            work()
        except KilledError:
            self.restart()

    def _begin(self) -> None:
        self.host.policy = self.host.policy or allowing()
        self.controller = Controller(
            self.host.dependencies(), executor=self._make_executor, reconciler=self._make_reconciler
        )
        self.witness.begun(self.controller)

    def _make_executor(self, *given: Any) -> Executor:
        self.executor = SteppedExecutor(*given)
        self.executor.submitted, self.executor.ended = self._before_sandbox_plan, self._after_sandbox_plan
        return self.executor

    def _make_reconciler(self, *given: Any) -> Reconciler:
        reconciler = WatchedReconciler(*given)
        reconciler.planned = self._planned
        return reconciler

    # --- the moments at which properties are asked ---------------------------------------------------------------

    def _call(self, call: str) -> None:
        self.witness.called(call)
        for holds in properties.BEFORE_A_CALL:
            holds(self.witness, call)

    def _call_elsewhere(self, call: str) -> None:
        for holds in properties.BEFORE_A_CALL_OF_ANOTHER_ENGINE:
            holds(self.witness, call)

    def _before_start(self, container: str) -> None:
        if container in self.witness.ours:
            for holds in properties.BEFORE_A_START:
                holds(self.witness, container)
            self.witness.starts(container)

    def _after_start(self, container: str) -> None:
        if container in self.witness.ours:
            for holds in properties.AFTER_A_START:
                holds(self.witness, container)

    def _planned(self, cycle: Cycle) -> None:
        self.witness.cycle = cycle
        self.witness.answered(cycle.answers)
        for holds in properties.OF_A_PLAN:
            holds(self.witness, cycle)

    def _before_sandbox_plan(self, planned: SandboxPlan) -> None:
        self.witness.submitted(planned, [one.planned for one in self.executor.under_way])
        for holds in properties.BEFORE_A_SANDBOX_PLAN:
            holds(self.witness, planned)

    def _after_sandbox_plan(self, last: Outcome) -> None:
        for holds in properties.AFTER_A_SANDBOX_PLAN:
            holds(self.witness, last)

    # --- what must come to be ------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Faults end; then the world becomes as declared, and nothing more is done."""
        engine, directory = self.host.engine, self.host.directory
        engine.fault, engine.indescribable, directory.readable = "", "", True
        self.engine("up")
        self.another_engine(answers=False)
        self.log_in(done=True)
        directory.under_way = False
        engine.paths.are_exchanged = False
        engine.happen_late()
        self.host.policy = self.host.policy or allowing()
        self.resync()
        quiet = 0
        for _ in range(SETTLE_ROUNDS):
            quiet = 0 if self._writes_of_a_round() else quiet + 1
            if quiet == QUIET_ROUNDS:
                self._settled()
                return
        raise ViolationError(f"it does not settle: {self._writes_of_a_round()}")

    def _settled(self) -> None:
        assert self.host.policy is not None
        self.witness.drifted.clear()
        end = Settled(self.witness, self.host.policy, self.host.directory.scan())
        for holds in properties.AFTER_A_PASS:
            holds(self.witness)
        for comes in properties.IN_THE_END:
            comes(end)

    def _writes_of_a_round(self) -> list[str]:
        """Those that fail are left out: what cannot be had is asked for again and again."""
        before = len(self.host.engine.calls)
        self._round()
        failing = {name for name, status in self.host.store.statuses().items() if status.failures}
        writes = (call for call in self.host.engine.calls[before:] if call.split()[0] in WRITES)
        return [call for call in writes if not any(f"reconciler.default.{name}." in call for name in failing)]

    def _round(self) -> None:
        self.wait(RESYNC_SECONDS * 1.5)
        self.hear()
        self._tell_of_noise()
        self.work()
        for _ in range(200):
            if not self.executor.under_way:
                break
            self.planned(0)
        self.work()
        self.approve()


@dataclass(eq=False)
class UnderWay:
    planned: SandboxPlan
    outcomes: Iterator[Outcome]
    last: Outcome | None = None


class SteppedExecutor(Executor):
    """Goes on only when it is told to. `submitted` is told of each plan of a sandbox, `ended` of its last outcome."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.under_way: list[UnderWay] = []
        self.submitted: Callable[[SandboxPlan], None] = lambda _: None
        self.ended: Callable[[Outcome], None] = lambda _: None

    def submit(self, planned: SandboxPlan) -> None:
        self.submitted(planned)
        self.under_way.append(UnderWay(planned, self.carry_out(planned)))

    def step(self, number: int) -> None:
        if not self.under_way:
            return
        one = self.under_way[number % len(self.under_way)]
        if outcome := next(one.outcomes, None):
            one.last = outcome
        else:
            self.under_way.remove(one)
            if one.last:
                self.ended(one.last)


class WatchedReconciler(Reconciler):
    """Tells `planned` of each cycle before it is carried out."""

    planned: Callable[[Cycle], None]

    def reconcile(self, reading: Reading, memory: Memory) -> Cycle:
        cycle = super().reconcile(reading, memory)
        self.planned(cycle)
        return cycle
