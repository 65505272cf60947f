"""When passes, resyncs and heartbeats are due. Times are arguments, in monotonic seconds unless noted otherwise."""

from math import inf

from reconciler.model.plan import Plan, Reason
from reconciler.model.status import HEARTBEAT_SECONDS

RESYNC_SECONDS = 60.0
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 1.0, 30.0
"""The pauses between two attempts to reach an engine that does not answer: each is twice the one before."""

REST_SECONDS_MAX = 1.0
"""The longest pause after a pass; it is twice as long as the pass has kept a core busy."""

BUSY_SECONDS = 1.0
"""The pause before an engine that is busy with a container is looked at again."""

WAIT_SECONDS_MIN = 0.01


class Schedule:
    """When the next pass, resync and heartbeat are due; the first pass is due at once."""

    def __init__(self, now: float, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._pass_at = self._not_before = now
        self._resync_at = now + RESYNC_SECONDS
        self._heartbeat_at = now + heartbeat_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._retry_seconds = RETRY_SECONDS_MIN

    # --- what is due ---------------------------------------------------------------------------------------------

    @property
    def next_at(self) -> float:
        """When something is due next."""
        return min(max(min(self._pass_at, self._resync_at), self._not_before), self._heartbeat_at)

    def pass_is_due(self, now: float) -> bool:
        """Whether a pass should begin, and may: the rest after the last one is over."""
        return now >= max(self._pass_at, self._not_before)

    def resync_is_due(self, now: float) -> bool:
        """Whether what is remembered is so old that all of it is read anew."""
        return now >= self._resync_at

    def heartbeat_is_due(self, now: float) -> bool:
        """Whether it is time for a heartbeat."""
        return now >= self._heartbeat_at

    # --- what has happened ---------------------------------------------------------------------------------------

    def ask(self, at: float) -> None:
        """A pass is due at this time at the latest."""
        self._pass_at = min(self._pass_at, at)

    def resynced(self, now: float) -> None:
        """A resync was begun: a pass is due now."""
        self._resync_at = now + RESYNC_SECONDS
        self.ask(now)

    def heartbeat_sent(self, now: float) -> None:
        """A heartbeat was written and sent."""
        self._heartbeat_at = now + self._heartbeat_seconds

    def begun(self, again_at: float) -> None:
        """A pass has read the files, which answers all requests until now; the next reading is due at `again_at`."""
        self._pass_at = again_at

    def succeeded(self) -> None:
        """The next failure is followed by a short pause again."""
        self._retry_seconds = RETRY_SECONDS_MIN

    def failed(self, now: float) -> None:
        """The next pass comes after a pause that grows with each failure."""
        self._pass_at = now + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, RETRY_SECONDS_MAX)

    def ended(self, now: float, worked_seconds: float) -> None:
        """A pass has ended that used a core for `worked_seconds`: a pause follows, so that passes never fill it."""
        self._not_before = now + min(2 * worked_seconds, REST_SECONDS_MAX)


def wait_seconds(plan: Plan, now: float) -> float:
    """How long until a sandbox may be tried again, or counts as ready; `now` is in seconds since the epoch."""
    waits = [at - now for planned in plan.sandboxes for at in (planned.retry_at, planned.ready_at) if at]
    if any(planned.cause is Reason.ENGINE_BUSY for planned in plan.sandboxes):
        waits.append(BUSY_SECONDS)
    return max(WAIT_SECONDS_MIN, min(waits, default=inf))
