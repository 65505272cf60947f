"""Each command that README.md and docs/ show, carried out in a clone: what they show is what is seen."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.private_engine import FETCH, PATH, PrivateEngine
from tests.system.clone import ROOT, Clone
from tests.system.conftest import Operator
from tests.tables import PAGES
from tests.waiting import eventually

README = (ROOT / "README.md").read_text()
FIRST = README[README.index("## First sandbox") : README.index("## Keys")]

STEP = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
ADDRESS = re.compile(r"127\.0\.0\.1:\d+")

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

ELSEWHERE = {
    "make run": "goes on while the first steps are taken",
    "make test": "is what runs this, here or on other engines",
    ".venv/bin/pytest": "is what runs this, too",
    "pip install reconciler": "test_release does that",
    "apt-get install ./": "test_release does that, in a root of its own",
    "python3 -m venv /opt/": "test_release does that",
    "/opt/reconciler/bin/": "test_release does that",
    "mkdir -p /etc/reconciler": "test_release does that",
    "docker build": "test_release does that",
    "docker compose": "test_release does the same with `docker run`: no registry that is in reach has Compose",
    "stat --format %g /var/run/docker.sock": "the machine's own engine is not for tests",
    "systemctl": "needs systemd as the first process",
}
"""How a command begins that is not carried out here, and why."""

VARIES = {
    r"\b[0-9a-f]{12}\b": "ID",
    r"\(pid \d+\)": "(pid PID)",
    r"\bfor \d+[smh]\b": "for AGE",
    r"  \d+[smh]$": "  AGE",
    r"\b\d{4}-\d\d-\d\dT.*": "TIME",
    r"(Docker|Podman) \S+,": "ENGINE,",
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
    steps = [step for tag, block in BLOCK.findall(FIRST) if tag == "console" for step in STEP.findall(block)]
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


def with_names(text: str, names: dict[str, str]) -> str:
    """With something in the place of each pattern."""
    for pattern, instead in names.items():
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text


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
    return with_names(ADDRESS.sub("ADDRESS", text.strip()), VARIES)


def for_a_shell(page: Path) -> list[str]:
    """The commands of the blocks that are marked `sh`."""
    return [line for tag, text in BLOCK.findall(page.read_text()) if tag == "sh" for line in text.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_for_a_shell_can_be_carried_out(page: Path, operator: Operator) -> None:
    """In order, beside a sandbox that runs, each command ends well, unless it is `ELSEWHERE`."""
    operator.declare("web")
    operator.reconciler("apply", code=0)
    (network,) = (row for row in operator.api("GET", "/networks") if row["Name"] == operator.network("web"))
    names = {
        r"\binstance=default\b": f"instance={operator.instance}",
        r"\breconciler\.default\b": f"reconciler.{operator.instance}",
        r"\bBRIDGE\b": (network["Options"] or {}).get("com.docker.network.bridge.name", f"br-{network['Id'][:12]}"),
    }
    environment = {**os.environ, "PATH": PATH, "DOCKER_HOST": operator.engine.host}
    for command in for_a_shell(page):
        if not command.startswith(tuple(ELSEWHERE)):
            words = [*operator.engine.inside, "bash", "-o", "pipefail", "-c", with_names(command, names)]
            subprocess.run(words, cwd=operator.root, env=environment, check=True, timeout=60)


def test_all_that_is_elsewhere_is_shown() -> None:
    """No exception outlives what it was made for, and no tag hides a command."""
    commands = [command for page in PAGES for command in for_a_shell(page)]
    assert [start for start in ELSEWHERE if not any(command.startswith(start) for command in commands)] == []
    shells = {"bash", "shell", "zsh"}
    assert [page.name for page in PAGES for tag, _ in BLOCK.findall(page.read_text()) if tag in shells] == []


def test_each_console_is_the_readmes() -> None:
    """Where outputs are shown, the first steps are taken."""
    shown = [text for page in PAGES for tag, text in BLOCK.findall(page.read_text()) if tag == "console"]
    assert shown == [text for tag, text in BLOCK.findall(FIRST) if tag == "console"]
