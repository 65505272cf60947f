"""One reading: the policy and the directory, when they may have changed. Of each, the last good one stays in force."""

import logging
from collections.abc import Callable
from dataclasses import replace
from math import inf

from reconciler.control.surroundings import Clock
from reconciler.model.desired import Desired
from reconciler.model.errors import DirectoryUnreadable, PolicyInvalid
from reconciler.model.policy import Policy

log = logging.getLogger(__name__)

UNREADABLE_SECONDS = 30.0
"""The pause between two attempts to read a directory that cannot be read."""

WAIT_SECONDS = 3.0
"""The pause between two looks whether a merge, or what else waits, is over."""

GONE_SECONDS = 0.2
"""A file must be missing for so long before it counts as deleted: an editor may be about to put it back."""


class Reader:
    """Reads what its two functions read. Raises `PolicyInvalid` when there is no policy to begin with.

    `policy` and `desired` are in force. `policy_error` and `scan_error` say why they are not the newest, and are empty
    when they are; `again_at` is the monotonic time at which the next reading is due whatever happens.
    """

    def __init__(self, read_policy: Callable[[], Policy], scan: Callable[[], Desired], clock: Clock) -> None:
        self._read_policy, self._scan, self._clock = read_policy, scan, clock
        self.policy = read_policy()
        self.desired = Desired((0, 0), sound=False)
        self.policy_error = self.scan_error = ""
        self.scanned_at = 0.0
        self.again_at = inf
        self._stale = True
        self._missing_since: dict[str, float] = {}
        self._hesitated = False

    def doubt(self) -> None:
        """The files may have changed."""
        self._stale = True

    def read(self) -> bool:
        """False when it is worth while to wait for the next reading; never twice in a row, as others wait too."""
        self.again_at, sure = inf, True
        if self._stale:
            self._take_policy()
            sure = self._take_directory()
        self._hesitated = not (sure or self._hesitated)
        return not self._hesitated

    def _take_policy(self) -> None:
        error = ""
        try:
            self.policy = self._read_policy()
        except PolicyInvalid as invalid:
            error = str(invalid)
        if error and error != self.policy_error:
            log.error("the last good policy stays in force: %s", error.replace("\n", "; "))
        self.policy_error = error

    def _take_directory(self) -> bool:
        """Whether what is in force now can be acted on: not while a file has only just gone missing."""
        try:
            scanned = self._scan()
        except DirectoryUnreadable as error:
            self._go_on_without(str(error), UNREADABLE_SECONDS)
            return True
        if scanned.waits:
            why = f"{scanned.waits}; changes wait"
            self._go_on_without(why, WAIT_SECONDS, waits=why)
            return True
        self.scan_error, self.scanned_at = "", self._clock.now()
        return self._believe(scanned)

    def _go_on_without(self, scan_error: str, seconds: float, waits: str = "") -> None:
        if scan_error != self.scan_error:
            log.error("nothing is removed: %s", scan_error)
        self.scan_error = scan_error
        self.desired = replace(self.desired, sound=False, waits=waits)
        self.again_at = self._clock.monotonic() + seconds

    def _believe(self, scanned: Desired) -> bool:
        now = self._clock.monotonic()
        gone = self.desired.meant - scanned.meant
        self._missing_since = {name: self._missing_since.get(name, now) for name in gone}
        if all(now - since >= GONE_SECONDS for since in self._missing_since.values()):
            said = {**self.desired.last_good, **self.desired.declared}
            last_good = {name: said[name] for name in said if scanned.problems_of(name)}
            self.desired = replace(scanned, last_good=last_good) if last_good else scanned
            self._stale = False
            return True
        self.again_at = now + GONE_SECONDS
        return False
