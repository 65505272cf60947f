"""Turns the engine's events, and the loss of its connection, into messages."""

import logging
import threading
import time

from reconciler.control.messages import EngineEvent, Notice, Tell
from reconciler.engine.protocol import SUBSCRIBED, EngineReader

log = logging.getLogger(__name__)

RECONNECT_SECONDS_MIN = 0.1
RECONNECT_SECONDS_MAX = 5.0


def watch_engine(engine: EngineReader, tell: Tell) -> None:
    """Starts a thread that watches the engine until the process ends."""
    threading.Thread(target=_watch, args=(engine, tell), name="events", daemon=True).start()


def _watch(engine: EngineReader, tell: Tell) -> None:
    """Each connection begins with `ENGINE_CONNECTED`: what happened before it was missed."""
    pause = RECONNECT_SECONDS_MIN
    while True:
        try:
            for event in engine.events():
                pause = RECONNECT_SECONDS_MIN
                tell(Notice.ENGINE_CONNECTED if event == SUBSCRIBED else EngineEvent(event))
        except Exception as error:  # whatever it was, the next connection may work
            log.debug("the engine's events ended: %s", error)
        tell(Notice.ENGINE_DISCONNECTED)
        time.sleep(pause)
        pause = min(pause * 2, RECONNECT_SECONDS_MAX)
