"""Problems for other programs: what a name or a message holds, they read it as it is."""

import pytest

from reconciler import __version__
from reconciler.cli.format.annotations import escaped, escaped_property, github, sarif, uri
from reconciler.model.errors import Problem

UNKNOWN = Problem("sandboxes.d/a,b: 100%.yaml", 4, 2, "unknown key 'x: 50%, y'", "did you mean 'z'?")
OVER = Problem("b.yaml", 2, 12, "mem_limit 1g is over the policy's ceiling", "at most 512m", "limits.mem_limit")
WHOLE = Problem("/srv/c d.yaml", 0, 0, "the file is too large")


def test_github() -> None:
    """An annotation has a place that GitHub finds, a title, and everything else in its message."""
    assert github(OVER) == (
        "::error file=b.yaml,line=2,col=12,title=reconciler%3A policy/limits.mem_limit"
        "::mem_limit 1g is over the policy's ceiling (at most 512m)"
    )


def test_github_escapes() -> None:
    """Nothing in a file's name ends a property, and a message keeps what only properties must escape."""
    assert github(UNKNOWN) == (
        "::error file=sandboxes.d/a%2Cb%3A 100%25.yaml,line=4,col=2,title=reconciler%3A declaration"
        "::unknown key 'x: 50%25, y' (did you mean 'z'?)"
    )


def test_github_of_a_whole_file() -> None:
    """A problem of the whole file has no line."""
    assert github(WHOLE) == "::error file=/srv/c d.yaml,title=reconciler%3A declaration::the file is too large"


@pytest.mark.parametrize("text", ["%0A", "a\r\nb", "::error::x", "100%, 50%: \n"])
def test_escapes_can_be_undone(text: str) -> None:
    """What GitHub puts back is what was said, on one line."""
    said = escaped(text)
    assert not set(said) & set("\r\n")
    assert said.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%") == text
    assert not set(escaped_property(text)) & set("\r\n,:")
    assert escaped_property(text).replace("%3A", ":").replace("%2C", ",") == said


def test_sarif() -> None:
    """A run tells who found what, by which rule, and where: columns count characters."""
    log = sarif([OVER, UNKNOWN, WHOLE])
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("/sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("reconciler", __version__)
    assert [rule["id"] for rule in driver["rules"]] == ["declaration", "policy/limits.mem_limit"]
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["results"][0] == {
        "ruleId": "policy/limits.mem_limit",
        "level": "error",
        "message": {"text": "mem_limit 1g is over the policy's ceiling (at most 512m)"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "b.yaml"},
                    "region": {"startLine": 2, "startColumn": 12},
                }
            }
        ],
    }
    assert {result["ruleId"] for result in run["results"]} == {rule["id"] for rule in driver["rules"]}
    assert "region" not in run["results"][2]["locations"][0]["physicalLocation"]


def test_sarif_of_nothing() -> None:
    """A run that found nothing is told as such: old results are then taken away."""
    (run,) = sarif([])["runs"]
    assert run["results"] == []


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("sandboxes.d/a.yaml", "sandboxes.d/a.yaml"),
        ("a b%#?.yaml", "a%20b%25%23%3F.yaml"),
        ("a:b.yaml", "a%3Ab.yaml"),
        ("é.yaml", "%C3%A9.yaml"),
        ("/srv/a b.yaml", "file:///srv/a%20b.yaml"),
    ],
)
def test_uri(file: str, expected: str) -> None:
    """Files are named by URIs: relative ones stay relative, and nothing in a name looks like another part."""
    assert uri(file) == expected
