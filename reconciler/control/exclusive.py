"""Keeps a second controller on this host from managing the same instance of the same engine.

Controllers on different hosts recognise each other's containers by the label of their source.
"""

import hashlib
import socket
import sys

from reconciler.model.errors import OwnershipUnclear
from reconciler.model.world import EngineFacts


class Exclusive:
    """Holds an abstract socket, which the kernel closes however the process ends."""

    def __init__(self) -> None:
        self._held: tuple[str, socket.socket] | None = None

    def hold(self, engine: EngineFacts, instance: str) -> None:
        """Raises `OwnershipUnclear` while another process holds the same instance of the same engine.

        Engines on one host may share an id, but never a data directory.
        """
        name = f"\0reconciler/{instance}/{hashlib.sha256(f'{engine.id} {engine.data}'.encode()).hexdigest()[:32]}"
        if not engine.id or sys.platform != "linux" or (self._held and self._held[0] == name):
            return
        self.release()
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(name)
        except OSError as error:
            held.close()
            raise OwnershipUnclear(
                f"another controller manages instance {instance} on this engine; stop it, or choose another --instance"
            ) from error
        self._held = name, held

    def release(self) -> None:
        """Another process may hold it from now on. Does nothing when it is not held."""
        if self._held:
            self._held[1].close()
            self._held = None
