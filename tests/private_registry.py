"""A registry of our own, from Debian's package, that only the tests' own engine can reach."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import docker

from tests.busybox_image import make_image
from tests.private_engine import PATH, NoEngineError, PrivateEngine, install_packages

ADDRESS = "127.0.0.1:5000"
START_SECONDS = 20

CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "{address}"}}
"""

PROBE = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"


class PrivateRegistry:
    """Listens on `ADDRESS` in the engine's network namespace, where an engine asks for no certificate."""

    def __init__(self, engine: PrivateEngine) -> None:
        self._engine = engine
        self._root = Path(tempfile.mkdtemp(prefix="rec-registry-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if not shutil.which("docker-registry", path=PATH):
            install_packages("docker-registry")
        config = self._root / "config.yml"
        config.write_text(CONFIG.format(root=self._root / "data", address=ADDRESS))
        with (self._root / "log").open("wb") as log:
            command = [*self._engine.inside, "docker-registry", "serve", str(config)]
            self._process = subprocess.Popen(command, env={**os.environ, "PATH": PATH}, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if time.monotonic() > deadline:
                raise NoEngineError(f"the registry did not start: {(self._root / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def _listens(self) -> bool:
        host, _, port = ADDRESS.partition(":")
        probe = [*self._engine.inside, sys.executable, "-c", PROBE, host, port]
        return subprocess.run(probe, capture_output=True, check=False, timeout=10).returncode == 0

    def offer(self, name: str, changes: list[str] | None = None) -> str:
        """Puts an image into the registry that the engine does not have; returns its reference."""
        reference = f"{ADDRESS}/{name}"
        make_image(self._engine.host, reference, changes)
        client = docker.APIClient(base_url=self._engine.host, version="auto")
        try:
            told = client.push(reference, stream=True, decode=True, auth_config={"username": "x", "password": "x"})
            errors = [message["error"] for message in told if "error" in message]
            assert not errors, errors
            client.remove_image(reference, force=True)
        finally:
            client.close()
        return reference

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
        shutil.rmtree(self._root, ignore_errors=True)
