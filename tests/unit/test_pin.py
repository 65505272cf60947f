"""Whose engine it is: the first that is seen, and no other one behind the same address."""

from pathlib import Path

import pytest

from reconciler.control.clock import SystemClock
from reconciler.control.reconcile import reconcile_once
from reconciler.model.errors import EngineUnavailable
from tests.fake_engine import FakeEngine
from tests.house import IMAGE, House


class Engine(FakeEngine):
    """It may become another one, with nothing but images."""

    name = "ID /var/lib/docker"

    def identity(self) -> str:
        super().identity()
        return self.name

    def exchange(self) -> None:
        self.name = "ANOTHER /var/lib/docker"
        self._containers, self._networks = {}, {}


@pytest.fixture
def engine() -> Engine:
    engine = Engine()
    engine.add_image(IMAGE)
    return engine


@pytest.fixture
def house(tmp_path: Path, engine: Engine) -> House:
    house = House(tmp_path, engine)
    (tmp_path / "sandboxes.d").mkdir()
    house.declare("web")
    return house


def test_the_first_engine_that_is_seen_is_pinned(house: House) -> None:
    """So is that of a state directory which had no pin, after an upgrade."""
    house.apply()
    assert house.store.pin_file.read_text() == "ID /var/lib/docker\n"
    house.store.pin_file.unlink()
    assert house.apply().available
    assert house.store.pinned() == "ID /var/lib/docker"


def test_another_engine_is_left_alone(house: House, engine: Engine) -> None:
    """By a controller that starts, by a plan, and while actions are under way; each says how to accept it."""
    house.apply()
    house.declare("other")
    engine.exchange()
    status = house.apply()
    assert not status.available
    accept = f"another engine answers than before; to accept it: rm {house.store.pin_file}; it is ANOTHER"
    assert status.unavailable_reason.startswith(accept)
    assert house.writes() == []
    with pytest.raises(EngineUnavailable, match="another engine answers"):
        reconcile_once(house.settings, engine, SystemClock())
    house.store.pin_file.unlink()
    assert house.apply().available
    assert house.running() == ["other", "web"]
    assert house.store.pinned() == "ANOTHER /var/lib/docker"


def test_an_engine_that_changes_between_two_calls_gets_no_more(house: House, engine: Engine) -> None:
    """Right before whatever would happen on any engine alike, it is asked which one it is."""

    def exchanged(call: str) -> None:
        if call == "create_network":
            engine.exchange()

    engine.after_call = exchanged
    house.apply()
    assert house.writes() == ["create_network"]


def test_an_engine_is_known_by_its_containers(house: House, engine: Engine) -> None:
    """A pass that finds one which was there before does not ask; what is removed is on no other engine."""
    house.declare("other")
    house.apply()
    engine.calls.clear()
    house.remove("other")
    house.apply()
    assert house.running() == ["web"]
    assert engine.calls.count("identity") == 0


def test_a_plan_pins_nothing(house: House, engine: Engine) -> None:
    """It writes nothing at all."""
    reconcile_once(house.settings, engine, SystemClock())
    assert house.store.pinned() == ""
    assert not house.store.directory.exists()
