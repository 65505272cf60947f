"""The controller as a service: what it tells the service manager, and when."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.system.conftest import Operator
from tests.system.faults.proxy import Exchange, Proxy, cut_before, passed_on
from tests.system.supervisor import Supervisor


@contextmanager
def proxy_of(operator: Operator) -> Iterator[Proxy]:
    with Proxy(operator.engine.host, operator.root / "proxy.sock") as proxy:
        operator.host = proxy.host
        yield proxy


@pytest.fixture
def supervisor(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """Listens to every command that the operator runs."""
    with Supervisor(operator.root / "notify.sock") as supervisor:
        for name, value in supervisor.environment.items():
            monkeypatch.setenv(name, value)
        yield supervisor


def readiness(supervisor: Supervisor) -> list[str]:
    """The messages that say whether it is ready, without their times."""
    return [message.split("\n")[0] for message in supervisor.said if "=1" in message and "WATCHDOG" not in message]


def test_ready_after_the_first_pass_and_after_a_reload(operator: Operator, supervisor: Supervisor) -> None:
    """Not ready before it has seen what is there; reloading until it has seen it all again; stopping at the end."""
    said_before_looking: list[list[str]] = []

    def collect(exchange: Exchange) -> None:
        said_before_looking.append(readiness(supervisor))
        passed_on(exchange)

    with proxy_of(operator) as proxy:
        proxy.on("GET /info", collect, times=100)
        with operator.run() as process:
            operator.until(lambda: readiness(supervisor) == ["READY=1"])
            assert said_before_looking[0] == []
            looks = operator.until(lambda: proxy.calls.count("GET /events") and len(said_before_looking))
            asked_at = time.monotonic()
            process.send_signal(signal.SIGHUP)
            operator.until(lambda: readiness(supervisor) == ["READY=1", "RELOADING=1", "READY=1"])
            (reloading,) = (message for message in supervisor.said if message.startswith("RELOADING=1"))
            assert asked_at <= int(reloading.partition("MONOTONIC_USEC=")[2]) / 1e6 <= time.monotonic()
            assert ["READY=1", "RELOADING=1"] in said_before_looking[looks:]
    operator.until(lambda: supervisor.said[-1] == "STOPPING=1")


def test_the_status_says_how_many_and_whether_the_engine_answers(operator: Operator, supervisor: Supervisor) -> None:
    """Each time that it is different."""

    def told(status: str) -> None:
        operator.until(lambda: [said for said in supervisor.said if "STATUS" in said][-1:] == [f"STATUS={status}"])

    operator.decree(sandboxes_max=2)
    with proxy_of(operator) as proxy, operator.run() as process:
        told("no sandboxes, engine available")
        for name in ("a", "b", "c"):
            operator.declare(name)
        told("2 running, 1 waiting, engine available")
        proxy.on(".*", cut_before, times=1000)
        process.send_signal(signal.SIGHUP)
        told("2 running, 1 waiting, engine not available")
        proxy.heal()
        told("2 running, 1 waiting, engine available")


def test_a_stopped_process_is_not_alive(operator: Operator, supervisor: Supervisor) -> None:
    """It says that it is alive while its loop turns, and only then."""
    with operator.run() as process:
        operator.until(lambda: supervisor.said.count("WATCHDOG=1") > 2)
        assert not supervisor.misses_a_beat
        process.send_signal(signal.SIGSTOP)
        operator.until(lambda: supervisor.misses_a_beat)
        beats = supervisor.said.count("WATCHDOG=1")
        process.send_signal(signal.SIGCONT)
        operator.until(lambda: supervisor.said.count("WATCHDOG=1") > beats)
