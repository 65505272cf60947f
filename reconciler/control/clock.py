"""What time it is."""

import time
from typing import Protocol


class Clock(Protocol):
    """The only times that there are; a simulation has its own."""

    def now(self) -> float:
        """Seconds since the epoch; the clock may be set, also back."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""

    def worked(self) -> float:
        """Seconds that all threads of this process have kept a core busy."""


class SystemClock:
    """The clock of this machine."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    worked = staticmethod(time.process_time)
