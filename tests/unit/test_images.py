"""What an image brings along, held to what a file could ask for."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.container import BindMount, HealthcheckSpec, TmpfsMount
from reconciler.model.world import Image
from reconciler.planning.images import LABELS_BYTES_MAX, fitted, forbidden, is_too_frequent, slowed
from tests.scene import Scene

CHECK = HealthcheckSpec(("CMD", "true"))
RENDERED = Scene().rendered("web", 61000)


@pytest.mark.parametrize(("size", "found"), [(LABELS_BYTES_MAX, 0), (LABELS_BYTES_MAX + 1, 1)])
def test_labels_of_an_image_are_bounded(size: int, found: int) -> None:
    """Keys and values count together."""
    image = Image("app:1", "", "", labels={"ab": "x" * (size - 11), "c": "de", "\udc80": ""})
    assert len(list(forbidden(image, RENDERED.spec))) == found


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"read_only": False}, []),
        ({"read_only": True}, ["/a", "/b"]),
        ({"read_only": True, "tmpfs": (TmpfsMount("/a", 1),)}, ["/b"]),
        ({"read_only": True, "volumes": (BindMount("/srv", "/b", read_only=True),)}, ["/a"]),
    ],
)
def test_a_read_only_container_has_no_volume_of_its_image(spec: dict[str, Any], found: list[str]) -> None:
    """Unless something of the file's is mounted there, however the image writes the path."""
    image = Image("app:1", "", "", volumes=("/b/", "/a//"))
    told = list(forbidden(image, replace(RENDERED.spec, **spec)))
    assert told == [
        ("read_only", f"its image would write to a volume on {path}", f"mount a tmpfs on {path}") for path in found
    ]


@pytest.mark.parametrize("time", ["interval", "timeout", "start_interval"])
@pytest.mark.parametrize(("seconds", "calm"), [(0, 0), (0.999, 1), (1, 1), (30, 30)])
def test_no_check_of_an_image_runs_more_often_than_one_of_a_file(time: str, seconds: float, calm: float) -> None:
    """Once a second; 0 is the engine's default, and stays."""
    times: dict[str, Any] = {time: seconds}
    check = replace(CHECK, **times)
    assert is_too_frequent(check) is (seconds != calm)
    assert getattr(slowed(check), time) == calm
    assert slowed(replace(CHECK, retries=3, start_period=0.1)) == replace(CHECK, retries=3, start_period=0.1)


def test_a_file_that_says_a_start_interval_keeps_it() -> None:
    """Only what it leaves out would be the image's."""
    own = replace(RENDERED, spec=replace(RENDERED.spec, healthcheck=replace(CHECK, start_interval=7)))
    image = Image("app:1", "", "", healthcheck=replace(CHECK, start_interval=0.1))
    made = fitted(own, image).spec.healthcheck
    assert made is not None
    assert made.start_interval == 7
    assert fitted(own, None) is own
    assert fitted(own, replace(image, healthcheck=CHECK)) is own
