"""What a service manager is told, as it hears it: datagrams on a socket."""

import math
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.control.service_manager import ServiceManager


class Listener:
    """Somebody who listens at `address`."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(address.replace("@", "\0"))

    def heard(self) -> list[str]:
        """What was said since the last time."""
        heard = []
        try:
            while True:
                heard.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return heard


@pytest.fixture(params=["{}/notify.sock", "@reconciler-test-{}"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    """At a path, and at an address without one."""
    listener = Listener(request.param.format(tmp_path))
    yield listener
    listener.socket.close()


def test_ready_is_told_once_and_after_each_reload(listener: Listener) -> None:
    """However often it is said."""
    manager = ServiceManager(listener.environment)
    manager.ready()
    manager.ready()
    assert listener.heard() == ["READY=1"]
    manager.reloading()
    (reloading,) = listener.heard()
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=[1-9]\d*", reloading)
    manager.ready()
    manager.ready()
    assert listener.heard() == ["READY=1"]


def test_a_status_is_told_when_it_changes(listener: Listener) -> None:
    """And nothing in it can be taken for another message."""
    manager = ServiceManager(listener.environment)
    for sentence in ("1 running", "1 running", "forged\nREADY=1", "1 running"):
        manager.status(sentence)
    assert listener.heard() == ["STATUS=1 running", "STATUS=forged\\nREADY=1", "STATUS=1 running"]


@pytest.mark.parametrize(
    ("environment", "heartbeat_seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getppid())}, math.inf),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "me"}, math.inf),
        ({}, math.inf),
        *(({"WATCHDOG_USEC": text}, math.inf) for text in ("", "0", "-1", "3s", "1e6", "nan", "²", "9" * 5000)),
    ],
)
def test_a_watchdog_is_fed_when_it_asks_for_it(
    listener: Listener, environment: dict[str, str], heartbeat_seconds: float
) -> None:
    """Twice in the time that it gives; one for another process, or one that names no time, is none."""
    manager = ServiceManager({**listener.environment, **environment})
    assert manager.heartbeat_seconds == heartbeat_seconds
    manager.alive()
    assert listener.heard() == ([] if heartbeat_seconds == math.inf else ["WATCHDOG=1"])


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/notify.sock"}])
def test_nobody_need_listen(environment: dict[str, str]) -> None:
    """Without a service manager, or with one that is gone, nothing fails."""
    manager = ServiceManager({"WATCHDOG_USEC": "3000000", **environment})
    manager.ready()
    manager.status("1 running")
    manager.alive()
    manager.reloading()
    manager.stopping()
