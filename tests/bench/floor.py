"""The floor: the same engine calls made directly, by docker-py's client in eight threads, with nothing decided.

Only the calls without which nothing would run: create and start (and stop, where something is replaced), in a process
that is already there. The verification between them is on our side alone; what it costs is a row of its own.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from docker import APIClient
from docker.errors import APIError

from reconciler.engine.docker.decode import NO_TRAFFIC_BETWEEN
from reconciler.engine.docker.encode import encode
from reconciler.model import labels
from reconciler.model.labels import Owner
from reconciler.model.rendered import Rendered
from reconciler.planning.admission import effective
from reconciler.planning.render import render
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from tests.conftest import IMAGE

THREADS = 8
CALL_SECONDS = 120
FIRST_PORT = 20_000


def rendered(instance: str, number: int, **keys: Any) -> Rendered:
    """The whole body of the sandbox `s<number>`, as the product makes it; its ports are published from 20000 on."""
    policy = Policy()
    sandbox = effective(Sandbox.model_validate({"image": IMAGE, **keys}), policy)
    ports = {port.target: FIRST_PORT + number for port in sandbox.ports}
    return render(f"s{number}", sandbox, policy, Owner(instance), ports, {}, "")


class Floor:
    def __init__(self, host: str) -> None:
        self._host = host
        self._version = str(APIClient(base_url=host, version="auto").api_version)
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(THREADS)

    @property
    def client(self) -> Any:
        """The calling thread's own. docker-py's types know half of its methods."""
        if not hasattr(self._own, "client"):
            self._own.client = self.new_client()
        return self._own.client

    def new_client(self, timeout: float = CALL_SECONDS) -> Any:
        return APIClient(base_url=self._host, version=self._version, timeout=timeout)  # type: ignore[arg-type]

    def in_parallel(self, work: Callable[[Any], object], things: Iterable[Any]) -> None:
        for _ in self._pool.map(work, things):
            pass

    def network(self, instance: str) -> None:
        with _accepting(409):  # see `clear`
            self.client.create_network(
                labels.network_name(instance),
                driver="bridge",
                options=NO_TRAFFIC_BETWEEN,
                labels={labels.INSTANCE: instance},
                check_duplicate=True,
            )

    def create(self, one: Rendered) -> str:
        return str(self.client.create_container_from_config(encode(one.spec), one.name)["Id"])

    def start(self, container: str) -> None:
        self.client.start(container)

    def converge(self, instance: str, wanted: list[Rendered]) -> None:
        self.network(instance)
        self.in_parallel(lambda one: self.start(self.create(one)), wanted)

    def rows(self, instance: str) -> list[dict[str, Any]]:
        return list(self.client.containers(all=True, filters={"label": f"{labels.INSTANCE}={instance}"}))

    def clear(self, label: str = "") -> None:
        """Removes all containers and networks of the engine, or those that carry the label.

        Docker 20.10 sometimes keeps an endpoint of a container that was removed by force, and so its network.
        """
        filters = {"label": label} if label else {"type": "custom"}
        found = self.client.containers(all=True, filters={"label": label} if label else {})
        self.in_parallel(lambda row: self.client.remove_container(row["Id"], v=True, force=True), found)
        for network in self.client.networks(filters=filters):
            with _accepting(403):
                self.client.remove_network(network["Id"])


@contextmanager
def _accepting(status: int) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        if error.status_code != status:
            raise
