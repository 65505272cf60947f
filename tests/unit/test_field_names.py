"""No field name of the Docker Engine API stands outside `engine/docker`: what an engine answers ends there."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import reconciler
from reconciler.model.plan import Reason

HOUSE = Path(reconciler.__file__).parent
DOCKER = HOUSE / "engine" / "docker"
ELSEWHERE = sorted(path for path in HOUSE.rglob("*.py") if DOCKER not in path.parents)

FIELD = re.compile(r"[A-Z][A-Za-z0-9]+")
NO_FIELDS = {"Docker", "Podman", "GET", "HEAD", "Downloading", "HOME", "HOSTNAME", "PATH", "TERM"}
"""What `engine/docker` says in the same form: names of engines and variables, methods of HTTP, a word of a pull."""
TITLES = {"cli/main.py": {"Log"}}
"""Of tables that are made for people, and ask no engine: a group of options in the help."""


def strings(nodes: Iterable[ast.AST | None]) -> set[str]:
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def keys(tree: ast.AST) -> Iterator[ast.expr | None]:
    """What stands where a mapping is asked or made: `answer["Name"]`, `answer.get("Name")`, `{"Name": name}`."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(slice=key) | ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[key, *_]):
                yield key
            case ast.Dict(keys=found):
                yield from found
            case ast.MatchMapping(keys=found):
                yield from found


TREES = {path: ast.parse(path.read_text()) for path in [*ELSEWHERE, *DOCKER.glob("*.py")]}
SAID = set().union(*(strings(ast.walk(TREES[path])) for path in DOCKER.glob("*.py")))
FIELDS = {word for word in SAID if FIELD.fullmatch(word)} - NO_FIELDS


def test_the_field_names_are_found() -> None:
    """Those of requests, of answers and of what must be empty; a table that is empty would find nothing."""
    assert {"HostConfig", "NanoCpus", "RepoDigests", "CapDrop", "DeviceRequests", "SwapLimit", "Memory"} <= FIELDS


@pytest.mark.parametrize("path", ELSEWHERE, ids=lambda path: str(path.relative_to(HOUSE)))
def test_no_field_name_of_docker_stands_elsewhere(path: Path) -> None:
    """One that is no word of English (`HostConfig`) in no line; one that is a word (`Memory`) not as a key.

    A reason may have the name of a field: it is a word of our own, for which Kubernetes has the same.
    """
    unmistakable = {name for name in FIELDS - set(Reason) if re.search(r"[a-z0-9][A-Z]|[A-Z]{2}[a-z]", name)}
    titles = TITLES.get(str(path.relative_to(HOUSE)), set())
    said = set(re.findall(r"\w+", path.read_text())) & unmistakable
    asked = strings(keys(TREES[path])) & FIELDS
    assert (said | asked) - titles == set()
