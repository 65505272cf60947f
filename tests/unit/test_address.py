"""Where the engine is, as the Docker CLI would find it."""

import hashlib
import json
import re
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.address import Address, find_address, parse_address
from reconciler.model.errors import AddressUnusable

GIVEN = {
    "unix:///run/docker.sock": "unix:///run/docker.sock",
    "/run/docker.sock": "unix:///run/docker.sock",
    "tcp://192.0.2.1:4000": "tcp://192.0.2.1:4000",
    "tcp://192.0.2.1": "tcp://192.0.2.1:2375",
    "tcp://[2001:db8::1]:2375/": "tcp://[2001:db8::1]:2375",
    "build.example:4000": "tcp://build.example:4000",
    "ssh://build": "ssh://build",
    "ssh://alice@Build.example:2222/": "ssh://alice@Build.example:2222",
}

REMOTE = {
    "/run/docker.sock": None,
    "tcp://localhost:2375": None,
    "tcp://127.0.0.1:2375": None,
    "tcp://[::1]:2375": None,
    "tcp://localhost.example:2375": "localhost.example",
    "tcp://192.0.2.1:2375": "192.0.2.1",
    "ssh://alice@build:22": "build",
    "ssh://localhost": "localhost",
}

UNUSABLE = [
    "unix://",
    "unix://docker.sock",
    "tcp://",
    "tcp://:::",
    "tcp://alice@build:2375",
    "tcp://build:99999",
    "ssh://",
    "ssh://alice:secret@build",
    "ssh://-oProxyCommand=x",
    "ssh://build/run/docker.sock",
    "https://build:2376",
    "npipe:////./pipe/docker_engine",
    "two words",
    "unix:///run/\x1b[2J",
]


class Cli:
    """A configuration of the Docker CLI's, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {"DOCKER_CONFIG": str(directory)}

    def configure(self, **said: Any) -> None:
        (self.directory / "config.json").write_text(json.dumps(said))

    def create(self, context: str, host: str, *, certificates: tuple[str, ...] = (), **said: Any) -> Path:
        """A context, as the CLI writes it; returns where its certificates are."""
        number = hashlib.sha256(context.encode()).hexdigest()
        meta, tls = (self.directory / "contexts" / kind / number for kind in ("meta", "tls"))
        meta.mkdir(parents=True)
        endpoint = {"Host": host, "SkipTLSVerify": False, **said}
        (meta / "meta.json").write_text(json.dumps({"Name": context, "Endpoints": {"docker": endpoint}}))
        for name in certificates:
            (tls / "docker").mkdir(parents=True, exist_ok=True)
            (tls / "docker" / name).touch()
        return tls / "docker"

    def finds(self, given: str = "", **environment: str) -> Address:
        return find_address(given, {**self.environment, **environment})


@pytest.fixture
def docker(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.mark.parametrize(("text", "url"), GIVEN.items())
def test_an_address_is_taken_as_people_write_it(text: str, url: str) -> None:
    """A path is a socket, a host without a port has the usual one, and nothing is lost of what ssh knows."""
    assert parse_address(text) == Address(url)


@pytest.mark.parametrize(("text", "host"), REMOTE.items())
def test_an_engine_is_on_this_host_or_on_a_named_one(text: str, host: str | None) -> None:
    """What ssh leads to, and what is not this host's loopback, is another host."""
    assert parse_address(text).remote == host


