"""One reconcile cycle: observe, and decide on what was read.

The command `plan` ends there; `apply` and `run` carry the plan out.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from reconciler.control.clock import Clock
from reconciler.control.observer import Observer
from reconciler.control.pin import Pin
from reconciler.control.read import Reading, read_once
from reconciler.control.settings import Settings
from reconciler.engine.protocol import EngineReader
from reconciler.model.plan import Plan
from reconciler.model.status import RecentRemovals, SandboxStatus
from reconciler.model.world import World
from reconciler.planning import status_reducer
from reconciler.planning.asked import Answer, answers
from reconciler.planning.decide import decide
from reconciler.planning.memo import Memo
from reconciler.planning.situation import Memory, Situation
from reconciler.report.store import Store
from reconciler.sources.directory import Directory


@dataclass(frozen=True, slots=True)
class Cycle:
    """A plan and its inputs, and the answers to requests before it. `now` is in seconds since the epoch."""

    reading: Reading
    world: World
    memory: Memory
    now: float
    plan: Plan
    answers: tuple[Answer, ...] = ()


class Reconciler:
    """Makes cycles; results whose inputs have not changed are kept from one to the next."""

    def __init__(self, observer: Observer, clock: Clock, draw_seed: Callable[[], int | None]) -> None:
        self._observer, self._clock, self._draw_seed = observer, clock, draw_seed
        self._memo = Memo()

    def reconcile(self, reading: Reading, memory: Memory) -> Cycle:
        """Raises `EngineUnavailable` and `OwnershipUnclear`.

        The cycle's memory has the statuses after this observation and these answers, and a new seed.
        """
        desired, policy = reading.desired, reading.policy
        world = self._observer.observe(desired, policy, self._clock.now())
        now = self._clock.now()
        statuses = {
            name: status_reducer.on_observed(status, world.of(name), now) for name, status in memory.statuses.items()
        }
        memory = replace(memory, statuses=statuses, seed=self._draw_seed())
        answered = answers(Situation(desired, policy, world, memory, now, Memo()))
        for request, name in ((one.request, one.told.sandbox) for one in answered if not one.refused):
            status = statuses.get(name) or SandboxStatus(name=name, added_at=now)
            statuses[name] = status_reducer.on_asked(status, request, now)
        return Cycle(reading, world, memory, now, decide(desired, policy, world, memory, now, self._memo), answered)


def reconcile_once(settings: Settings, engine: EngineReader, clock: Clock) -> Cycle:
    """What a controller that starts now would plan, without drawing random ports or salts.

    Files are taken as they are, also in the middle of a merge. Raises `PolicyUnknown` and `DirectoryUnreadable` too.
    """
    reading, store = read_once(settings.policy, Directory(settings.directory).scan), Store(settings.state)
    controller, statuses = store.controller(), store.statuses()
    known = [status.container_id for status in statuses.values() if status.container_id]
    memory = Memory(
        statuses,
        secret=secrets.token_bytes(),
        directory=controller.directory_id if controller else None,
        approved=store.approved(),
        requests=store.requests(),
        pending_approval=controller.pending_approval if controller else None,
        recent=controller.removals if controller else RecentRemovals(since=clock.now()),
    )
    observer = Observer(engine, settings.owner, settings.engine_host, Pin(engine, store), known=known)
    return Reconciler(observer, clock, lambda: None).reconcile(reading, memory)
