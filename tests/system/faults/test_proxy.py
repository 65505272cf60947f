"""Each fault of the proxy does what it says, to a real engine."""

import time
from collections.abc import Callable

import pytest

from reconciler.engine.address import Address
from reconciler.engine.docker.client import DockerEngine
from reconciler.engine.protocol import SUBSCRIBED
from reconciler.model.errors import EngineUnavailable
from reconciler.model.world import Happening
from tests.conftest import IMAGE
from tests.engine_api import ask
from tests.system.conftest import Operator
from tests.system.faults.proxy import (
    Fault,
    Proxy,
    cut_after,
    cut_before,
    delayed,
    duplicated,
    halved,
    late,
    refused,
    repeated,
    swallowed,
    then,
    truncated,
)

CREATE = "POST /containers/create"

Create = Callable[..., str]


@pytest.fixture
def create(operator: Operator, proxy: Proxy) -> Create:
    """Creates a container through the proxy."""

    def call(seconds: float = 10) -> str:
        body = {"Image": IMAGE, "Labels": {"reconciler.instance": operator.instance}}
        return ask(proxy.host, "POST", "/v1.41/containers/create", {"name": operator.instance}, body, seconds)

    return call


def test_calls_are_passed_on_and_told(operator: Operator, proxy: Proxy, create: Create) -> None:
    """Without the version, the query and the ids."""
    assert "Id" in create()
    (row,) = operator.containers()
    assert row["Id"] in ask(proxy.host, "GET", f"/containers/{row['Id']}/json")
    assert proxy.calls == [CREATE, "GET /containers/ID/json"]


def test_the_next_calls_that_match_go_wrong_in_the_order_said(proxy: Proxy) -> None:
    """Others do not, and what was not met can be forgotten."""
    proxy.on("GET /_ping", refused(500, "first"))
    proxy.on("GET .*", refused(500, "second"), times=2)
    assert "Containers" in ask(proxy.host, "POST", "/containers/prune", {"filters": '{"label": ["none"]}'})
    for words in ("first", "second"):
        with pytest.raises(RuntimeError, match=words):
            ask(proxy.host, "GET", "/_ping")
    assert proxy.unmet == ["GET .*"]
    proxy.heal()
    assert ask(proxy.host, "GET", "/_ping") == "OK"


@pytest.mark.parametrize(("fault", "happens"), [(cut_before, 0), (cut_after, 1), (truncated(10), 1), (halved, 1)])
def test_no_answer_or_half_of_one(operator: Operator, proxy: Proxy, create: Create, fault: Fault, happens: int) -> None:
    """Whether it happens is another matter."""
    proxy.on(CREATE, fault)
    with pytest.raises(ConnectionError):
        create()
    assert len(operator.containers()) == happens


def test_a_refusal_is_in_the_words_of_the_test(operator: Operator, proxy: Proxy, create: Create) -> None:
    """And nothing happens."""
    proxy.on(CREATE, refused(409, "not today"))
    with pytest.raises(RuntimeError, match="not today"):
        create()
    assert operator.containers() == []


def test_done_twice(operator: Operator, proxy: Proxy, create: Create) -> None:
    """The engine's second answer is told."""
    proxy.on(CREATE, duplicated)
    with pytest.raises(RuntimeError, match="already in use"):
        create()
    assert len(operator.containers()) == 1


def test_an_answer_without_an_end(operator: Operator, proxy: Proxy, create: Create) -> None:
    """It happens, and the caller waits."""
    proxy.on(CREATE, swallowed)
    with pytest.raises(TimeoutError):
        create(seconds=1)
    assert len(operator.containers()) == 1


def test_delays(operator: Operator, proxy: Proxy, create: Create) -> None:
    """An answer comes late; or none comes, and later it happens."""
    proxy.on(CREATE, late(1))
    with pytest.raises(ConnectionError):
        create()
    assert operator.containers() == []
    operator.until(operator.containers)
    proxy.on("GET /_ping", delayed(1))
    begun = time.monotonic()
    assert ask(proxy.host, "GET", "/_ping") == "OK"
    assert time.monotonic() - begun >= 1


def test_something_else_happens_after_the_fault(operator: Operator, proxy: Proxy, create: Create) -> None:
    """The call has been done by then."""
    found: list[int] = []
    proxy.on(CREATE, then(lambda: found.append(len(operator.containers())), cut_after))
    with pytest.raises(ConnectionError):
        create()
    assert found == [1]


def test_a_stream_whose_first_event_is_repeated(operator: Operator, proxy: Proxy, create: Create) -> None:
    """The others are told once."""
    proxy.on("GET /events", repeated(3))
    events = DockerEngine(Address(proxy.host), operator.instance).events()
    assert next(events) == SUBSCRIBED
    create()
    operator.api("DELETE", f"/containers/{operator.instance}")
    assert [next(events).what for _ in range(4)] == [*[Happening.CHANGED] * 3, Happening.REMOVED]


@pytest.mark.parametrize("fault", [halved, truncated(700)])
def test_a_stream_that_breaks_within_an_event(operator: Operator, proxy: Proxy, fault: Fault) -> None:
    """What was told before it stands."""
    proxy.on("GET /events", fault)
    events = DockerEngine(Address(proxy.host), operator.instance).events()
    assert next(events) == SUBSCRIBED
    for _ in range(4):
        operator.api("POST", "/networks/create", body={"Name": f"reconciler.{operator.instance}"})
        operator.api("DELETE", f"/networks/reconciler.{operator.instance}")
    with pytest.raises(EngineUnavailable):
        list(events)
