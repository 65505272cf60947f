"""Turns signals into messages."""

import signal

from reconciler.control.messages import ResyncAsked, StopAsked, Tell


def on_signals(tell: Tell) -> None:
    """From now on, SIGTERM and SIGINT ask to stop and SIGHUP asks for a full resync. Main thread only."""
    signal.signal(signal.SIGTERM, lambda *_: tell(StopAsked()))
    signal.signal(signal.SIGINT, lambda *_: tell(StopAsked()))
    signal.signal(signal.SIGHUP, lambda *_: tell(ResyncAsked()))
