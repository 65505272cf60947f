"""Measures how much the sandboxes have written, beside the passes, as it can take the engine long to add up."""

import logging
import threading
from collections.abc import Callable, Mapping

from reconciler.control.messages import DiskMeasured, Tell
from reconciler.engine.protocol import EngineReader
from reconciler.model.errors import EngineRefused, EngineUnavailable

log = logging.getLogger(__name__)


def in_a_thread(work: Callable[[], None]) -> None:
    """Returns at once; nobody waits for the end of the work."""
    threading.Thread(target=work, name="disk", daemon=True).start()


class DiskMeter:
    """One measurement at a time; `start` runs it in the background."""

    def __init__(self, engine: EngineReader, start: Callable[[Callable[[], None]], None] = in_a_thread) -> None:
        self._engine, self._start = engine, start
        self._under_way = threading.Lock()

    def measure(self, tell: Tell) -> None:
        """Sends `DiskMeasured` later, unless the measurement before is still under way."""
        if self._under_way.acquire(blocking=False):
            self._start(lambda: self._measure(tell))

    def _measure(self, tell: Tell) -> None:
        try:
            tell(DiskMeasured(self._sizes()))
        except (EngineRefused, EngineUnavailable) as error:
            log.warning("cannot measure what sandboxes have written: %s", error)
        finally:
            self._under_way.release()

    def _sizes(self) -> dict[str, int]:
        written = self._engine.written()
        volumes = self._volumes() if any(one.volumes for one in written) else {}
        return {one.id: one.bytes + sum(volumes.get(name, 0) for name in one.volumes) for one in written}

    def _volumes(self) -> Mapping[str, int]:
        """Empty when the engine, or a proxy in front of it, refuses to list volumes: the rest is still measured."""
        try:
            return self._engine.volume_sizes()
        except EngineRefused as error:
            log.warning("the volumes of images are not counted as disk: %s", error)
            return {}
