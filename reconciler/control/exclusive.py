"""One controller for each instance of an engine, as far as this host can tell.

Elsewhere two of them tell each other's containers by the label of their source.
"""

import hashlib
import socket
import sys

from reconciler.model.errors import OwnershipUnclear
from reconciler.model.world import EngineFacts


class Exclusive:
    """Holds an abstract socket, which ends with the process, however it ends."""

    def __init__(self) -> None:
        self._held: tuple[str, socket.socket] | None = None

    def hold(self, engine: EngineFacts, instance: str) -> None:
        """Raises `OwnershipUnclear` while another process holds the same instance of the same engine.

        Several engines of one host may have one id; none has another's directory of data.
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
                f"another controller of instance {instance} is at work on this engine; end it, or choose another "
                "--instance"
            ) from error
        self._held = name, held

    def release(self) -> None:
        if self._held:
            self._held[1].close()
            self._held = None