def test_an_address_of_this_host_is_no_other_host() -> None:
    """Of whichever interface: the kernel lists them, and each as local."""
    version_4 = re.findall(r"-- ([\d.]+)\n +/32 host LOCAL", Path("/proc/net/fib_trie").read_text())
    assert {parse_address(f"tcp://{address}").remote for address in version_4} == {None}
    version_6 = [IPv6Address(bytes.fromhex(line[:32])) for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    usable = [address for address in version_6 if not address.is_link_local]  # those need an interface beside them
    assert {parse_address(f"tcp://[{address}]").remote for address in usable} <= {None}


@pytest.mark.parametrize("text", UNUSABLE)
def test_an_unusable_address_says_how_to_write_one(text: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(AddressUnusable, match="write unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST") as error:
        parse_address(text)
    assert "\x1b" not in str(error.value)


def test_what_ssh_is_told() -> None:
    """User and port are options, and the host can be none."""
    assert parse_address("ssh://alice@build:2222").ssh == ("-l", "alice", "-p", "2222", "--", "build")
    assert parse_address("ssh://[2001:db8::1]").ssh == ("--", "2001:db8::1")
    assert parse_address("tcp://build:2375").ssh == ()


def test_the_order_is_that_of_the_docker_cli(docker: Cli) -> None:
    """What is given, then DOCKER_HOST, DOCKER_CONTEXT, the current context, the usual socket."""
    docker.create("work", "ssh://work")
    docker.create("home", "unix:///home.sock")
    assert docker.finds() == Address("unix:///var/run/docker.sock")
    docker.configure(currentContext="work")
    assert docker.finds() == Address("ssh://work", context="work")
    assert docker.finds(DOCKER_CONTEXT="home") == Address("unix:///home.sock", context="home")
    assert docker.finds(DOCKER_CONTEXT="default") == Address()
    assert docker.finds(DOCKER_CONTEXT="home", DOCKER_HOST="/named.sock") == Address("unix:///named.sock")
    assert docker.finds("/given.sock", DOCKER_HOST="/named.sock") == Address("unix:///given.sock")


def test_the_configuration_is_in_the_home_directory(tmp_path: Path) -> None:
    """Unless DOCKER_CONFIG says otherwise."""
    (tmp_path / ".docker").mkdir()
    docker = Cli(tmp_path / ".docker")
    docker.create("work", "ssh://work")
    docker.configure(currentContext="work")
    assert find_address("", {"HOME": str(tmp_path)}) == Address("ssh://work", context="work")
    assert find_address("", {}) == Address()


def test_tls_is_asked_for_as_with_the_docker_cli(docker: Cli, tmp_path: Path) -> None:
    """DOCKER_TLS_VERIFY for TCP alone, with another usual port; the certificates are beside config.json or named."""
    named = tmp_path / "certificates"
    named.mkdir()
    for directory in (tmp_path, named):
        (directory / "ca.pem").touch()
    assert docker.finds("tcp://build", DOCKER_TLS_VERIFY="1") == Address("tcp://build:2376", tmp_path)
    asked = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(named)}
    assert docker.finds("tcp://build:1234", **asked) == Address("tcp://build:1234", named)
    assert docker.finds("ssh://build", **asked) == Address("ssh://build")
    assert docker.finds("tcp://build", DOCKER_CERT_PATH=str(named)) == Address("tcp://build:2375")
    (named / "ca.pem").unlink()
    with pytest.raises(AddressUnusable, match=r"cannot verify tcp://build: there is no .*certificates/ca.pem"):
        docker.finds("tcp://build", **asked)


def test_the_certificates_of_a_context_are_its_own(docker: Cli) -> None:
    """And without any there is no TLS."""
    certificates = docker.create("work", "tcp://work:2376", certificates=("ca.pem", "cert.pem", "key.pem"))
    assert docker.finds(DOCKER_CONTEXT="work") == Address("tcp://work:2376", certificates, "work")
    docker.create("open", "tcp://open:2375")
    assert docker.finds(DOCKER_CONTEXT="open") == Address("tcp://open:2375", context="open")


def test_a_context_that_cannot_be_used(docker: Cli) -> None:
    """It is named, with what is wrong with it; nobody is asked in its place."""
    with pytest.raises(AddressUnusable, match="cannot use the context gone: there is none of that name"):
        docker.finds(DOCKER_CONTEXT="gone")
    docker.create("careless", "tcp://build:2376", SkipTLSVerify=True)
    with pytest.raises(AddressUnusable, match="cannot use the context careless: it does not verify the engine"):
        docker.finds(DOCKER_CONTEXT="careless")
    (docker.directory / "config.json").write_text("{")
    with pytest.raises(AddressUnusable, match=r"cannot read .*config.json: .*; mend it, or give --host"):
        docker.finds()
    assert docker.finds("/given.sock") == Address("unix:///given.sock")
