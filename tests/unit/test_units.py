"""Sizes and durations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.spec.mistake import Mistake
from reconciler.spec.units import SIZE_MAX, duration_text, parse_duration, parse_size, size_text

SIZES = {
    "0": 0,
    "1b": 1,
    "512m": 512 * 1024**2,
    "512M": 512 * 1024**2,
    "512mb": 512 * 1024**2,
    "512MiB": 512 * 1024**2,
    "512 MB": 512 * 1024**2,
    "64k": 64 * 1024,
    "1g": 1024**3,
    "1.5g": 3 * 512 * 1024**2,
    "0.1k": 102,
    "2TiB": 2 * 1024**4,
}
NO_SIZES = ["", "m", "-1m", "+1m", "1e9", "1,5g", "512x", "512mm", "1 2m", " 1m", "1m ", "1m\n", "٣m", "0x10", "nan"]
DURATIONS = {
    "10s": 10.0,
    "1m30s": 90.0,
    "500ms": 0.5,
    "1h": 3600.0,
    "1.5h": 5400.0,
    "2h45m10s5ms20us": 9910.00502,
    "0s": 0.0,
}
NO_DURATIONS = ["", "10", "s", "-1s", "+1s", "1s1m", "1s2s", "10 s", "1d", "1e3s", "10s\n", "٣s", "soon"]


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_size(text: str, size: int) -> None:
    """All forms of Compose are read, in powers of 1024, and rounded down to whole bytes."""
    assert parse_size(text) == size


@pytest.mark.parametrize("value", [*NO_SIZES, None, True, 1.5, [], {}, -1, SIZE_MAX + 1, "9" * 18 + "g", "9" * 5000])
def test_no_size(value: object) -> None:
    """Everything else is a mistake that shows the value, but not at length."""
    with pytest.raises(Mistake, match=r"is not a size|is out of range") as caught:
        parse_size(value)
    assert len(caught.value.message) < 100


@given(st.integers(0, SIZE_MAX))
def test_size_there_and_back(size: int) -> None:
    """The text of a size is read as the same size."""
    assert parse_size(size_text(size)) == size == parse_size(size)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (512 * 1024**2, "512m"), (3 * 512 * 1024**2, "1536m"), (1000, "1000b")]
)
def test_size_text(size: int, text: str) -> None:
    """The text has the largest unit that is exact."""
    assert size_text(size) == text


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items())
def test_duration(text: str, seconds: float) -> None:
    """Compose's durations are read, the large units first."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("value", [*NO_DURATIONS, None, True, [], {}, -1, float("nan"), float("inf"), "9" * 5000 + "s"])
def test_no_duration(value: object) -> None:
    """Everything else is a mistake that shows the value, but not at length."""
    with pytest.raises(Mistake, match="is not a duration") as caught:
        parse_duration(value)
    assert len(caught.value.message) < 100


def test_duration_from_a_number() -> None:
    """A number without a unit is seconds."""
    assert parse_duration(10) == 10.0
    assert parse_duration(0.25) == 0.25


@given(st.integers(0, 10**12))
def test_duration_there_and_back(microseconds: int) -> None:
    """The text of a duration is read as the same duration."""
    seconds = microseconds / 1_000_000
    assert parse_duration(duration_text(seconds)) == seconds


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (10, "10s"), (90, "1m30s"), (0.5, "500ms"), (86400, "24h")])
def test_duration_text(seconds: float, text: str) -> None:
    """The text leaves out what is nought."""
    assert duration_text(seconds) == text
