"""Sandboxes as values: what their models promise, and how they are laid over the policy's defaults."""

import pytest
from pydantic import BaseModel, ValidationError

from reconciler.spec.mistake import Mistake, shown
from reconciler.spec.policy import Limits, Policy, Removals, VolumeRoot
from reconciler.spec.sandbox import Healthcheck, Port, Restart, Sandbox, Tmpfs, Volume
from reconciler.spec.units import MIB

MODELS = [Sandbox, Port, Tmpfs, Volume, Healthcheck, Policy, Limits, VolumeRoot, Removals]
TYPED = Sandbox(
    image="busybox",
    command=("sleep", "1"),
    environment={"A": "1"},
    ports=(Port(target=80, published=8080),),
    mem_limit=64 * MIB,
    tmpfs=(Tmpfs(target="/run"),),
    volumes=(Volume(source="/srv", target="/data"),),
    healthcheck=Healthcheck(test=("CMD", "true"), interval=5.0),
    stop_grace_period=5,
    restart=Restart.NO,
)


@pytest.mark.parametrize("model", MODELS)
def test_every_field_is_described(model: type[BaseModel]) -> None:
    """Each key has a sentence, which the JSON schema shows."""
    assert all(field.description for field in model.model_fields.values())


@pytest.mark.parametrize("key", ["command", "entrypoint", "environment", "labels"])
def test_text_is_bounded(key: str) -> None:
    """No text that goes to the engine is longer than 16 KiB."""
    too_long = "x" * (16 * 1024 + 1)
    value = {"A": too_long} if key in ("environment", "labels") else too_long
    with pytest.raises(ValidationError, match="is too long"):
        Sandbox.model_validate({key: value})


@pytest.mark.parametrize("model", MODELS)
def test_models_are_strict(model: type[BaseModel]) -> None:
    """Every model refuses what it does not know, and holds still."""
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"]
    assert model.model_config["strict"]


def test_typed_values_are_accepted() -> None:
    """A sandbox is also made of the values that YAML becomes."""
    assert Sandbox.model_validate(dict(TYPED)) == TYPED


def test_errors_of_the_model_hide_their_input() -> None:
    """Not even the text of pydantic's own error holds a value of `environment`."""
    with pytest.raises(ValidationError) as caught:
        Sandbox.model_validate({"environment": {"A": True, "B-": "hunter2", "C": ["hunter2"]}})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("a\nb", "'a\\nb'"),
        (1.5, "1.5"),
        (["secret"], "a list"),
        ({"a": 1}, "a mapping"),
    ],
)
def test_shown(value: object, text: str) -> None:
    """A value in a message is on one line, and shows nothing of the inside of lists and mappings."""
    assert shown(value) == text


def test_shown_is_short() -> None:
    """A value in a message is cut."""
    assert len(shown("x" * 60_000)) < 70


def test_mistake() -> None:
    """The text of a mistake says what is wrong and how to mend it."""
    assert str(Mistake("is wrong", "mend it")) == "is wrong (mend it)"
    assert str(Mistake("is wrong")) == "is wrong"


def test_over_merges_by_key() -> None:
    """A sandbox is laid over the policy's defaults: environment and labels by key, the rest whole."""
    defaults = Sandbox(
        image="app",
        environment={"A": "1", "B": "1"},
        labels={"x": "1", "z": "1"},
        ports=(Port(target=1),),
        command=("a", "b"),
    )
    sandbox = Sandbox(environment={"B": "2"}, labels={"y": "2", "z": "2"}, command=("c",), cpus=0.5)
    result = sandbox.over(defaults)
    assert result.image == "app"
    assert result.environment == {"A": "1", "B": "2"}
    assert result.labels == {"x": "1", "y": "2", "z": "2"}
    assert result.command == ("c",)
    assert result.ports == (Port(target=1),)
    assert (result.cpus, result.mem_limit) == (0.5, 512 * MIB)
    assert result.model_fields_set == {"image", "environment", "labels", "ports", "command", "cpus"}


def test_over_nothing() -> None:
    """Without defaults a sandbox stays as it is, also in what it did not say."""
    sandbox = Sandbox(image="app", user="2000:2000")
    assert sandbox.over(Sandbox()) == sandbox
    assert sandbox.over(Sandbox()).model_fields_set == {"image", "user"}


@pytest.mark.parametrize(
    ("sandbox", "defaults"),
    [
        (Sandbox(network_mode="none"), Sandbox(ports=(Port(target=80),))),
        (Sandbox(ports=(Port(target=80),)), Sandbox(network_mode="none")),
        (Sandbox(), Sandbox(network_mode="none")),
    ],
)
def test_over_without_network(sandbox: Sandbox, defaults: Sandbox) -> None:
    """Without a network there are no ports, whichever side said what."""
    assert sandbox.over(defaults).ports == ()


def test_over_back_on_the_bridge() -> None:
    """A sandbox that says `network_mode: null` is on the bridge again, with its port."""
    sandbox = Sandbox.model_validate({"network_mode": None}).over(Sandbox(network_mode="none"))
    assert sandbox.network_mode is None
    assert sandbox.ports == (Port(target=3000),)


def test_over_said_null_wins() -> None:
    """A key that is said to be nothing replaces the default, too."""
    assert Sandbox(command=None).over(Sandbox(command=("a",))).command is None
