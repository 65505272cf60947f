"""How we are, told to the service manager: systemd's notify protocol, sd_notify(3)."""

import math
import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class ServiceManager:
    """Who started us, by what it left in the environment; where nobody listens, nothing is said."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        watches = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit_seconds = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if watches else 0.0
        self.beat_seconds = limit_seconds / 2 or math.inf
        """How often to say that we are alive; infinite when nobody asked."""

    def ready(self) -> None:
        self._tell("READY=1")

    def alive(self) -> None:
        """Only the loop itself may say so: from a thread of its own it would be said of a loop that hangs too."""
        if self.beat_seconds < math.inf:
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(state.encode(), socket.MSG_DONTWAIT, self._address)
