"""A clone of this repository, in which somebody follows the README at a terminal."""

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.status import SandboxStatus
from reconciler.report.store import Store

ROOT = Path(__file__).parents[2]
NOT_CLONED = shutil.ignore_patterns(
    ".*_cache", ".coverage*", ".git", ".venv", ".hypothesis", "*.egg-info", "__pycache__", "state"
)
GIT = ("git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.org")


class Terminal:
    """A command in the foreground of a terminal of its own."""

    def __init__(self, command: list[str], directory: Path, environment: dict[str, str]) -> None:
        self._ours, its = os.openpty()
        os.set_blocking(self._ours, False)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], cwd=directory, env=environment, stdin=its, stdout=its, stderr=its
        )
        os.close(its)
        self._said = b""

    def said(self) -> str:
        """All that it has said until now, or until it was closed."""
        with suppress(OSError):  # nothing more for now, or for ever
            while more := os.read(self._ours, 65536):
                self._said += more
        return self._said.decode().replace("\r\n", "\n")

    def press(self, key: bytes) -> None:
        os.write(self._ours, key)

    def close(self) -> None:
        """All that is in it is told by SIGHUP, and can neither read nor write any more."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1


@dataclass(frozen=True)
class Clone:
    """With the examples as they were committed; its virtual environment is ours."""

    root: Path
    environment: dict[str, str]

    @classmethod
    def at(cls, root: Path, environment: dict[str, str]) -> "Clone":
        shutil.copytree(ROOT, root, ignore=NOT_CLONED)
        (root / ".venv").mkdir()
        (root / ".venv" / "bin").symlink_to(sysconfig.get_path("scripts"))
        (root / ".venv" / "made").touch()
        for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=all"]):
            subprocess.run([*GIT, *words], cwd=root, check=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")}
        return cls(root, {**kept, **environment})

    @contextmanager
    def terminal(self, *command: str) -> Iterator[Terminal]:
        """Nothing that was begun in it is left when the block ends. A failure tells what it has said."""
        terminal = Terminal([*command], self.root, self.environment)
        try:
            yield terminal
        except AssertionError as failed:
            failed.add_note(f"the terminal said:\n{terminal.said()}")
            raise
        finally:
            terminal.close()
            terminal.process.wait(60)

    def status(self, name: str) -> SandboxStatus:
        return Store(self.root / "state").statuses().get(name) or SandboxStatus(name=name)

    def run_all(self) -> bool:
        """Whether all examples run."""
        return all(self.status(file.stem).phase == "Running" for file in (self.root / "sandboxes.d").glob("*.yaml"))
