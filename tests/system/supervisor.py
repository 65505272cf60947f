"""As much of systemd as a service sees of it."""

import socket
import threading
import time
from pathlib import Path
from typing import Self

WATCHDOG_SECONDS = 3


class Supervisor:
    """Listens at `path` while its block lasts. `environment` is for the service; `said` are the service's messages."""

    def __init__(self, path: Path) -> None:
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(WATCHDOG_SECONDS * 1_000_000)}
        self.said: list[str] = []
        self._heard_at = time.monotonic()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, name="supervisor")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RD)
        self._thread.join()
        self._socket.close()

    @property
    def misses_a_beat(self) -> bool:
        return time.monotonic() - self._heard_at > WATCHDOG_SECONDS

    def _listen(self) -> None:
        while message := self._socket.recv(1024).decode():
            self.said.append(message)
            self._heard_at = time.monotonic()
