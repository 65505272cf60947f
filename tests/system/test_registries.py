"""Registries that want credentials, and pulls that come to be for nothing."""

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.private_engine import PrivateEngine
from tests.private_registry import PASSWORD, USER, PrivateRegistry
from tests.system.conftest import Operator
from tests.system.faults.proxy import END_OF_HEAD, Exchange, Proxy

LOGIN = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}

HELPER = f"""\
#!/bin/sh
read server
case $server in
  127.0.0.1:5001) printf '{{"ServerURL": "%s", "Username": "{USER}", "Secret": "{PASSWORD}"}}' "$server" ;;
  *) echo "credentials not found in native keychain"; exit 1 ;;
esac
"""


@pytest.fixture(scope="module")
def closed(private_engine: PrivateEngine) -> Iterator[PrivateRegistry]:
    with PrivateRegistry(private_engine, closed=True) as registry:
        yield registry


@pytest.fixture
def image(operator: Operator, closed: PrivateRegistry) -> str:
    """One that only `USER` may have; the operator's credentials are in `registries.json`."""
    operator.decree(images=[f"{closed.address}/**"])
    path = f"PATH={operator.root}/bin:{os.environ['PATH']}"
    operator.before = ("env", path, f"RECONCILER_REGISTRY_CONFIG={operator.root / 'registries.json'}")
    return closed.offer(f"{operator.instance}:1")


def log_in(operator: Operator, **said: object) -> None:
    """As the Docker CLI does: a new file in the place of the old one."""
    temporary = operator.root / "registries.json.new"
    temporary.write_text(json.dumps(said))
    temporary.replace(operator.root / "registries.json")


def told(operator: Operator) -> str:
    """All that is written down."""
    files = [operator.root / "run.log", *operator.state.rglob("*")]
    return "".join(path.read_text(errors="replace") for path in files if path.is_file())


def test_who_was_not_let_in_is_tried_again_once_the_credentials_change(operator: Operator, image: str) -> None:
    """It says what is wanted, and nothing of what is secret is written down."""
    domain = image.partition("/")[0]
    log_in(operator, auths={domain: {"auth": base64.b64encode(b"alice:wrong").decode()}})
    operator.declare("web", image=image)
    with operator.run():
        operator.until_reason(web="ImagePullUnauthorized")
        operator.until(lambda: operator.status("web")["failures"] >= 4)  # and rests for longer than a moment
        assert "the registry has no such image, or wants a login" in operator.status("web")["message"]
        assert "see `--registry-config`" in operator.reconciler("status", "web").stdout
        log_in(operator, auths={f"https://{domain}/v2/": LOGIN})
        operator.until_phase(web="Running")
        assert operator.status("web")["failures"] == 0
    for secret in (PASSWORD, LOGIN["auth"]):
        assert secret not in told(operator)


@pytest.mark.parametrize("said", [{"credsStore": "test"}, {"credHelpers": {"127.0.0.1:5001": "test"}}], ids=str)
def test_a_helper_gives_the_credentials(operator: Operator, image: str, said: dict[str, object]) -> None:
    """Of all registries, or of one."""
    helper = operator.root / "bin" / "docker-credential-test"
    helper.parent.mkdir()
    helper.write_text(HELPER)
    helper.chmod(0o755)
    log_in(operator, **said)
    operator.declare("web", image=image)
    operator.reconciler("--log-level", "debug", "apply", code=0)
    assert operator.phase("web") == "Running"
    assert PASSWORD not in told(operator)


def test_credentials_that_cannot_be_read_are_told(operator: Operator, image: str) -> None:
    """With the reason, and for the sandboxes alone that are pulled."""
    operator.declare("web", image=image)
    (operator.root / "registries.json").write_text(PASSWORD)
    operator.reconciler("apply", code=1)
    assert operator.status("web")["reason"] == "ImagePullUnauthorized"
    assert "registries.json does not have the form of the Docker CLI's" in operator.status("web")["message"]
    log_in(operator, credsStore="gone")
    operator.reconciler("apply", code=1)
    assert "cannot run docker-credential-gone: No such file or directory" in operator.status("web")["message"]
    assert PASSWORD not in told(operator)


class EndlessPull:
    """A pull that never comes to its end; it is told when nobody waits for it any more."""

    def __init__(self) -> None:
        self.begun = self.given_up = False

    def __call__(self, exchange: Exchange) -> None:
        exchange.reply(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked" + END_OF_HEAD)
        self.begun = True
        with suppress(OSError):
            while True:
                exchange.reply(b'15\r\n{"status": "Waiting"}\r\n')
                time.sleep(0.1)
        self.given_up = True


@pytest.mark.parametrize("change", ["another image", "no file"])
def test_a_pull_ends_when_its_file_changes(operator: Operator, change: str, tmp_path: Path) -> None:
    """It is given up, which is no failure of the sandbox's, and what the file says now is done."""
    pull = EndlessPull()
    operator.declare("web", image="docker.io/library/endless:1")
    with Proxy(operator.engine.host, tmp_path / "proxy.sock") as proxy:
        proxy.on("POST /images/create", pull)
        operator.host = proxy.host
        with operator.run():
            operator.until(lambda: pull.begun)
            operator.until_phase(web="Pulling")
            if change == "another image":
                operator.declare("web")
                operator.until_phase(web="Running")
                assert operator.status("web")["failures"] == 0
            else:
                operator.remove("web")
                operator.until(lambda: operator.phases() == {})
            operator.until(lambda: pull.given_up)
    assert [line["result"] for line in operator.journal() if line["action"].startswith("pull ")] == ["PullCancelled"]
