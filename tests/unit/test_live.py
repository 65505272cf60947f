"""What is redrawn in place, on a terminal of our own: a pseudo-terminal that keeps every byte."""

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.model.status import ControllerStatus, Phase, SandboxStatus
from reconciler.report.store import Store
from tests.waiting import eventually

SCREEN, CURSOR = b"\x1b[?1049", b"\x1b[?25"
OFF, ON = b"l", b"h"


class Terminal:
    """A command on a terminal of 80 columns, and all that it wrote there."""

    def __init__(self, *words: object) -> None:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        command = [sys.executable, "-m", "reconciler", *map(str, words)]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.written = b""
        self._reader = threading.Thread(target=self._read, args=(ours,))
        self._reader.start()

    def _read(self, ours: int) -> None:
        try:
            while piece := os.read(ours, 65536):
                self.written += piece
        except OSError:  # Linux says so when the last writer has gone
            os.close(ours)

    def end(self) -> int:
        """Waits for the command; its exit code."""
        code = self.process.wait(30)
        self._reader.join(30)
        return code


@contextmanager
def terminal(*words: object) -> Iterator[Terminal]:
    made = Terminal(*words)
    try:
        yield made
    finally:
        made.process.kill()
        made.end()


def controller(available: bool) -> ControllerStatus:
    return ControllerStatus(
        available=available, host="unix:///x", instance="default", version="1", pid=1, directory="/x", limit=5
    )


def test_watching_follows_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    """From no state at all to a bar; Ctrl-C and SIGTERM end it, and give back the screen and the cursor."""
    for end in (signal.SIGINT, signal.SIGTERM):
        store = Store(tmp_path / end.name)
        with terminal("--state", store.directory, "status", "--watch") as shown:
            eventually(lambda shown=shown: b"no controller has written" in shown.written)  # type: ignore[misc]
            store.lock()
            store.write_controller(controller(available=True))
            store.write_status(SandboxStatus(name="web", phase=Phase.PULLING, message="on its way", progress=0.5))
            eventually(lambda shown=shown: b" 50 %" in shown.written)  # type: ignore[misc]
            shown.process.send_signal(end)
            assert shown.end() == 0
        assert b"on its way" in shown.written
        assert shown.written.startswith(SCREEN + ON)
        assert shown.written.endswith(CURSOR + ON + SCREEN + OFF)


def test_apply_shows_what_is_under_way_and_leaves_its_last_lines_alone(tmp_path: Path) -> None:
    """What was drawn meanwhile is erased, and what is logged stands above it in lines of its own."""
    (tmp_path / "sandboxes.d").mkdir()
    places = ("--dir", tmp_path / "sandboxes.d", "--state", tmp_path / "state", "--host", f"unix://{tmp_path}/none")
    with terminal(*places, "apply") as shown:
        assert shown.end() == 1
    assert b"reading the directory" in shown.written
    meanwhile, _, at_last = shown.written.rpartition(CURSOR + ON)
    assert b"ERROR   the engine is not available" in meanwhile
    assert b"the engine is not available" in at_last
    assert b"reading the directory" not in at_last
    assert SCREEN not in shown.written


def test_apply_draws_nothing_where_nobody_looks(tmp_path: Path) -> None:
    """Neither on its output, nor beside its errors."""
    (tmp_path / "sandboxes.d").mkdir()
    places = ("--dir", tmp_path / "sandboxes.d", "--state", tmp_path / "state", "--host", f"unix://{tmp_path}/none")
    command = [sys.executable, "-m", "reconciler", *map(str, places), "apply"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "\x1b" not in done.stderr
    assert "looking at" not in done.stderr
