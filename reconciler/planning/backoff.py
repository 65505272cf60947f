"""How long to leave alone what failed: at once after the first exit, then 1 s, doubling to 5 minutes."""

from dataclasses import replace

from reconciler.model.plan import Reason, SandboxPlan, Verdict
from reconciler.model.status import SandboxStatus

FIRST_SECONDS = 1.0
MAX_SECONDS = 300.0

MIN_READY_SECONDS = 10.0
"""What has failed counts as ready only after it has run for so long: a crash loop never does."""

SETTLING = f"it has failed, and counts as ready once it has run for {MIN_READY_SECONDS:.0f} s"

RUN = frozenset({Reason.EXITED, Reason.EXIT_CODE, Reason.OOM_KILLED, Reason.UNHEALTHY, Reason.LOG_RATE_EXCEEDED})
"""Failures of a run that had begun."""

SAID_BY_KERNEL = frozenset({Reason.MOUNT_MISMATCH, Reason.KERNEL_MISMATCH})
"""What runs, and is not what the engine says: it is stopped at once."""

AFTER_START = RUN | SAID_BY_KERNEL | {Reason.DRIFTED}
"""Failures that starting once more does not make good."""

STOP_AND_REMOVE = frozenset({Reason.STOP_FAILED, Reason.REMOVE_FAILED, Reason.ENGINE_BUSY})
"""Failures after which nothing is stopped or removed until the backoff ends."""

START = frozenset(Reason) - STOP_AND_REMOVE
"""Failures after which nothing is started until the backoff ends."""


def delay_seconds(failures: int, reason: Reason) -> float:
    """The wait after so many failures in a row. A run that fails for the first time is begun anew at once."""
    doublings = failures - 1
    if reason in RUN:
        if failures <= 1:
            return 0.0
        doublings = failures - 2
    return min(FIRST_SECONDS * 2.0 ** min(doublings, 20), MAX_SECONDS)


def is_in_backoff(status: SandboxStatus, after: frozenset[Reason], now: float) -> bool:
    """Whether the last failure is one of these and its backoff lasts; one that ends too late is of a clock set back."""
    if status.failure is None or status.failure.reason not in after:
        return False
    return 0 < status.retry_at - now <= MAX_SECONDS


def ready_at(status: SandboxStatus, started_at: float, now: float) -> float:
    """When what runs counts as ready, 0 when it does; a time too far ahead comes from a clock that was set back."""
    at = started_at + MIN_READY_SECONDS
    return at if status.failures and 0 < at - now <= 2 * MIN_READY_SECONDS else 0


def wait(planned: SandboxPlan, status: SandboxStatus) -> SandboxPlan:
    """The same plan, put off until the backoff of the last failure ends."""
    if status.failure is None:
        return planned
    return replace(
        planned,
        verdict=Verdict.WAIT,
        cause=status.failure.reason,
        message=status.failure.message,
        actions=(),
        retry_at=status.retry_at,
    )
