"""The schema that editors use accepts what the reader accepts, and refuses what a schema can refuse."""

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from reconciler.cli.main import cli
from reconciler.cli.schema import json_schema
from reconciler.sources.document import FileBroken, read_document
from reconciler.spec.parts import Healthcheck, Port, Tmpfs, Volume
from reconciler.spec.policy import Limits, OnViolation, Policy, Removals, VolumeRoot
from reconciler.spec.sandbox import DesiredState, PullPolicy, Restart, Sandbox
from tests.unit import test_policy_file as policies

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "unit" / "cases"
EXAMPLES = ROOT / "sandboxes.d"
SHOWN = [
    re.findall(r"^```yaml\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for page in ("README.md", "docs/security.md")
]
"""The examples of a sandbox, and of a policy."""

SANDBOX = Draft202012Validator(json_schema(Sandbox))
POLICY = Draft202012Validator(json_schema(Policy))
MODELS = (Sandbox, Healthcheck, Port, Tmpfs, Volume, Policy, Limits, Removals, VolumeRoot)

BEYOND = {
    "command-quotes": "quotes of a shell",
    "environment-twice": "texts that begin alike",
    "mem-limit-huge": "numbers in a text",
    "mem-limit-small": "numbers in a text",
    "ports-published-twice": "values that are equal in part",
    "ports-twice": "values that are equal in part",
    "tmpfs-twice": "values that are equal in part",
    "user-large": "numbers in a text",
    "volumes-and-tmpfs": "values that are equal in part",
}
"""Bad cases that a schema accepts, and what it would have to understand."""

REQUIRED: dict[type[BaseModel], dict[str, Any]] = {
    Healthcheck: {"test": "a"},
    Port: {"target": 1},
    Tmpfs: {"target": "/a"},
    Volume: {"source": "/a", "target": "/b"},
    VolumeRoot: {"root": "/a"},
}
"""Keys without which there is no such model."""

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 3000, 70_000, 10**18, 0.5, 1.0, -0.5, 1e9),
    *(
        "",
        " ",
        "a",
        "none",
        "host",
        "always",
        "no",
        "running",
        "never",
        "report",
        "1000:1000",
        "0:0",
        "00:0",
        "1:2:3",
        "root",
    ),
    *(
        "512m",
        "1.5 GiB",
        "5k",
        "64 m",
        "0",
        "010",
        "1m30s",
        "10s",
        "90",
        "1h",
        "s",
        "0.5",
        "3000",
        "99999",
        "8000-9999",
    ),
    *("/", "/a", "/a/b", "/a/", "//a", "/a/../b", "/..a", "a/b", "/run:size=64m", "/run:rw", "/proc/a", "/process"),
    *("busybox", "ghcr.io/a/b:1", "Busybox", "f" * 64, "localhost:5000/a", "a b", "x" * 600, "sh -c 'a b'"),
    *([], [1], ["a"], [None], [[]], ["A=b"], ["A"], ["CMD", "a"], ["NONE"], ["/run", "/tmp:size=1m"], [80, "81"]),
    *({}, {"A": "b"}, {"A": 1}, {"A": None}, {"A-B": "x"}, {"reconciler.x": "y"}, {"test": "a"}, {"disable": True}),
    *({"disable": True, "test": "a"}, {"disable": False, "test": "a"}, {"disable": False}, {"interval": "5s"}),
    *(
        [{"target": 80}],
        [{"target": "80", "published": 1024}],
        [{"published": 2000}],
        [{"target": 80, "published": 80}],
    ),
    *([{"source": "/a", "target": "/b"}], [{"type": "volume", "source": "/a", "target": "/b"}], [{"target": "/a"}]),
    *([{"target": "/a", "size": "5k"}], [{"target": "/a", "size": 1}], [{"root": "/"}], [{"root": "/a"}]),
    *({"mem_limit": "1g", "cpus": 2}, {"mem_limit": 1}, {"max": 1, "share": 0.1}, {"share": 2}, {"image": "a"}),
]


def of(text: str) -> Any:
    return read_document(text.encode(), "x").value


def readable(directory: Path) -> list[Path]:
    """Those that are YAML as we read it: of the others, no schema hears."""
    found = []
    for file in sorted(directory.glob("*.yaml")):
        try:
            of(file.read_text(encoding="utf-8"))
        except FileBroken:
            continue
        found.append(file)
    return found


