"""Turns signals into messages."""

import signal

from reconciler.control.messages import Notice, Tell


def on_signals(tell: Tell) -> None:
    """From now on, SIGTERM and SIGINT ask to stop and SIGHUP asks for a full resync. Main thread only."""
    signal.signal(signal.SIGTERM, lambda *_: tell(Notice.STOP_ASKED))
    signal.signal(signal.SIGINT, lambda *_: tell(Notice.STOP_ASKED))
    signal.signal(signal.SIGHUP, lambda *_: tell(Notice.RESYNC_ASKED))
