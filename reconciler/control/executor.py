"""Carries out sandbox plans: in order within a sandbox, in parallel across sandboxes."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import assert_never

from reconciler.control.clock import Clock
from reconciler.control.messages import Progress, SandboxPlanEnded, Tell
from reconciler.control.pin import Pin
from reconciler.control.volumes import Volumes
from reconciler.engine.protocol import Engine
from reconciler.model.container import MOUNTED
from reconciler.model.errors import EngineRefused, EngineUnavailable, Refusal
from reconciler.model.plan import (
    NEW,
    Action,
    Create,
    CreateNetwork,
    Outcome,
    Pull,
    Reason,
    Remove,
    RemoveNetwork,
    Rename,
    SandboxPlan,
    Start,
    Stop,
    Unpause,
    Verify,
)
from reconciler.model.rendered import Rendered
from reconciler.planning.attest import attest
from reconciler.planning.backoff import SAID_BY_KERNEL
from reconciler.planning.images import fitted, forbidden
from reconciler.planning.kernel import cause_of

log = logging.getLogger(__name__)

WORKERS_MAX = 64
"""Enough that sandboxes which wait for a slow stop or a pull do not delay the others."""

CALLS_MAX = 8
"""So many calls that keep the engine busy at a time; with more of them, each takes longer than the gain."""

FAILURES: dict[type[Action], Reason] = {
    CreateNetwork: Reason.CREATE_FAILED,
    RemoveNetwork: Reason.REMOVE_FAILED,
    Pull: Reason.IMAGE_PULL_FAILED,
    Create: Reason.CREATE_FAILED,
    Verify: Reason.VERIFICATION_FAILED,
    Start: Reason.START_FAILED,
    Stop: Reason.STOP_FAILED,
    Unpause: Reason.START_FAILED,
    Rename: Reason.RENAME_FAILED,
    Remove: Reason.REMOVE_FAILED,
}

REFUSALS: dict[Refusal, Reason] = {
    Refusal.NAME_TAKEN: Reason.NAME_TAKEN,
    Refusal.PORT_TAKEN: Reason.PORT_TAKEN,
    Refusal.IMAGE_MISSING: Reason.IMAGE_PULL_FAILED,
    Refusal.BUSY: Reason.ENGINE_BUSY,
    Refusal.UNAUTHORIZED: Reason.IMAGE_PULL_UNAUTHORIZED,
}

Finish = Callable[[str, str], None]
"""Returns when what a sandbox's container has said is written down: with the container, the engine forgets it."""


class _Cancelled(Exception):
    """Goes through the engine's call, and so ends it."""


