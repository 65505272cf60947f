"""Where the engine is, found as the Docker CLI finds it: an address that somebody gave, or a context of the CLI's."""

import hashlib
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from reconciler.model.errors import AddressUnusable
from reconciler.spec.text import printable

DEFAULT = "unix:///var/run/docker.sock"
NETWORK = re.compile(r"(tcp|ssh)://(?:([\w.+-]+)@)?(\[[0-9A-Fa-f:.]+\]|\w[\w.-]*)(?::(\d{1,5}))?/?")
LOOPBACK = re.compile(r"localhost|127\.[\d.]+|\[::1\]")
DISCARD_PORT = 9


@dataclass(frozen=True, slots=True)
class Address:
    """`url` is `unix:///PATH`, `tcp://HOST:PORT` or `ssh://HOST`, the last with a user and a port if these were given.

    `certificates` is the directory of `ca.pem`, `cert.pem` and `key.pem`, None without TLS; `context` is the name of
    the context that has led here, empty where none has.
    """

    url: str = DEFAULT
    certificates: Path | None = None
    context: str = ""

    def __str__(self) -> str:
        return f"{self.url} (context {self.context})" if self.context else self.url

    @property
    def socket(self) -> Path | None:
        """None where the engine is reached in another way."""
        return Path(self.url.removeprefix("unix://")) if self.url.startswith("unix:") else None

    @property
    def remote(self) -> str | None:
        """The other host that the engine is on; None for this one.

        By TCP, this host is what is known without asking anybody: its loopback, and the addresses that it has now.
        """
        found = NETWORK.fullmatch(self.url)
        return None if found is None or (found[1] == "tcp" and _is_here(found[3])) else found[3]

    @property
    def ssh(self) -> tuple[str, ...]:
        """What tells the program ssh where to go; empty where the engine is reached in another way."""
        found = NETWORK.fullmatch(self.url)
        if found is None or found[1] != "ssh":
            return ()
        options = (("-l", found[2]), ("-p", found[4]))
        return (*(word for option in options if option[1] for word in option), "--", found[3].strip("[]"))


def find_address(given: str, environment: Mapping[str, str]) -> Address:
    """What was given, or else DOCKER_HOST, DOCKER_CONTEXT, the CLI's current context, or the usual socket.

    Raises `AddressUnusable`.
    """
    configuration = cli_directory(environment)
    if url := given or environment.get("DOCKER_HOST", ""):
        certificates = Path(environment.get("DOCKER_CERT_PATH") or configuration)
        return parse_address(url, certificates if environment.get("DOCKER_TLS_VERIFY") else None)
    context = environment.get("DOCKER_CONTEXT") or _json(configuration / "config.json").get("currentContext")
    return _of_context(str(context), configuration / "contexts") if context not in {None, "", "default"} else Address()


def cli_directory(environment: Mapping[str, str]) -> Path:
    """Where the Docker CLI keeps its `config.json` and its contexts."""
    return Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME", "/")) / ".docker")


def parse_address(text: str, certificates: Path | None = None) -> Address:
    """The address that people mean by the text; `certificates` count if it is one of TCP. Raises `AddressUnusable`."""
    url = text if "://" in text else f"unix://{text}" if text.startswith("/") else f"tcp://{text}"
    if re.fullmatch(r"unix:///.+", url) and url == printable(url):
        return Address(url)
    found = NETWORK.fullmatch(url)
    if found is None or (found[1] == "tcp" and found[2]) or int(found[4] or 0) > 65535:
        forms = "write unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST"
        raise AddressUnusable(f"cannot use the engine's address {printable(text)}: {forms}")
    if found[1] == "ssh":
        return Address(url.removesuffix("/"))
    if certificates and not (certificates / "ca.pem").is_file():
        raise AddressUnusable(f"cannot verify {printable(text)}: there is no {certificates / 'ca.pem'}")
    return Address(f"tcp://{found[3]}:{found[4] or (2376 if certificates else 2375)}", certificates)


def _is_here(host: str) -> bool:
    """A packet to an address of this host would come from there."""
    if LOOPBACK.fullmatch(host):
        return True
    try:
        address = ip_address(host.strip("[]"))
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as unsent:
            unsent.connect((str(address), DISCARD_PORT))
            return ip_address(unsent.getsockname()[0]) == address
    except (OSError, ValueError):  # no way leads there, or it is a name
        return False


def _of_context(name: str, contexts: Path) -> Address:
    number = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    endpoint = _json(contexts / "meta" / number / "meta.json").get("Endpoints", {}).get("docker", {})
    certificates = contexts / "tls" / number / "docker"
    why = f"cannot use the context {printable(name)}"
    if not endpoint.get("Host"):
        raise AddressUnusable(f"{why}: there is none of that name; see `docker context ls`, or give --host")
    if endpoint.get("SkipTLSVerify"):
        raise AddressUnusable(f"{why}: it does not verify the engine; make one with the engine's ca.pem")
    address = parse_address(endpoint["Host"], certificates if certificates.is_dir() else None)
    return replace(address, context=printable(name))


def _json(file: Path) -> Mapping[str, Any]:
    """Empty where there is none."""
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise AddressUnusable(f"cannot read {file}: {printable(error)}; mend it, or give --host") from error
    return found if isinstance(found, dict) else {}
