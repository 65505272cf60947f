"""What the unit tests share."""

from pathlib import Path

import pytest

from tests.fake_engine import FakeEngine
from tests.house import IMAGE, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "sandboxes.d").mkdir()
    engine = FakeEngine()
    engine.add_image(IMAGE)
    return House(tmp_path, engine)
