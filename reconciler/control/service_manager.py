"""How we are, told to the service manager: systemd's notify protocol, sd_notify(3)."""

import math
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from reconciler.spec.text import printable


class ServiceManager:
    """Who started us, by what it left in the environment; where nobody listens, nothing is said."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._told_ready = False
        self._told_status = ""
        self.heartbeat_seconds = _watchdog_seconds(environment) / 2 or math.inf
        """How often to say that we are alive; infinite when nobody asked."""

    def ready(self) -> None:
        """To be said after each pass; it is told once, and once after each `reloading`."""
        if not self._told_ready:
            self._tell("READY=1")
            self._told_ready = True

    def reloading(self) -> None:
        """Until `ready`. The time tells systemd, from 253 on, which SIGHUP this answers."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")
        self._told_ready = False

    def status(self, sentence: str) -> None:
        """Told when it is another one than before."""
        if sentence != self._told_status:
            self._tell(f"STATUS={printable(sentence)}")
            self._told_status = sentence

    def alive(self) -> None:
        """Only the loop itself may say so: from a thread of its own it would be said of a loop that hangs too."""
        if self.heartbeat_seconds < math.inf:
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(state.encode(), socket.MSG_DONTWAIT, self._address)


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """Within which the manager wants to hear from us; 0 when it does not, or asks for what is no number."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    asked = environment.get("WATCHDOG_USEC", "")
    return int(asked) / 1e6 if re.fullmatch(r"[0-9]{1,18}", asked) else 0.0
