"""How a container's knobs are said to people."""

import pytest

from reconciler.model.container import BindMount, HealthcheckSpec, Logging, PublishedPort, TmpfsMount
from reconciler.planning.describe import HIDDEN, NOTHING, configuration, said
from tests.scene import Scene

CHECK = HealthcheckSpec(("CMD", "true"))
BARE = ("rw", "nosuid", "mode=700")


@pytest.mark.parametrize(
    ("knob", "value", "text"),
    [
        ("mem_limit", 512 << 20, "512m"),
        ("memswap_limit", 1 << 30, "1g"),
        ("mem_limit", 0, "0"),
        ("shm_size", 64 << 20, "64m"),
        ("cpus", 0.5, "0.5"),
        ("cpus", 2.0, "2"),
        ("pids_limit", 100, "100"),
        ("stop_grace_period", 90, "1m30s"),
        ("read_only", True, "true"),
        ("read_only", False, "false"),
        ("user", "1000:1000", "1000:1000"),
        ("user", "", NOTHING),
        ("command", None, NOTHING),
        ("command", ("sh", "-c", "é"), '["sh", "-c", "é"]'),
        ("ports", (), NOTHING),
        ("ports", (PublishedPort(3000, 61000),), "3000/tcp on 127.0.0.1:61000"),
        ("ports", (PublishedPort(53, 0, "", "udp"),), "53/udp on *:(random)"),
        ("tmpfs", (TmpfsMount("/run", 8 << 20),), "/run:size=8m"),
        ("tmpfs", (TmpfsMount("/run", 0, BARE),), "/run:mode=700,size=0,no nodev,no noexec"),
        ("volumes", (BindMount("/a", "/b", read_only=True),), "/a on /b, read-only"),
        (
            "volumes",
            (BindMount("/a", "/b", read_only=False), BindMount("/c", "/d", read_only=True)),
            "/a on /b; /c on /d, read-only",
        ),
        ("healthcheck", CHECK, 'test ["CMD", "true"]'),
        (
            "healthcheck",
            HealthcheckSpec(("NONE",), interval=1, timeout=2, start_period=3, retries=4, start_interval=5),
            'test ["NONE"], interval 1s, timeout 2s, start_period 3s, start_interval 5s, retries 4',
        ),
        ("logging", Logging("local", (("a", "1"), ("b", "2"))), "local, a 1, b 2"),
        ("labels", "a\nb", "a\\nb"),
    ],
)
def test_a_knob_is_said_as_in_the_file(knob: str, value: object, text: str) -> None:
    """Sizes, times and lists as people write them, on one line."""
    assert said(knob, value) == text


def test_two_long_values_that_begin_alike_are_told_apart() -> None:
    """What is cut says how long it is and has a digest, whatever is in it; what just fits is shown whole."""
    assert said("user", "x" * 200) == "x" * 200
    one, *others = (said("user", "x" * 200 + end) for end in ("a", "b", "\udc80"))
    assert len({one, *others}) == 3
    assert one.startswith("x" * 200 + "… (201 characters, ")
    assert len(one) == 200 + len("… (201 characters, 12345678)")


def test_a_configuration_has_no_value_of_environment_and_no_label_of_ours() -> None:
    """What the image decides is left out, and variables are in the order of their names."""
    spec = Scene().rendered("web", 61000, environment={"B": "secret", "A": "2"}, labels={"team": "blue"}).spec
    told = configuration(spec)
    assert [field for field in told if field.startswith("environment.")] == ["environment.A", "environment.B"]
    assert told["environment.B"] == HIDDEN
    assert told["labels.team"] == "blue"
    assert not any(field.startswith("labels.reconciler.") for field in told)
    assert "command" not in told
    assert told["mem_limit"] == "512m"
