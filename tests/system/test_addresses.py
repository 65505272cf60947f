"""Engines as people reach them: by TLS, by ssh, by a context of the Docker CLI's."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.address import Address
from reconciler.engine.docker import client
from reconciler.engine.docker.client import DockerEngine
from tests.busybox_image import make_image
from tests.certificates import authority, for_client, for_server
from tests.conftest import IMAGE
from tests.private_engine import PrivateEngine, install
from tests.system.conftest import Operator

TLS = "tcp://127.0.0.1:2376"

SSH = f"""\
#!{sys.executable}
import os, socket, sys, threading, time
if "alice" not in sys.argv:
    sys.exit("bob@build: Permission denied (publickey).")
with open(os.environ["ASKED"], "a") as asked:
    print(*sys.argv[1:], file=asked)
time.sleep(float(os.environ.get("SLOW", "0")))
engine = socket.socket(socket.AF_UNIX)
engine.connect(os.environ["ENGINE"])

def there():
    while piece := os.read(0, 65536):
        engine.sendall(piece)
    engine.shutdown(socket.SHUT_WR)

threading.Thread(target=there, daemon=True).start()
while piece := engine.recv(65536):
    os.write(1, piece)
"""
"""A program that does what ssh and the Docker CLI on the other host do; it knows alice."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    authority(directory)
    for_server(directory)
    for_client(directory, directory / "client")
    return directory


@pytest.fixture(scope="module")
def engine_with_tls(certificates: Path) -> Iterator[PrivateEngine]:
    install()
    engine = PrivateEngine.for_tests()
    try:
        files = (f"--tls{kind}={certificates / name}.pem" for kind, name in TLS_FILES.items())
        engine.start("--host", TLS, "--tlsverify", *files)
        make_image(engine.host, IMAGE)
        yield engine
    finally:
        engine.erase()


TLS_FILES = {"cacert": "ca", "cert": "server", "key": "server-key"}


@pytest.fixture
def by_tls(tmp_path: Path, engine_with_tls: PrivateEngine, certificates: Path) -> Operator:
    """An operator beside the engine, who has the certificates."""
    operator = Operator(tmp_path, engine_with_tls, "test", host=TLS)
    operator.directory.mkdir()
    operator.before = (
        *engine_with_tls.inside,
        "env",
        "DOCKER_TLS_VERIFY=1",
        f"DOCKER_CERT_PATH={certificates / 'client'}",
    )
    return operator


def test_an_engine_is_reached_by_tls(by_tls: Operator) -> None:
    """With the variables that the Docker CLI has for it; `status` says where it is."""
    by_tls.declare("web")
    by_tls.reconciler("apply", code=0)
    assert by_tls.versions() == {"web": ""}
    assert f"engine answered at {TLS}" in by_tls.reconciler("status", code=0).stdout
    assert f"{TLS}, for who has the key in" in by_tls.reconciler("doctor").stdout


def test_who_is_not_sure_of_the_engine_asks_it_nothing(by_tls: Operator, tmp_path: Path) -> None:
    """Another authority, whatever the environment says of trust; no certificate of our own; no TLS at all."""
    other = tmp_path / "other"
    authority(other)
    trusted = f"REQUESTS_CA_BUNDLE={by_tls.before[-1].partition('=')[2]}/ca.pem"
    inside = by_tls.before[:-2]
    by_tls.before = (*inside, "DOCKER_TLS_VERIFY=1", f"DOCKER_CERT_PATH={other}", trusted)
    assert "certificates that are not trusted" in by_tls.reconciler("plan", code=1).stderr
    (other / "ca.pem").write_bytes(Path(trusted.partition("=")[2]).read_bytes())
    assert "certificates that are not trusted" in by_tls.reconciler("plan", code=1).stderr
    by_tls.before = inside
    assert "the engine wants TLS; set DOCKER_TLS_VERIFY" in by_tls.reconciler("plan", code=1).stderr


@pytest.fixture
def by_ssh(operator: Operator) -> Operator:
    """An operator with an `ssh` of their own, who says whose sandboxes they are."""
    ssh = operator.root / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    path = f"PATH={ssh.parent}:{os.environ['PATH']}"
    engine = operator.engine.host.removeprefix("unix://")
    operator.before = ("env", path, f"ENGINE={engine}", f"ASKED={operator.root / 'asked'}", "RECONCILER_SOURCE=here")
    operator.host = "ssh://alice@build:2222"
    return operator


