"""Somebody else at a real engine: what `FakeEngine` offers to tests beside the contract, with the same names."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tests.busybox_image import make_image
from tests.engine_api import ask
from tests.waiting import eventually

OBEY = "while sleep 0.02; do if [ -f /tmp/do ]; then mv /tmp/do /tmp/done; . /tmp/done; fi; done"
"""The program of the containers here: it does what is written to the file /tmp/do."""

CHECK = ["CMD", "sh", "/tmp/check"]
"""Their health check: what is written to the file /tmp/check."""


class Stranger:
    """Acts on a real engine with no regard for reconciler."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._made: list[str] = []

    def add_image(self, reference: str, **config: Any) -> None:
        changes = [f"ENV {entry}" for entry in config.get("Env", ())]
        changes += [f"LABEL {key}={value}" for key, value in config.get("Labels", {}).items()]
        changes += [f"VOLUME {volume}" for volume in config.get("Volumes", {})]
        changes += [f"EXPOSE {port}" for port in config.get("ExposedPorts", {})]
        changes += [f"{word.upper()} {json.dumps(config[word])}" for word in ("Entrypoint", "Cmd") if word in config]
        changes += [f"WORKDIR {config['WorkingDir']}"] if "WorkingDir" in config else []
        make_image(self._host, reference, changes)

    def add_network(
        self, name: str, driver: str = "bridge", options: Mapping[str, str] = {}, own_labels: Mapping[str, str] = {}
    ) -> None:
        body = {"Name": name, "Driver": driver, "Options": dict(options), "Labels": dict(own_labels)}
        self._made.append(f"/networks/{json.loads(self._post('/networks/create', body=body))['Id']}")

    def create_foreign(self, name: str, image: str, **body: Any) -> str:
        created = self._post("/containers/create", {"name": name}, {"Image": image, **body})
        container: str = json.loads(created)["Id"]
        self._made.append(f"/containers/{container}?force=1&v=1&x=")
        return container

    def run_foreign(self, name: str, image: str, **body: Any) -> str:
        container = self.create_foreign(name, image, **body)
        self._post(f"/containers/{container}/start")
        return container

    def exit(self, container: str, code: int, *, oom: bool = False) -> None:
        self._tell(container, "do", "exec tail /dev/zero" if oom else f"exit {code}")
        eventually(lambda: not self._inspect(container)["State"]["Running"])

    def kill(self, container: str) -> None:
        self._post(f"/containers/{container}/kill")
        eventually(lambda: not self._inspect(container)["State"]["Running"])

    def pause(self, container: str) -> None:
        self._post(f"/containers/{container}/pause")

    def update(self, container: str, **host_config: Any) -> None:
        self._post(f"/containers/{container}/update", body=host_config)

    def give_name(self, container: str, name: str) -> None:
        self._post(f"/containers/{container}/rename", {"name": name})

    def connect(self, container: str, network: str) -> None:
        self._post(f"/networks/{network}/connect", body={"Container": container})

    def set_health(self, container: str, health: str, output: str = "") -> None:
        self._tell(container, "check", f"echo -n '{output}'; exit {int(health != 'healthy')}")
        eventually(lambda: self._inspect(container)["State"]["Health"]["Status"] == health)

    def write(self, container: str, output: bytes) -> None:
        self._tell(container, "do", f"printf '{output.decode()}'")

    def fill(self, container: str, size_bytes: int, volume: str = "") -> None:
        path = f"{volume or '/tmp'}/filled"
        body = {
            "User": "0",
            "AttachStdout": True,
            "Cmd": ["dd", "if=/dev/zero", f"of={path}", f"bs={size_bytes}", "count=1"],
        }
        execution = json.loads(self._post(f"/containers/{container}/exec", body=body))["Id"]
        self._post(f"/exec/{execution}/start", body={"Detach": False})
        eventually(lambda: not json.loads(ask(self._host, "GET", f"/exec/{execution}/json"))["Running"])

    def remove_by_force(self, container: str) -> None:
        ask(self._host, "DELETE", f"/containers/{container}", {"force": 1, "v": 1}, seconds=60)

    @property
    def volumes(self) -> set[str]:
        return {volume["Name"] for volume in json.loads(ask(self._host, "GET", "/volumes"))["Volumes"] or ()}

    def leave(self) -> None:
        """Takes away the containers and networks that are its own and still there."""
        for path in reversed(self._made):
            with suppress(RuntimeError):
                ask(self._host, "DELETE", path, seconds=60)

    def _tell(self, container: str, file: str, text: str) -> None:
        """Writes a file in the container, whole at once."""
        script = f'printf %s "$1" > /tmp/.{file} && mv /tmp/.{file} /tmp/{file}'
        body = {"AttachStdout": True, "Cmd": ["sh", "-c", script, "sh", text]}
        execution = json.loads(self._post(f"/containers/{container}/exec", body=body))["Id"]
        self._post(f"/exec/{execution}/start", body={"Detach": False})

    def _inspect(self, container: str) -> Any:
        return json.loads(ask(self._host, "GET", f"/containers/{container}/json"))

    def _post(self, path: str, query: Any = None, body: Any = None) -> str:
        return ask(self._host, "POST", path, query, body, seconds=60)