def accepts(model: type[BaseModel], value: Any) -> bool:
    try:
        model.model_validate(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("validator", [SANDBOX, POLICY], ids=["sandbox", "policy"])
def test_is_a_schema(validator: Draft202012Validator) -> None:
    """What is printed is a schema of the draft that it names."""
    assert isinstance(validator.schema, dict)
    assert validator.schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(validator.schema)


@pytest.mark.parametrize("file", [*readable(CASES / "good"), *readable(EXAMPLES)], ids=lambda file: file.stem)
def test_good(file: Path) -> None:
    """What the reader accepts is valid."""
    SANDBOX.validate(of(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", readable(CASES / "bad"), ids=lambda file: file.stem)
def test_bad(file: Path) -> None:
    """What the reader refuses is not, but for what a schema cannot say."""
    assert SANDBOX.is_valid(of(file.read_text(encoding="utf-8"))) == (file.stem in BEYOND)


def test_policies() -> None:
    """The same holds for policies."""
    POLICY.validate(of(policies.WHOLE))
    for name, (text, _) in policies.BROKEN.items():
        if name not in ("empty", "twice", "ports of root", "ports the other way round"):
            assert not POLICY.is_valid(of(text)), name


def test_what_the_pages_show() -> None:
    """Their examples are good files."""
    (sandbox,), (policy,) = (map(of, examples) for examples in SHOWN)
    SANDBOX.validate(sandbox)
    POLICY.validate(policy)
    assert accepts(Sandbox, sandbox)
    assert accepts(Policy, policy)


@pytest.mark.parametrize(
    ("model", "key"),
    [(model, key) for model in (Sandbox, Policy) for key in model.model_fields],
    ids=lambda part: part if isinstance(part, str) else part.__name__,
)
def test_nothing_good_is_refused(model: type[BaseModel], key: str) -> None:
    """Whatever the value of a key, when the reader accepts it, the schema does; and some it accepts, others not."""
    validator = SANDBOX if model is Sandbox else POLICY
    read = {index: accepts(model, {key: value}) for index, value in enumerate(VALUES)}
    assert set(read.values()) == {True, False}
    for index, good in read.items():
        if good:
            validator.validate({key: VALUES[index]})


@pytest.mark.parametrize("model", MODELS)
def test_defaults_are_the_models(model: type[BaseModel]) -> None:
    """A default in the schema is written as people write it, and read as what it stands for."""
    for key, said in json_schema(model)["properties"].items():
        if "default" in said:
            read = model.model_validate({**REQUIRED.get(model, {}), key: said["default"]})
            assert getattr(read, key) == model.model_fields[key].default


def test_defaults_are_as_people_write_them() -> None:
    """Nobody counts bytes and seconds."""
    said = {key: value.get("default") for key, value in json_schema(Sandbox)["properties"].items()}
    assert (said["mem_limit"], said["stop_grace_period"], said["ports"]) == ("512m", "10s", [3000])
    assert "default" not in json_schema(Sandbox)["properties"]["image"]


@pytest.mark.parametrize("model", MODELS)
def test_examples_are_good(model: type[BaseModel]) -> None:
    """An example can be pasted."""
    for key, said in json_schema(model)["properties"].items():
        for example in said.get("examples", []):
            assert accepts(model, {**REQUIRED.get(model, {}), key: example}), (key, example)


@pytest.mark.parametrize("model", MODELS)
def test_keys(model: type[BaseModel]) -> None:
    """Every key is known and explained, and every other one is refused."""
    schema = json_schema(model)
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() >= model.model_fields.keys()
    for said in schema["properties"].values():
        assert said.get("description") or resolved(schema, said)["description"]


@pytest.mark.parametrize(
    ("model", "key", "words"),
    [
        (Sandbox, "restart", Restart),
        (Sandbox, "state", DesiredState),
        (Sandbox, "pull_policy", PullPolicy),
        (Policy, "on_violation", OnViolation),
    ],
)
def test_words_to_choose_from(model: type[BaseModel], key: str, words: type[StrEnum]) -> None:
    """Where a value is one of a few words, the editor can offer them."""
    schema = json_schema(model)
    assert resolved(schema, schema["properties"][key])["enum"] == list(words)


def resolved(schema: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """What the definition says that is referred to, also as the first alternative."""
    said = said.get("anyOf", [said])[0]
    definition: dict[str, Any] = schema["$defs"][said["$ref"].rpartition("/")[2]]
    return definition


@pytest.mark.parametrize(("arguments", "model"), [([], Sandbox), (["sandbox"], Sandbox), (["policy"], Policy)])
def test_command(arguments: list[str], model: type[BaseModel]) -> None:
    """The command prints the schema of a sandbox, or the one that is named."""
    printed = CliRunner().invoke(cli, ["schema", *arguments])
    assert json.loads(printed.stdout) == json_schema(model)


def test_the_examples_have_it() -> None:
    """The schema beside the examples is the one that the command prints, and every example names it."""
    assert (EXAMPLES / ".schema.json").read_text(encoding="utf-8") == CliRunner().invoke(cli, ["schema"]).stdout
    for file in EXAMPLES.glob("*.yaml"):
        assert file.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=.schema.json\n")
