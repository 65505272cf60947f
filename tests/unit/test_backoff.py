"""How long what failed is left alone."""

import pytest

from reconciler.model.plan import Reason, SandboxPlan, Start, Verdict
from reconciler.model.status import Failure, SandboxStatus
from reconciler.planning import backoff
from tests.scene import NOW


def failed(reason: Reason, retry_in: float) -> SandboxStatus:
    failure = Failure(reason=reason, message="it failed", at=NOW - 1)
    return SandboxStatus(name="web", failure=failure, failures=1, retry_at=NOW + retry_in)


@pytest.mark.parametrize(
    ("retry_in", "rests"), [(0.5, True), (backoff.MAX_SECONDS, True), (0, False), (-1, False), (301, False)]
)
def test_a_failure_rests_until_its_time_and_no_longer_than_any_does(retry_in: float, rests: bool) -> None:
    """A time that is too far ahead comes from a clock that was set back."""
    status = failed(Reason.IMAGE_PULL_FAILED, retry_in)
    assert backoff.is_in_backoff(status, backoff.START, NOW) is rests


KINDS = {
    Reason.STOP_FAILED: backoff.STOP_AND_REMOVE,
    Reason.REMOVE_FAILED: backoff.STOP_AND_REMOVE,
    Reason.ENGINE_BUSY: backoff.STOP_AND_REMOVE,
    Reason.IMAGE_PULL_FAILED: backoff.START,
    Reason.MOUNT_MISMATCH: backoff.START,
    Reason.EXIT_CODE: backoff.START,
}


@pytest.mark.parametrize("reason", KINDS)
def test_a_failed_stop_keeps_no_start_waiting_and_a_failed_start_no_stop(reason: Reason) -> None:
    """What failed rests, and nothing else."""
    status = failed(reason, 5)
    for kind in (backoff.START, backoff.STOP_AND_REMOVE):
        assert backoff.is_in_backoff(status, kind, NOW) is (kind is KINDS[reason])
    assert not backoff.is_in_backoff(SandboxStatus(name="web", retry_at=NOW + 5), backoff.START, NOW)


@pytest.mark.parametrize(
    "reason", [Reason.EXITED, Reason.EXIT_CODE, Reason.OOM_KILLED, Reason.UNHEALTHY, Reason.LOG_RATE_EXCEEDED]
)
def test_the_end_of_a_run_is_begun_anew_at_once_the_first_time(reason: Reason) -> None:
    """Whatever ended it; what never ran is left alone for a second. Another start makes none of both good."""
    assert [backoff.delay_seconds(failures, reason) for failures in (1, 2, 3)] == [0, 1, 2]
    assert [backoff.delay_seconds(failures, Reason.MOUNT_MISMATCH) for failures in (1, 2)] == [1, 2]
    assert {reason, Reason.MOUNT_MISMATCH} <= backoff.AFTER_START


@pytest.mark.parametrize(
    ("failures", "ran", "left"),
    [(1, 0, 10), (1, 9.5, 0.5), (1, 10, 0), (0, 4, 0), (1, -10, 20), (1, -10.5, 0)],
)
def test_what_has_failed_counts_as_ready_after_ten_seconds(failures: int, ran: float, left: float) -> None:
    """Who has never failed counts at once, and a clock that was set back keeps nobody waiting for long."""
    status = SandboxStatus(name="web", failures=failures)
    assert backoff.ready_at(status, NOW - ran, NOW) == (NOW + left if left else 0)


def test_what_is_put_off_says_why_and_until_when_and_does_nothing() -> None:
    """Without a failure there is nothing to wait for."""
    planned = SandboxPlan("web", Verdict.START, Reason.NOT_STARTED, "sentence", (Start("1" * 64),))
    status = failed(Reason.PORT_TAKEN, 5)
    put_off = backoff.wait(planned, status)
    assert (put_off.verdict, put_off.cause, put_off.message) == (Verdict.WAIT, Reason.PORT_TAKEN, "it failed")
    assert (put_off.actions, put_off.retry_at) == ((), NOW + 5)
    assert backoff.wait(planned, SandboxStatus(name="web")) is planned
