"""The README's first steps, taken in a clone: what it shows is what is seen."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.private_engine import FETCH, PrivateEngine
from tests.system.clone import ROOT, Clone
from tests.waiting import eventually

README = (ROOT / "README.md").read_text()
FIRST = README[README.index("## First sandbox") : README.index("## Keys")]

STEP = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
ADDRESS = re.compile(r"127\.0\.0\.1:\d+")

VARIES = {
    r"\b[0-9a-f]{12}\b": "ID",
    r"\(pid \d+\)": "(pid PID)",
    r"\bfor \d+[smh]\b": "for AGE",
    r"  \d+[smh]$": "  AGE",
    r"\b\d{4}-\d\d-\d\dT.*": "TIME",
    r"Docker \S+,": "Docker VERSION,",
    r"instance \S+,": "instance INSTANCE,",
    r" +": " ",
}
"""What differs from run to run, and what is put in its place."""


@pytest.fixture
def clone(tmp_path: Path, private_engine: PrivateEngine, engine_instance: str) -> Iterator[Clone]:
    """In which `make run` goes on; `curl` reaches the sandboxes of the tests' own engine."""
    commands = tmp_path / "bin"
    commands.mkdir()
    curl = " ".join([*private_engine.inside, "python3", "-c", f"'{FETCH}'", '"http://$1"'])
    (commands / "curl").write_text(f"#!/bin/sh\nexec {curl}\n")
    (commands / "curl").chmod(0o755)
    environment = {"RECONCILER_HOST": private_engine.host, "RECONCILER_INSTANCE": engine_instance}
    clone = Clone.at(tmp_path / "clone", environment)
    with clone.terminal("make", "run") as terminal:
        eventually(clone.run_all)
        exports = re.findall(r"^export (\w+)=(.*)$", terminal.said(), re.MULTILINE)
        assert [name for name, _ in exports] == ["PATH", "RECONCILER_HOST"]
        told = {name: value.replace("$PATH", f"{commands}:{os.environ['PATH']}") for name, value in exports}
        yield Clone(clone.root, {**clone.environment, **told})


def test_the_first_sandbox_is_the_example() -> None:
    """The README leaves out its comments and nothing else."""
    (shown,) = re.findall(r"^```yaml\n(# sandboxes\.d/hello\.yaml.*?)^```", FIRST, re.MULTILINE | re.DOTALL)
    assert yaml.safe_load(shown) == yaml.safe_load((ROOT / "sandboxes.d" / "hello.yaml").read_text())


def test_the_first_steps_do_what_is_shown(clone: Clone) -> None:
    """Each command, in order, with its output up to ports, ids, processes and times."""
    ports: dict[str, str] = {}
    steps = [
        step
        for block in re.findall(r"^```console\n(.*?)^```", FIRST, re.MULTILINE | re.DOTALL)
        for step in STEP.findall(block)
    ]
    assert len(steps) >= 9
    for command, shown in steps:
        said = ""

        def as_shown(command: str = command, shown: str = shown) -> bool:
            nonlocal said
            said = carried_out(clone, ADDRESS.sub(lambda found: ports.get(found[0], found[0]), command))
            return same(said) == same(shown)

        if shown:
            with suppress(AssertionError):
                eventually(as_shown)
            assert same(said) == same(shown), command
            ports.update(zip(ADDRESS.findall(shown), ADDRESS.findall(said), strict=True))
        else:
            assert carried_out(clone, command) == ""


def carried_out(clone: Clone, command: str) -> str:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=clone.root,
        env=clone.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    ).stdout


def same(text: str) -> str:
    """The text without what varies."""
    text = ADDRESS.sub("ADDRESS", text.strip())
    for pattern, instead in VARIES.items():
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text
