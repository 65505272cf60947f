"""Notifies the service manager: systemd's protocol, see sd_notify(3)."""

import math
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from reconciler.spec.text import printable


class ServiceManager:
    """The service manager that started this process, by its environment variables; without them nothing is sent."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._told_ready = False
        self._told_status = ""
        self.heartbeat_seconds = _watchdog_seconds(environment) / 2 or math.inf
        """How often the watchdog wants a message; infinite when there is no watchdog."""

    def ready(self) -> None:
        """Called after each pass; sent once, and once after each `reloading`."""
        if not self._told_ready:
            self._tell("READY=1")
            self._told_ready = True

    def reloading(self) -> None:
        """A reload lasts until `ready`. The time tells systemd, from version 253 on, which SIGHUP this answers."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")
        self._told_ready = False

    def status(self, sentence: str) -> None:
        """Sent when it has changed."""
        if sentence != self._told_status:
            self._tell(f"STATUS={printable(sentence)}")
            self._told_status = sentence

    def alive(self) -> None:
        """Called by the loop itself: a thread of its own would hide that the loop hangs."""
        if self.heartbeat_seconds < math.inf:
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """Sent when the controller begins to shut down, which may take a while."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(state.encode(), socket.MSG_DONTWAIT, self._address)


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """How long the watchdog waits before it restarts us; 0 without a watchdog, or when it is not a number."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    asked = environment.get("WATCHDOG_USEC", "")
    return int(asked) / 1e6 if re.fullmatch(r"[0-9]{1,18}", asked) else 0.0
