"""A registry of our own, from Debian's package, that only the tests' own engine can reach."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import docker

from tests.busybox_image import make_image
from tests.certificates import authority, for_server
from tests.private_engine import PATH, NoEngineError, PrivateEngine, install_packages

ADDRESS = "127.0.0.1:5000"
CLOSED_ADDRESS = "127.0.0.1:5001"
START_SECONDS = 20

USER, PASSWORD = "alice", "secret-of-alice"
HTPASSWD = "alice:$2y$05$abcdefghijklmnopqrstuu1Uu84v11glUzUIYqnv1xIIPMk8cfLlK\n"
"""As `htpasswd -B` makes it of them."""

CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {root}/data}}}}
http: {{addr: "{address}"}}
"""

CLOSED_CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {root}/data}}}}
http: {{addr: "{address}", tls: {{certificate: {root}/server.pem, key: {root}/server-key.pem}}}}
auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}
"""

PROBE = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"


class PrivateRegistry:
    """Listens on `address` in the engine's network namespace, where an engine asks for no certificate.

    One that is `closed` has TLS, and lets in nobody but `USER`.
    """

    def __init__(self, engine: PrivateEngine, *, closed: bool = False) -> None:
        self._engine = engine
        self._closed = closed
        self.address = CLOSED_ADDRESS if closed else ADDRESS
        self._root = Path(tempfile.mkdtemp(prefix="rec-registry-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
        shutil.rmtree(self._root, ignore_errors=True)

    def _start(self) -> None:
        if not shutil.which("docker-registry", path=PATH):
            install_packages("docker-registry")
        config = self._root / "config.yml"
        if self._closed:
            authority(self._root)
            for_server(self._root)
            (self._root / "htpasswd").write_text(HTPASSWD)
        text = CLOSED_CONFIG if self._closed else CONFIG
        config.write_text(text.format(root=self._root, address=self.address))
        with (self._root / "log").open("wb") as log:
            command = [*self._engine.inside, "docker-registry", "serve", str(config)]
            self._process = subprocess.Popen(command, env={**os.environ, "PATH": PATH}, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if time.monotonic() > deadline:
                raise NoEngineError(f"the registry did not start: {(self._root / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def _listens(self) -> bool:
        host, _, port = self.address.partition(":")
        probe = [*self._engine.inside, sys.executable, "-c", PROBE, host, port]
        return subprocess.run(probe, capture_output=True, check=False, timeout=10).returncode == 0

    def offer(self, name: str, changes: list[str] | None = None) -> str:
        """Puts an image into the registry that the engine does not have; returns its reference."""
        reference = f"{self.address}/{name}"
        make_image(self._engine.host, reference, changes)
        client = docker.APIClient(base_url=self._engine.host, version="auto")
        try:
            told = client.push(
                reference, stream=True, decode=True, auth_config={"username": USER, "password": PASSWORD}
            )
            errors = [message["error"] for message in told if "error" in message]
            assert not errors, errors
            client.remove_image(reference, force=True)
        finally:
            client.close()
        return reference
