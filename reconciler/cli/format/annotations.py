"""Problems for other programs: annotations of a pull request on GitHub, and SARIF."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reconciler import __version__
from reconciler.model.errors import Problem

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
DECLARATION = "declaration"
"""The rule id of problems that no policy could allow."""


def rule_id(problem: Problem) -> str:
    """`policy/limits.mem_limit`, or `declaration`."""
    return f"policy/{problem.rule}" if problem.rule else DECLARATION


def sentence(problem: Problem) -> str:
    """What is wrong and how to fix it, on one line."""
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message


def github(problem: Problem, level: str = "error") -> str:
    """The workflow command that puts the problem beside its line; `level` is `error` or `notice`."""
    place = {"line": str(problem.line), "col": str(problem.column)} if problem.line else {}
    properties = {"file": problem.file, **place, "title": f"reconciler: {rule_id(problem)}"}
    listed = ",".join(f"{key}={escaped_property(value)}" for key, value in properties.items())
    return f"::{level} {listed}::{escaped(sentence(problem))}"


def escaped(text: str) -> str:
    """Text after the second `::` of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escaped_property(text: str) -> str:
    """Text of a property, which a comma ends."""
    return escaped(text).replace(":", "%3A").replace(",", "%2C")


def sarif(problems: Sequence[Problem], notes: Sequence[Problem] = ()) -> dict[str, Any]:
    """One run in the Static Analysis Results Interchange Format 2.1.0; files have URIs relative to where it ran."""
    rules = sorted({rule_id(problem) for problem in (*problems, *notes)})
    driver = {"name": "reconciler", "version": __version__, "rules": [_rule(id_) for id_ in rules]}
    results = [*(_result(problem, "error") for problem in problems), *(_result(note, "note") for note in notes)]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(id_: str) -> dict[str, Any]:
    key = id_.removeprefix("policy/")
    text = "A file is a valid declaration." if id_ == DECLARATION else f"A sandbox complies with `{key}` of the policy."
    return {"id": id_, "shortDescription": {"text": text}, "defaultConfiguration": {"level": "error"}}


def _result(problem: Problem, level: str) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": uri(problem.file)}}
    if problem.line:
        location["region"] = {"startLine": problem.line, "startColumn": problem.column}
    return {
        "ruleId": rule_id(problem),
        "level": level,
        "message": {"text": sentence(problem)},
        "locations": [{"physicalLocation": location}],
    }


def uri(file: str) -> str:
    """Relative for a relative path."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
