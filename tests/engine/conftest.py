"""The two engines that are held to one contract, and the means to act on either."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from reconciler.engine.address import Address
from reconciler.engine.docker.client import DockerEngine
from reconciler.engine.protocol import Engine
from reconciler.model.labels import Owner
from reconciler.model.rendered import Rendered
from reconciler.model.world import Source
from reconciler.planning.admission import effective
from reconciler.planning.render import render
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from tests.conftest import IMAGE
from tests.engine.stranger import CHECK, OBEY, Stranger
from tests.fake_engine import FakeEngine

host_ports = itertools.count(41000)


@dataclass
class Bench:
    """One engine under test; `outside` is everybody but us."""

    engine: Engine
    outside: Any
    instance: str

    def rendered(self, name: str = "web", host_port: int | None = None, **keys: Any) -> Rendered:
        """A sandbox whose program is `OBEY`, as the controller would create it."""
        sandbox = Sandbox.model_validate({"image": IMAGE, "command": ["sh", "-c", OBEY], **keys})
        policy = Policy()
        chosen = effective(sandbox, policy)
        ports = {port.target: host_port or next(host_ports) for port in chosen.ports}
        sources = {volume.source: Source(volume.source) for volume in chosen.volumes}
        return render(name, chosen, policy, Owner(self.instance), ports, sources, "5a17" * 8)

    def created(self, name: str = "web", **keys: Any) -> str:
        rendered = self.rendered(name, **keys)
        return self.engine.create(rendered.name, rendered.spec)

    def started(self, name: str = "web", **keys: Any) -> str:
        container = self.created(name, **keys)
        self.engine.start(container)
        return container

    def checked(self) -> str:
        """A running container with a health check, which is undecided until it is told."""
        often = {"test": CHECK, "interval": "1s", "timeout": "5s", "start_period": "10m", "retries": 1}
        return self.started(healthcheck=often)


@pytest.fixture(params=["fake", "real"])
def empty_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """An engine without the instance's network."""
    if request.param == "fake":
        fake = FakeEngine("test")
        fake.add_image(IMAGE, Cmd=["httpd"])
        yield Bench(fake, fake, "test")
    else:
        host = request.getfixturevalue("private_engine").host
        instance = request.getfixturevalue("engine_instance")
        stranger = Stranger(host)
        yield Bench(DockerEngine(Address(host), instance), stranger, instance)
        stranger.leave()


@pytest.fixture
def bench(empty_bench: Bench) -> Bench:
    """An engine with the instance's network."""
    empty_bench.engine.create_network()
    return empty_bench
