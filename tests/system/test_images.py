"""Whom an image makes the engine ask, and what is told of the answer."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.private_engine import PrivateEngine
from tests.system.conftest import Operator

LISTENER = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        caller, address = server.accept()
        print("asked", flush=True)
        with caller:
            caller.settimeout(5)
            caller.recv(65536)
            caller.sendall(sys.argv[1].encode())
"""

MARKER = "internal-page"
PAGE = f"HTTP/1.1 %s\r\nX-Page: {MARKER}\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
CLOSED = 9


def page(status: str, kind: str, body: str) -> str:
    return PAGE % (status, kind, len(body), body)


ANSWERS = {
    "a page": page("200 OK", "text/html", f"<h1>{MARKER}</h1>"),
    "JSON": page("200 OK", "application/json", f'{{"{MARKER}": "{MARKER}"}}'),
    "no such page": page("404 Not Found", "text/plain", f"404 {MARKER} not found"),
    "an error": page(f"500 {MARKER}", "text/html", MARKER),
    "another protocol": f"SSH-2.0-{MARKER}\r\n",
    "nothing": "",
}


class Listener:
    """A service of the host, on 127.0.0.1 in the engine's network namespace, that gives everybody the same answer."""

    def __init__(self, engine: PrivateEngine, answer: str, heard: Path) -> None:
        self._heard = heard
        with heard.open("w") as output:
            command = [*engine.inside, sys.executable, "-c", LISTENER, answer]
            self.process = subprocess.Popen(command, stdout=output)

    @property
    def lines(self) -> list[str]:
        return self._heard.read_text().splitlines()

    @property
    def port(self) -> int:
        return int(self.lines[0])

    @property
    def asked(self) -> int:
        return len(self.lines) - 1


@contextmanager
def listening(operator: Operator, answer: str) -> Iterator[Listener]:
    listener = Listener(operator.engine, answer, operator.root / "heard")
    try:
        operator.until(lambda: listener.lines)
        yield listener
    finally:
        listener.process.kill()
        listener.process.wait()


def told(operator: Operator) -> str:
    """All that is written down."""
    return "".join(path.read_text() for path in sorted(operator.state.rglob("*")) if path.is_file())


def test_without_leave_nobody_of_the_host_is_asked(operator: Operator) -> None:
    """Only well-known public registries need no leave: what else a reference names is not even dialled."""
    with listening(operator, ANSWERS["a page"]) as listener:
        for name, host in {"address": "127.0.0.1", "name": "localhost", "number": "127.1", "long": "[::1]"}.items():
            operator.declare(name, image=f"{host}:{listener.port}/x:1", pull_policy="always")
        done = operator.reconciler("apply", code=1)
        assert set(operator.phases().values()) == {"Refused"}
        assert f"the policy's owner can list 127.0.0.1:{listener.port}/x" in operator.status("address")["message"]
        assert listener.asked == 0
    assert MARKER not in done.stdout + done.stderr + told(operator)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_what_a_registry_answers_is_not_told(operator: Operator, answer: str) -> None:
    """Where the engine may ask, its answer stands in the debug log alone; what is no registry looks closed."""
    with listening(operator, answer) as listener:
        ports = {"open": listener.port, "closed": CLOSED}
        operator.decree(images=[f"127.0.0.1:{port}/**" for port in ports.values()])
        for name, port in ports.items():
            operator.declare(name, image=f"127.0.0.1:{port}/x:1")
        done = operator.reconciler("apply", code=1)
        assert listener.asked > 0
        for name, port in ports.items():
            assert operator.status(name)["message"] == f"no usable answer from the registry: 127.0.0.1:{port}/x:1"
        assert MARKER not in done.stdout + done.stderr + told(operator)
        if answer == ANSWERS["no such page"]:
            operator.declare("open", image=f"127.0.0.1:{listener.port}/x:2")
            assert MARKER in operator.reconciler("--log-level", "debug", "apply", code=1).stderr
            assert MARKER in (operator.engine.run / "engine.log").read_text()
    assert MARKER not in told(operator)