def test_an_engine_is_reached_by_ssh(by_ssh: Operator) -> None:
    """Made, replaced, listened to and removed; what ssh is told can only be a destination."""
    by_ssh.declare("web", command=["sh", "-c", "echo hello; exec sleep 1000"])
    with by_ssh.run():
        by_ssh.until_phase(web="Running")
        by_ssh.until(lambda: "hello" in by_ssh.reconciler("logs", "web").stdout)
        by_ssh.api("POST", f"/containers/{by_ssh.container('web')}/kill")
        by_ssh.until(lambda: by_ssh.status("web")["restarts"] == 1)
        by_ssh.until_phase(web="Running")
        told = by_ssh.reconciler("status").stdout
        by_ssh.remove("web")
        by_ssh.until(lambda: by_ssh.phases() == {})
    assert "engine answers at ssh://alice@build:2222" in told
    assert "ADDRESS THERE" in told
    assert "addresses are on build, open to that host alone" in told
    for line in (by_ssh.root / "asked").read_text().splitlines():
        assert line.endswith(" -l alice -p 2222 -- build docker system dial-stdio")


def test_the_first_answer_may_take_as_long_as_ssh_does(by_ssh: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other hosts are far away, and slow to let somebody in."""
    for name, value in (assignment.split("=", 1) for assignment in by_ssh.before[1:]):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLOW", "3")
    monkeypatch.setattr(client, "READ_SECONDS", 1)
    assert DockerEngine(Address(by_ssh.host), by_ssh.instance).containers() == ()


def test_what_ssh_says_is_told(by_ssh: Operator) -> None:
    """When it is not let in, and when there is none."""
    by_ssh.host = "ssh://bob@build"
    said = "ssh: bob@build: Permission denied (publickey).: ssh://bob@build"
    assert said in by_ssh.reconciler("plan", code=1).stderr
    (by_ssh.root / "bin" / "ssh").unlink()
    by_ssh.before = ("env", f"PATH={by_ssh.root / 'bin'}", "RECONCILER_SOURCE=here")
    assert "there is no program ssh here: ssh://bob@build" in by_ssh.reconciler("plan", code=1).stderr


def test_another_host_has_none_of_our_files(by_ssh: Operator) -> None:
    """Volumes are refused with the reason, and the host's own checks are left out."""
    by_ssh.decree(volumes=[{"root": "/srv"}])
    by_ssh.declare("web", volumes=[{"type": "bind", "source": "/srv", "target": "/data"}])
    by_ssh.reconciler("apply", code=1)
    assert by_ssh.phase("web") == "Refused"
    assert "volume /srv: the engine is on another host: build" in by_ssh.status("web")["message"]
    told = by_ssh.reconciler("doctor").stdout
    assert "the engine is on build, whose files and firewall are not looked at" in " ".join(told.split())


def test_the_current_context_is_where_the_engine_is(operator: Operator) -> None:
    """As the Docker CLI has it, where nothing else is said; `status` and `doctor` name it."""
    number = hashlib.sha256(b"work").hexdigest()
    meta = operator.root / "docker" / "contexts" / "meta" / number / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": "work", "Endpoints": {"docker": {"Host": operator.engine.host}}}))
    (operator.root / "docker" / "config.json").write_text(json.dumps({"currentContext": "work"}))
    operator.declare("web")
    command = operator.command("apply")
    at = command.index("--host")
    del command[at : at + 2]
    subprocess.run(command, env={"DOCKER_CONFIG": str(operator.root / "docker")}, check=True, timeout=60)
    assert f"engine answered at {operator.engine.host} (context work)" in operator.reconciler("status").stdout


def test_another_engine_behind_the_same_socket_is_left_alone(tmp_path: Path) -> None:
    """Until somebody accepts it, as the message says."""
    install()
    engine = PrivateEngine.for_tests()
    operator = Operator(tmp_path, engine, "test")
    operator.directory.mkdir()
    operator.declare("web")
    try:
        engine.start()
        make_image(engine.host, IMAGE)
        operator.reconciler("apply", code=0)
        engine.stop()
        engine.data = engine.data.parent / "other"
        engine.start()
        make_image(engine.host, IMAGE)
        said = operator.reconciler("apply", code=1).stderr
        assert f"another engine answers than before; to accept it: rm {operator.state}/engine" in said
        assert operator.containers() == []
        assert "another engine answers" in operator.reconciler("plan", code=1).stderr
        findings = json.loads(operator.reconciler("doctor", "-o", "json", code=1).stdout)["findings"]
        (pin,) = (one for one in findings if one["check"] == "pin")
        assert pin["remedy"][0].startswith(f"rm {operator.state}/engine ")
        (operator.state / "engine").unlink()
        operator.reconciler("apply", code=0)
        assert operator.versions() == {"web": ""}
    finally:
        engine.erase()
