"""Speaks to an engine on another host through the system's own ssh, as the Docker CLI does."""

import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence

from docker.transport.basehttpadapter import BaseHTTPAdapter
from requests import PreparedRequest
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from reconciler.spec.text import printable

SSH = ("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10")
ENGINE = "docker system dial-stdio"

CONNECTIONS_MAX = 4
"""So many are kept for the next calls of one client."""

CONNECT_SECONDS = 20
"""Until the other host has let us in, and its engine hears us: so much longer the first answer may take."""

SAID_SECONDS = 1
"""How long to wait for what ssh says when it ends."""


class SshFailed(ConnectionError):
    """The text is the last that ssh has said."""


class SshAdapter(BaseHTTPAdapter):
    """Takes what docker-py asks for to the host that `destination`, the last arguments of ssh, names."""

    def __init__(self, destination: Sequence[str]) -> None:
        super().__init__()
        self._pool = _Pool("localhost", maxsize=CONNECTIONS_MAX, destination=destination)

    def get_connection(self, *_: object) -> HTTPConnectionPool:
        """The same for all that is asked: each connection takes a second to be made."""
        return self._pool

    def request_url(self, request: PreparedRequest, _proxies: Mapping[str, str] | None) -> str:
        """Without the host, as ssh knows where to go."""
        return request.path_url


class _Connection(HTTPConnection):
    """A process of ssh, which ends when the socket is closed."""

    def __init__(self, *, destination: Sequence[str], **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self._command = (*SSH, *destination, ENGINE)
        self._said = "it has ended"
        self._end = threading.Thread(daemon=True)

    def _new_conn(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(
                    self._command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # a Ctrl-C at the terminal is not for it
                )
            except OSError as error:
                ours.close()
                raise SshFailed("there is no program ssh here") from error
        self._is_new = True
        self._end = threading.Thread(target=self._hear, args=(process,), name="ssh", daemon=True)
        self._end.start()
        return ours

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        with process:
            for line in process.stderr or ():
                self._said = printable(line.decode(errors="replace").strip().removeprefix("ssh: "))

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        if self._is_new and self.timeout:
            self.timeout += CONNECT_SECONDS
        self._is_new = False
        try:
            return super().getresponse()
        except ConnectionError as error:
            self._end.join(SAID_SECONDS)
            raise SshFailed(self._said) from error


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
