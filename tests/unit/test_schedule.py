"""When the next pass, resync, retry and heartbeat are due: times come in, and times come out."""

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from reconciler.control.schedule import (
    BUSY_SECONDS,
    REST_SECONDS_MAX,
    RESYNC_SECONDS,
    RETRY_SECONDS_MAX,
    WAIT_SECONDS_MIN,
    Schedule,
    wait_seconds,
)
from reconciler.model.plan import Plan, Reason, SandboxPlan, Verdict

BEGIN, HEARTBEAT = 1000.0, 10.0
NEVER = BEGIN + HEARTBEAT
"""With nothing else to do, the heartbeat is what comes next."""


def after(*happenings: Callable[[Schedule], None]) -> Schedule:
    """A schedule after its first pass, which asked for nothing and took no time, and after what happened then."""
    schedule = Schedule(BEGIN, HEARTBEAT)
    schedule.begun(inf)
    schedule.ended(BEGIN, 0)
    for happens in happenings:
        happens(schedule)
    return schedule


def did(what: str, *times: float) -> Callable[[Schedule], None]:
    return lambda schedule: getattr(schedule, what)(*times)


CASES: dict[str, tuple[list[Callable[[Schedule], None]], float]] = {
    "nothing happens": ([], NEVER),
    "a message wants a pass now": ([did("ask", 1003)], 1003),
    "the earliest of several wishes counts": ([did("ask", 1005), did("ask", 1003), did("ask", 1004)], 1003),
    "a wish for never is none": ([did("ask", inf)], NEVER),
    "a pass makes good what was asked for": ([did("ask", 1003), did("begun", inf)], NEVER),
    "the files want to be read again": ([did("begun", 1003)], 1003),
    "a wish may come before the files": ([did("begun", 1005), did("ask", 1003)], 1003),
    "a resync asks for a pass": ([did("resynced", 1003)], 1003),
    "an absent engine is asked after a second": ([did("begun", inf), did("failed", 1001)], 1002),
    "an absent engine outranks the files": ([did("begun", 1001.2), did("failed", 1001)], 1002),
    "a message outranks an absent engine": ([did("failed", 1001), did("ask", 1001.5)], 1001.5),
    "an engine that was absent begins anew": (
        [did("failed", 1001), did("failed", 1002), did("succeeded"), did("failed", 1004)],
        1005,
    ),
    "no pass right after a long one": ([did("ended", 1001, 0.4), did("ask", 1001)], 1001.8),
    "no pause is longer than a second": ([did("ended", 1001, 90), did("ask", 1001)], 1001 + REST_SECONDS_MAX),
    "a heartbeat comes meanwhile": ([did("ask", 1500)], BEGIN + HEARTBEAT),
    "a heartbeat was given": ([did("heartbeat_sent", 1009), did("ask", 1500)], 1009 + HEARTBEAT),
    "a resync comes by itself": ([did("heartbeat_sent", 1055)], BEGIN + RESYNC_SECONDS),
    "a resync was made early": ([did("resynced", 1030), did("begun", inf), did("heartbeat_sent", 1085)], 1090),
}


@pytest.mark.parametrize("case", CASES)
def test_what_comes_next(case: str) -> None:
    """The loop sleeps until then, unless a message wakes it."""
    happenings, due = CASES[case]
    assert after(*happenings).next_at == pytest.approx(due)


def test_the_first_pass_is_due_at_once() -> None:
    """And neither a resync nor a heartbeat, which come after their time."""
    schedule = Schedule(BEGIN, HEARTBEAT)
    assert [schedule.pass_is_due(BEGIN), schedule.resync_is_due(BEGIN), schedule.heartbeat_is_due(BEGIN)] == [1, 0, 0]
    assert schedule.heartbeat_is_due(BEGIN + HEARTBEAT)
    assert schedule.resync_is_due(BEGIN + RESYNC_SECONDS)


def test_a_pass_waits_for_the_end_of_the_pause() -> None:
    """However many want it; a resync does not shorten the pause either."""
    schedule = after(did("ended", 1001, 0.4), did("ask", 1001), did("resynced", 1001))
    assert [schedule.pass_is_due(now) for now in (1001, 1001.79, 1001.81)] == [False, False, True]


def test_an_absent_engine_is_asked_less_and_less_often() -> None:
    """Twice as long each time and never longer than the longest pause, also after days."""
    schedule, pauses = Schedule(0, inf), list[float]()
    for _ in range(5000):
        schedule.failed(0)
        pauses.append(schedule.next_at)
    assert pauses[:6] == [1, 2, 4, 8, 16, RETRY_SECONDS_MAX]
    assert set(pauses[5:]) == {RETRY_SECONDS_MAX}


NOW = 1_700_000_000.0

WAITS: dict[str, tuple[list[dict[str, Any]], float]] = {
    "nobody waits": ([{}], inf),
    "who failed is tried again": ([{"retry_at": NOW + 40}], 40),
    "who has started anew counts as ready": ([{"ready_at": NOW + 8}], 8),
    "the first of all": ([{"retry_at": NOW + 40}, {"retry_at": NOW + 20, "ready_at": NOW + 30}], 20),
    "a busy engine is looked at soon": ([{"cause": Reason.ENGINE_BUSY}, {"retry_at": NOW + 40}], BUSY_SECONDS),
    "what is over is not waited for": ([{"retry_at": NOW - 5}], WAIT_SECONDS_MIN),
}


@pytest.mark.parametrize("case", WAITS)
def test_how_long_a_plan_waits(case: str) -> None:
    """The times of the sandboxes are of the wall clock, the wait is a number of seconds."""
    given, seconds = WAITS[case]
    plans = tuple(
        SandboxPlan(f"a{at}", Verdict.WAIT, **{"cause": Reason.RUNNING, **keys}) for at, keys in enumerate(given)
    )
    assert wait_seconds(Plan(sandboxes=plans), NOW) == seconds


def test_an_empty_plan_waits_for_nothing() -> None:
    """Without sandboxes only messages and the resync bring a pass."""
    assert wait_seconds(Plan(), NOW) == inf
