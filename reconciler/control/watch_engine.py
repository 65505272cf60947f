"""Tells the controller of the engine's events, and of its going and coming."""

import logging
import threading
import time

from reconciler.control.messages import EngineConnected, EngineDisconnected, EngineEvent, Tell
from reconciler.engine.protocol import SUBSCRIBED, EngineReader

log = logging.getLogger(__name__)

RECONNECT_SECONDS_MIN = 0.1
RECONNECT_SECONDS_MAX = 5.0


def watch_engine(engine: EngineReader, tell: Tell) -> None:
    """Starts to tell of the engine's events, for as long as we live."""
    threading.Thread(target=_watch, args=(engine, tell), name="events", daemon=True).start()


def _watch(engine: EngineReader, tell: Tell) -> None:
    """Begins each connection with `EngineConnected`: what happened before it was not heard."""
    pause = RECONNECT_SECONDS_MIN
    while True:
        try:
            for event in engine.events():
                pause = RECONNECT_SECONDS_MIN
                tell(EngineConnected() if event == SUBSCRIBED else EngineEvent(event))
        except Exception as error:  # whatever ended it, the next connection may do better
            log.debug("the engine's events ended: %s", error)
        tell(EngineDisconnected())
        time.sleep(pause)
        pause = min(pause * 2, RECONNECT_SECONDS_MAX)
