"""docker-py's client, as all calls use it."""

from pathlib import Path
from typing import Any

import docker
from docker.tls import TLSConfig
from requests import PreparedRequest, Response

from reconciler.engine.address import Address
from reconciler.engine.docker.ssh import SshAdapter

API: Any = docker.APIClient
"""Its types know half of its methods."""

READ_SECONDS = 10

UNKNOWN = "1.41"
"""A version of the API, for as long as nobody has asked for the engine's."""

PODMAN_SAYS = "Libpod-API-Version"
"""A header of each of Podman's answers."""


class Client(API):  # type: ignore[misc]
    """With an end to every wait: where docker-py would wait for ever, `timeout` holds.

    `version` is that of the API, None for the engine's own. With `read_only` it cannot change anything, whoever asks.
    """

    def __init__(self, address: Address, version: str | None, *, read_only: bool) -> None:
        self._read_only = read_only
        self.is_podman = False
        if not address.ssh:
            super().__init__(address.url, version or "auto", READ_SECONDS, _tls(address.certificates))
            return
        super().__init__("unix:///ssh", version or UNKNOWN, READ_SECONDS)
        self.mount("http+docker://", SshAdapter(address.ssh))
        self._version = version or self.version(api_version=False)["ApiVersion"]

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Raises `RuntimeError` for a change that is not allowed, before anything is sent."""
        if self._read_only and request.method not in {"GET", "HEAD"}:
            raise RuntimeError(f"a read-only engine was asked to {request.method} {request.path_url}")
        kwargs["verify"] = self.verify  # whatever requests finds in the environment
        kwargs["timeout"] = kwargs.get("timeout") or self.timeout
        response: Response = super().send(request, **kwargs)
        self.is_podman = PODMAN_SAYS in response.headers
        return response


def _tls(certificates: Path | None) -> TLSConfig | bool:
    if certificates is None:
        return False
    own = certificates / "cert.pem", certificates / "key.pem"
    shown = (str(own[0]), str(own[1])) if all(path.is_file() for path in own) else None
    return TLSConfig(shown, str(certificates / "ca.pem"), verify=True)
