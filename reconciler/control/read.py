"""Reads the policy and the directory when they may have changed. The last good reading of each stays in force."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from reconciler.control.clock import Clock
from reconciler.model.desired import Desired
from reconciler.model.errors import DirectoryUnreadable, PolicyInvalid, PolicyUnknown
from reconciler.spec.policy import Policy

log = logging.getLogger(__name__)

UNREADABLE_SECONDS = 30.0
"""The pause between two attempts to read a directory that cannot be read."""

WAIT_SECONDS = 3.0
"""The pause between two checks whether a merge or rebase is over."""

GONE_SECONDS = 0.2
"""A file must be missing for so long before it counts as deleted: an editor may be about to put it back."""


NOTHING_READ = Desired((0, 0), complete=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is in force. `policy_error` and `scan_error` say why it is not the newest; empty when it is.

    `again_at` is the monotonic time of the next reading even if nothing changes. `sure` is false when a file may be
    about to reappear: the pass waits for the next reading.
    """

    policy: Policy
    desired: Desired = NOTHING_READ
    policy_error: str = ""
    scan_error: str = ""
    scanned_at: float = 0.0
    again_at: float = inf
    sure: bool = True


def read_once(read_policy: Callable[[], Policy], scan: Callable[[], Desired]) -> Reading:
    """What the files say now, also in the middle of a merge. Raises `PolicyUnknown` and `DirectoryUnreadable`."""
    return Reading(_first_policy(read_policy), scan())


def _first_policy(read_policy: Callable[[], Policy]) -> Policy:
    try:
        return read_policy()
    except PolicyInvalid as error:
        raise PolicyUnknown(f"{error}\nno policy to go by; a running controller keeps to the last good one") from error


class Reader:
    """Keeps the last good readings. Raises `PolicyUnknown` when there is none to begin with."""

    def __init__(self, read_policy: Callable[[], Policy], scan: Callable[[], Desired], clock: Clock) -> None:
        self._read_policy, self._scan, self._clock = read_policy, scan, clock
        self.reading = Reading(_first_policy(read_policy))
        self._stale = True
        self._missing_since: dict[str, float] = {}

    def invalidate(self) -> None:
        """The files may have changed."""
        self._stale = True

    def read(self) -> Reading:
        """What is in force from now on; never unsure twice in a row, as other sandboxes wait meanwhile."""
        hesitated = not self.reading.sure
        self._put(again_at=inf, sure=True)
        if self._stale:
            self._take_policy()
            self._take_directory()
        if hesitated:
            self._put(sure=True)
        return self.reading

    def _put(self, **changes: Any) -> None:
        self.reading = replace(self.reading, **changes)

    def _take_policy(self) -> None:
        policy, error = self.reading.policy, ""
        try:
            policy = self._read_policy()
        except PolicyInvalid as invalid:
            error = str(invalid)
        if error and error != self.reading.policy_error:
            log.error("the last good policy stays in force: %s", error.replace("\n", "; "))
        self._put(policy=policy, policy_error=error)

    def _take_directory(self) -> None:
        try:
            scanned = self._scan()
        except DirectoryUnreadable as error:
            self._go_on_without(str(error), UNREADABLE_SECONDS)
            return
        if scanned.waits:
            why = f"{scanned.waits}; changes wait"
            self._go_on_without(why, WAIT_SECONDS, waits=why)
            return
        self._put(scan_error="", scanned_at=self._clock.now())
        self._believe(scanned)

    def _go_on_without(self, scan_error: str, seconds: float, waits: str | None = None) -> None:
        if scan_error != self.reading.scan_error:
            log.error("nothing is removed: %s", scan_error)
        desired = replace(self.reading.desired, complete=False, waits=waits)
        self._put(scan_error=scan_error, desired=desired, again_at=self._clock.monotonic() + seconds)

    def _believe(self, scanned: Desired) -> None:
        """Takes the scan, unless a file has only just gone missing: it is then read again soon."""
        now, before = self._clock.monotonic(), self.reading.desired
        gone = before.meant - scanned.meant
        self._missing_since = {name: self._missing_since.get(name, now) for name in gone}
        if any(now - since < GONE_SECONDS for since in self._missing_since.values()):
            self._put(again_at=now + GONE_SECONDS, sure=False)
            return
        said = {**before.last_good, **before.declared}
        last_good = {name: said[name] for name in said if scanned.problems_of(name)}
        self._put(desired=replace(scanned, last_good=last_good) if last_good else scanned)
        self._stale = False