class Executor:
    """Workers that come and go with the work.

    `tell` gets `Progress`, one `Outcome` per action, and `SandboxPlanEnded` at the end of each plan.
    """

    def __init__(
        self, engine: Engine, pin: Pin, volumes: Volumes, tell: Tell, finish_output: Finish, clock: Clock
    ) -> None:
        self._engine, self._pin, self._volumes, self._tell = engine, pin, volumes, tell
        self._finish_output, self._clock = finish_output, clock
        self._lock = threading.Lock()
        self._waiting: deque[SandboxPlan] = deque()
        self._workers = 0
        self._calls = threading.BoundedSemaphore(CALLS_MAX)
        self._abandoned = threading.Event()
        self._cancelled: dict[str, SandboxPlan] = {}

    def submit(self, planned: SandboxPlan) -> None:
        """Carries the plan out, as soon as fewer than `WORKERS_MAX` are under way."""
        with self._lock:
            self._waiting.append(planned)
            if self._workers < WORKERS_MAX:
                self._workers += 1
                threading.Thread(target=self._work, name=f"plan-{planned.sandbox}", daemon=True).start()

    def abandon(self) -> None:
        """Starts no further action of any plan."""
        self._abandoned.set()

    def cancel(self, planned: SandboxPlan) -> None:
        """Ends its pull when something is heard of it next; one that has not begun does not begin."""
        self._cancelled[planned.sandbox] = planned

    def _work(self) -> None:
        while planned := self._next():
            for _ in self.carry_out(planned):
                pass

    def _next(self) -> SandboxPlan | None:
        """None when nothing waits: the worker ends."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._workers -= 1
            return None

    def carry_out(self, planned: SandboxPlan) -> Iterator[Outcome]:
        """Does the plan's actions in order, until one fails. Never raises: a failure concerns its sandbox only."""
        created = ""
        failed = False
        for action in planned.actions:
            if failed or self._abandoned.is_set():
                break
            outcome = self.perform(planned, action, created)
            if isinstance(action, Create):
                created = outcome.container
            failed = outcome.failure is not None
            self._tell(outcome)
            yield outcome
            if outcome.failure in SAID_BY_KERNEL:  # what reads there must not read until the next pass
                stopped = self.perform(planned, Stop(outcome.container, 0))
                self._tell(stopped)
                yield stopped
        self._tell(SandboxPlanEnded(planned))

    def perform(self, planned: SandboxPlan, action: Action, created: str = "") -> Outcome:
        """Does one action; `created` is the container that stands for `NEW`."""
        begun = self._clock.monotonic()
        outcome = Outcome(planned, action, _container(action, created))
        try:
            outcome = self._call(outcome)
        except _Cancelled:
            outcome = replace(outcome, failure=Reason.PULL_CANCELLED, message="it is wanted no more")
        except EngineUnavailable as error:
            outcome = replace(outcome, failure=Reason.ENGINE_UNAVAILABLE, message=str(error))
        except EngineRefused as error:
            failure = REFUSALS.get(error.refusal, FAILURES[type(action)])
            outcome = replace(outcome, failure=failure, message=str(error), engine_said=error.engine_said)
        except Exception as error:
            log.exception("cannot %s", action)
            outcome = replace(outcome, failure=Reason.INTERNAL_ERROR, message=f"{type(error).__name__}: see the log")
        return replace(outcome, duration_seconds=round(self._clock.monotonic() - begun, 3))

    def _call(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome.action, CreateNetwork | Pull | Create):  # all others name what only one engine has
            self._pin.check()
        match outcome.action:
            case Pull(reference):
                self._pull(outcome.planned, reference)
                return outcome
            case Stop(_, grace_seconds):
                self._engine.stop(outcome.container, grace_seconds)
                return outcome
            case Remove():
                self._finish_output(outcome.planned.sandbox, outcome.container)
        with self._calls:
            return self._brief_call(outcome)

    def _pull(self, planned: SandboxPlan, reference: str) -> None:
        def progress(text: str, share: float | None) -> None:
            if self._cancelled.get(planned.sandbox) is planned:
                raise _Cancelled
            self._tell(Progress(planned, f"pulling {reference}{text}", share))

        progress("", None)
        self._engine.pull(reference, lambda text, share: progress(f": {text}", share))

    def _brief_call(self, outcome: Outcome) -> Outcome:
        container = outcome.container
        match outcome.action:
            case CreateNetwork():
                self._engine.create_network()
            case RemoveNetwork(network):
                self._engine.remove_network(network)
            case Create(rendered):
                if why := self._volumes.why_changed(rendered):
                    return replace(outcome, failure=Reason.CREATE_FAILED, message=why)
                return self._created(outcome, rendered)
            case Verify(rendered):
                return self._verified(outcome, rendered)
            case Start():
                self._engine.start(container)
            case Unpause():
                self._engine.unpause(container)
            case Rename(_, name):
                self._engine.rename(container, name)
            case Remove():
                self._engine.remove(container)
            case Pull() | Stop():
                raise AssertionError(outcome.action)
            case other:
                assert_never(other)
        return outcome

    def _created(self, outcome: Outcome, rendered: Rendered) -> Outcome:
        """An image that was pulled was not known when the plan was made."""
        if any(isinstance(action, Pull) for action in outcome.planned.actions):
            image = self._engine.image(rendered.image)
            if image and (found := [message for _, message, _ in forbidden(image, rendered.spec)]):
                return replace(outcome, failure=Reason.POLICY_VIOLATION, message="; ".join(found))
            rendered = fitted(rendered, image)
        return replace(outcome, container=self._engine.create(rendered.name, rendered.spec))

    def _verified(self, outcome: Outcome, rendered: Rendered) -> Outcome:
        inspection = self._volumes.witnessed(outcome.container, self._engine.inspect(outcome.container))
        mismatches = attest(rendered, inspection)
        if not mismatches:
            return outcome
        if mounted := [mismatch.actual for mismatch in mismatches if mismatch.knob == MOUNTED]:
            message = f"the engine has mounted something else: {', '.join(mounted)}"
            return replace(outcome, failure=Reason.MOUNT_MISMATCH, message=message, mismatches=mismatches)
        failure = Reason.VERIFICATION_FAILED
        if cause_of(mismatches) is Reason.KERNEL_MISMATCH:
            failure = Reason.KERNEL_MISMATCH
        message = "it is not what was asked for: " + "; ".join(map(str, mismatches))
        return replace(outcome, failure=failure, message=message, mismatches=mismatches)


def _container(action: Action, created: str) -> str:
    match action:
        case Verify(container=container) | Start(container) | Stop(container) | Unpause(container) | Remove(container):
            return created if container == NEW else container
        case Rename(container):
            return container
        case CreateNetwork() | RemoveNetwork() | Pull() | Create():
            return ""
        case other:
            assert_never(other)
