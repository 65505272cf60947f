"""Measures what the sandboxes have written, beside the passes: much of it takes the engine a while to add up."""

import logging
import threading
from collections.abc import Callable, Mapping

from reconciler.control.messages import DiskMeasured, Tell
from reconciler.engine.protocol import EngineReader
from reconciler.model.errors import EngineRefused, EngineUnavailable

log = logging.getLogger(__name__)


def in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="disk", daemon=True).start()


class DiskMeter:
    """One measurement at a time; `start` begins it, out of the way of who asks for it."""

    def __init__(self, engine: EngineReader, start: Callable[[Callable[[], None]], None] = in_a_thread) -> None:
        self._engine, self._start = engine, start
        self._under_way = threading.Lock()

    def measure(self, tell: Tell) -> None:
        """Has `DiskMeasured` told soon, unless the measurement before is not over yet."""
        if self._under_way.acquire(blocking=False):
            self._start(lambda: self._measure(tell))

    def _measure(self, tell: Tell) -> None:
        try:
            tell(DiskMeasured(self._sizes()))
        except (EngineRefused, EngineUnavailable) as error:
            log.warning("what sandboxes write is not measured: %s", error)
        finally:
            self._under_way.release()

    def _sizes(self) -> dict[str, int]:
        written = self._engine.written()
        volumes = self._volumes() if any(one.volumes for one in written) else {}
        return {one.id: one.bytes + sum(volumes.get(name, 0) for name in one.volumes) for one in written}

    def _volumes(self) -> Mapping[str, int]:
        """What an engine, or a proxy before it, does not tell of volumes spoils nothing of the rest."""
        try:
            return self._engine.volume_sizes()
        except EngineRefused as error:
            log.warning("volumes of images do not count as disk: %s", error)
            return {}
