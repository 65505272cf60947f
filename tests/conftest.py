"""What the tests share: one real engine for the session, and an instance of its own for each test."""

import gc
import itertools
import json
from collections.abc import Iterator

import pytest

from reconciler.model import labels
from tests.busybox_image import make_image
from tests.engine_api import ask
from tests.engines import KINDS, OWN, program
from tests.private_engine import CGROUPS, PrivateEngine, install

IMAGE = "sandbox:test"

SLOW_SECONDS = 3600
"""Until a test that is marked as slow counts as hanging; for the others pyproject.toml says it."""

numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine", default=OWN, choices=KINDS, help="the engine to test on; this machine's Docker if none"
    )


def pytest_configure(config: pytest.Config) -> None:
    """An engine may want another kernel; docker-py leaves the closing of sockets to the garbage collector."""
    if KINDS[config.getoption("engine")].cgroup2 and not (CGROUPS / "cgroup.controllers").exists():
        raise pytest.UsageError("this kernel has cgroups of version 1; `make test-engines` brings another one")
    config.addinivalue_line("filterwarnings", r"ignore:unclosed <socket.socket fd=\d+, family=1:ResourceWarning")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    lacks = KINDS[config.getoption("engine")].lacks
    for item in items:
        for reason in (reason for name, reason in lacks.items() if item.name.startswith(name)):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        if isinstance(item, pytest.Function) and not item.function.__doc__:
            raise pytest.UsageError(f"{item.nodeid} does not open with the sentence that it proves")
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


def pytest_sessionfinish() -> None:
    """Later than this, pytest no longer knows which warnings to ignore."""
    gc.collect()


@pytest.fixture(scope="session")
def private_engine(request: pytest.FixtureRequest) -> Iterator[PrivateEngine]:
    """A real engine with the image `sandbox:test`; where it cannot be had, the test fails and says why."""
    install()
    engine = PrivateEngine.for_tests(program(request.config.getoption("engine")))
    try:
        engine.start()
        make_image(engine.host, IMAGE)
        yield engine
    finally:
        engine.erase()


@pytest.fixture
def engine_instance(private_engine: PrivateEngine) -> Iterator[str]:
    """The name of an instance that no other test has; its containers and its network are gone after the test."""
    instance = f"test-{next(numbers)}"
    yield instance
    _remove_all(private_engine.host, instance)


def _remove_all(host: str, instance: str) -> None:
    ours = json.dumps({"label": [f"{labels.INSTANCE}={instance}"]})
    for container in json.loads(ask(host, "GET", "/containers/json", {"all": 1, "filters": ours})):
        ask(host, "DELETE", f"/containers/{container['Id']}", {"force": 1, "v": 1}, seconds=60)
    for network in json.loads(ask(host, "GET", "/networks", {"filters": ours})):
        ask(host, "DELETE", f"/networks/{network['Id']}", seconds=60)
