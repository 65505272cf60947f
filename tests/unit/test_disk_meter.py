"""What sandboxes have written is measured beside the passes, as far as the engine tells."""

from collections.abc import Callable

import pytest

from reconciler.control.disk_meter import DiskMeter
from reconciler.control.messages import DiskMeasured, Message
from reconciler.model.errors import EngineRefused, EngineUnavailable, Refusal
from tests.fake_engine import FakeEngine

OURS = {"reconciler.instance": "default"}


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.add_image("app:1", Volumes={"/data": {}})
    return engine


def measured(engine: FakeEngine) -> list[Message]:
    told: list[Message] = []
    DiskMeter(engine, lambda work: work()).measure(told.append)
    return told


def failing(engine: FakeEngine, call: str, error: Exception) -> None:
    def strike(made: str) -> None:
        if made == call:
            raise error

    engine.before_call = strike


def test_volumes_of_the_image_count(engine: FakeEngine) -> None:
    """They are on the same disk."""
    container = engine.run_foreign("web", "app:1", Labels=OURS)
    engine.fill(container, 1_000)
    engine.fill(container, 500, volume="/data")
    assert measured(engine) == [DiskMeasured({container: 1_500})]


def test_without_volumes_there_is_one_call(engine: FakeEngine) -> None:
    """To add up all volumes is dear."""
    engine.add_image("app:1")
    engine.run_foreign("web", "app:1", Labels=OURS)
    measured(engine)
    assert engine.calls == ["written"]


def test_volumes_that_are_not_told_spoil_nothing(engine: FakeEngine) -> None:
    """Such as behind a proxy, which lets only some calls through."""
    container = engine.run_foreign("web", "app:1", Labels=OURS)
    engine.fill(container, 1_000)
    failing(engine, "volume_sizes", EngineRefused(Refusal.OTHER, "forbidden"))
    assert measured(engine) == [DiskMeasured({container: 1_000})]


@pytest.mark.parametrize("error", [EngineUnavailable("gone"), EngineRefused(Refusal.OTHER, "forbidden")])
def test_what_cannot_be_measured_is_not_zero(engine: FakeEngine, error: Exception) -> None:
    """Nothing is told, and the next time it is tried again."""
    told: list[Message] = []
    meter = DiskMeter(engine, lambda work: work())
    failing(engine, "written", error)
    meter.measure(told.append)
    assert told == []
    engine.before_call = lambda _: None
    meter.measure(told.append)
    assert told == [DiskMeasured({})]


def test_one_measurement_at_a_time(engine: FakeEngine) -> None:
    """Whoever asks while one is under way starts no other."""
    begun: list[Callable[[], None]] = []
    meter = DiskMeter(engine, begun.append)
    for _ in range(3):
        meter.measure(lambda _: None)
    assert len(begun) == 1
    begun.pop()()
    meter.measure(lambda _: None)
    assert len(begun) == 1
