"""As much of the Docker Engine API as the tests' own engine needs, with nothing but the standard library."""

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlencode, urlsplit

ANSWER_SECONDS = 10


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(host: str, method: str, path: str, query: Any = None, body: Any = None, seconds: float = ANSWER_SECONDS) -> str:
    """The engine's answer to `body`, which is sent as JSON unless it is bytes.

    Raises `OSError` when there is no answer, and `RuntimeError` with the engine's words when it says no.
    """
    connection = _connection(host, seconds)
    kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
    try:
        connection.request(method, f"{path}?{urlencode(query or {}, doseq=True)}", sent, {"Content-Type": kind})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise ConnectionError(f"{host}: no answer that can be trusted: {error!r}") from error
    finally:
        connection.close()
    if answer.status >= http.client.BAD_REQUEST:
        raise RuntimeError(f"{host}: {method} {path}: {text.strip()}")
    return text


def _connection(host: str, seconds: float) -> http.client.HTTPConnection:
    parts = urlsplit(host)
    if parts.scheme == "unix":
        return _UnixConnection(parts.path, seconds)
    return http.client.HTTPConnection(parts.hostname or "localhost", parts.port or 2375, timeout=seconds)


def answers(host: str) -> bool:
    """Whether an engine is there. Raises `PermissionError` where one may be, and is not for us."""
    try:
        return ask(host, "GET", "/_ping").strip() == "OK"
    except PermissionError:
        raise
    except (OSError, RuntimeError):
        return False


def has_image(host: str, reference: str) -> bool:
    try:
        ask(host, "GET", f"/images/{reference}/json")
    except RuntimeError:
        return False
    return True


def pull_image(host: str, reference: str, seconds: float) -> None:
    """Raises `OSError` after `seconds` without a word of progress, and `RuntimeError` when there is no such image."""
    _told(ask(host, "POST", "/images/create", {"fromImage": reference}, seconds=seconds))


def import_image(host: str, reference: str, tar: bytes, changes: list[str]) -> None:
    """Makes an image with these files; `changes` are lines of a Dockerfile."""
    repository, _, tag = reference.rpartition(":")
    query = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": changes}
    _told(ask(host, "POST", "/images/create", query, body=tar, seconds=60))


def _told(messages: str) -> None:
    """An engine that has begun to tell of its progress tells of a failure there too."""
    for line in messages.splitlines():
        if error := json.loads(line).get("error"):
            raise RuntimeError(error)
