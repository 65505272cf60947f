"""`reconciler validate`: all problems of all files, each as a good compiler tells it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reconciler.cli.main import cli

POLICY = """\
limits:
  mem_limit: 256m
volumes: [{root: /usr}]
"""
ENGINE_LESS = ["--host", "unix:///nowhere.sock"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with an empty `sandboxes.d` in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    (tmp_path / "sandboxes.d").mkdir()
    return tmp_path


def declare(name: str, text: str) -> None:
    Path("sandboxes.d", f"{name}.yaml").write_text(text)


def validate(*arguments: object, policy: str = "", color: bool = False) -> Result:
    options = list(ENGINE_LESS)
    if policy:
        Path("policy.yaml").write_text(policy)
        options += ["--policy", "policy.yaml"]
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, [*options, "validate", *map(str, arguments)], color=color)


def told(*arguments: object, policy: str = "") -> str:
    """What is said on stderr about something that is wrong."""
    result = validate(*arguments, policy=policy)
    assert result.exit_code == 1
    assert result.stdout == ""
    return result.stderr


@pytest.mark.usefixtures("here")
def test_a_mistake() -> None:
    """A problem is told with its place, its line, a mark, and how to mend it."""
    declare("hello", "image: busybox\n\ncpus: 1\nmemlimit: 64m\n")
    assert told() == (
        "error: unknown key 'memlimit'\n"
        "  --> sandboxes.d/hello.yaml:4:1\n"
        " 4 | memlimit: 64m\n"
        "   | ^^^^^^^^\n"
        "   = help: did you mean 'mem_limit'?\n"
        "\n"
        "1 problem in 1 file\n"
    )


@pytest.mark.usefixtures("here")
def test_a_rule_in_its_file() -> None:
    """What the policy forbids is told with the rule, and the line where it stands."""
    declare("hello", "image: busybox\n" + "#\n" * 8 + "mem_limit: 1g\n")
    assert told(policy=POLICY) == (
        "error: mem_limit 1g is over the policy's ceiling\n"
        "   --> sandboxes.d/hello.yaml:10:12\n"
        " 10 | mem_limit: 1g\n"
        "    |            ^^\n"
        "    = help: at most 256m\n"
        "    = rule: limits.mem_limit, in policy.yaml:2\n"
        "\n"
        "1 problem in 1 file\n"
    )


@pytest.mark.parametrize("policy", ["", POLICY])
@pytest.mark.usefixtures("here")
def test_a_built_in_rule(policy: str) -> None:
    """A rule that no file says is the built-in policy's."""
    declare("hello", "image: busybox\ncpus: 2\n")
    assert "   = rule: limits.cpus, of the built-in policy\n" in told(policy=policy)


@pytest.mark.usefixtures("here")
def test_all_problems_of_all_files() -> None:
    """One run tells everything: broken files, what is forbidden, and files that no sandbox can come from."""
    declare("a", "image: x\nprivileged: true\ncpu: 1\n")
    declare("b", "image: x\ncpus: 2\nuser: 0:0\nvolumes:\n  - {source: /etc, target: /a}\n")
    declare("good", "image: x\n")
    declare("Bad", "image: x\n")
    said = told(policy=POLICY)
    assert re.findall(r"--> (.*)", said) == [
        "sandboxes.d/Bad.yaml",
        "sandboxes.d/a.yaml:2:1",
        "sandboxes.d/a.yaml:3:1",
        "sandboxes.d/b.yaml:2:7",
        "sandboxes.d/b.yaml:3:7",
        "sandboxes.d/b.yaml:5:14",
    ]
    assert said.endswith("\n\n6 problems in 3 files\n")


@pytest.mark.usefixtures("here")
def test_all_problems_of_one_file() -> None:
    """Of what is not wrong itself, a broken file is told what the policy forbids, and never that it lacks something."""
    declare("a", "imag: x\ncpus: 2\nmem_limit: lots\nuser: 1:1\nports: [{target: 1, published: 80}]\n")
    assert re.findall(r"error: (.*)\n.*--> (.*)", told()) == [
        ("unknown key 'imag'", "sandboxes.d/a.yaml:1:1"),
        ("cpus 2 is over the policy's ceiling", "sandboxes.d/a.yaml:2:7"),
        ("mem_limit: 'lots' is not a size", "sandboxes.d/a.yaml:3:12"),
        ("user 1:1 is below the policy's minimum", "sandboxes.d/a.yaml:4:7"),
        ("ports[0].published: port 80 of the host is below 1024", "sandboxes.d/a.yaml:5:32"),
    ]


@pytest.mark.usefixtures("here")
def test_what_an_anchor_stands_for() -> None:
    """What the policy forbids in it is told with the anchor and its use, as what is wrong in it; so are ports."""
    declare(
        "a",
        "x-common: &common {user: 1:1}\nx-big: &big\n  resources: {limits: {memory: 2g}}\nx-port: &port 8080:80\n"
        "image: x\n<<: *common\ndeploy: *big\nports: [*port]\n",
    )
    declare("b", "image: x\nports: ['8080:81']\n")
    problems = json.loads(validate("-o", "json").stdout)["problems"]
    assert [(one["line"], one["column"], one["message"]) for one in problems][:3] == [
        (1, 26, "user 1:1 is below the policy's minimum; line 6 uses it as '*common'"),
        (3, 32, "mem_limit 2g is over the policy's ceiling; line 7 uses it as '*big'"),
        (4, 9, "port 8080 of the host is also published by b.yaml; line 8 uses it as '*port'"),
    ]


@pytest.mark.parametrize("named", [[], ["sandboxes.d/a.yaml", "sandboxes.d/b.yaml"]])
@pytest.mark.usefixtures("here")
def test_a_port_that_two_publish(named: list[str]) -> None:
    """It is a problem of both, each at its place."""
    declare("a", "image: x\nports: [{target: 1, published: 8080}]\n")
    declare("b", "image: x\nports: [80, {target: 1, published: 8080}]\n")
    said = told(*named)
    assert re.findall(r"--> (.*)", said) == ["sandboxes.d/a.yaml:2:32", "sandboxes.d/b.yaml:2:36"]
    assert "port 8080 of the host is also published by" in said


def test_directories_are_noted(here: Path) -> None:
    """What is passed over is told in each form, and is no mistake."""
    declare("a", "image: x\n")
    (here / "sandboxes.d" / "more").mkdir()
    (here / "sandboxes.d" / "more" / "b.yaml").write_text("image: x\n")
    result = validate()
    assert (result.exit_code, result.stdout) == (0, "1 file, all good\n")
    assert result.stderr == (
        "note: is a directory, which is ignored, with b.yaml in it\n"
        " --> sandboxes.d/more\n  = help: move its files up to use them\n\n"
    )
    (note,) = json.loads(validate("-o", "json").stdout)["notes"]
    assert note["file"] == "sandboxes.d/more"
    assert validate("-o", "github").stdout.startswith("::notice file=sandboxes.d/more,")
    (found,) = json.loads(validate("-o", "sarif").stdout)["runs"][0]["results"]
    assert found["level"] == "note"


@pytest.mark.usefixtures("here")
def test_a_wrong_policy() -> None:
    """A policy's file is told in the same way, together with the sandboxes' own mistakes."""
    declare("a", "imag: x\n")
    said = told(policy="limits:\n  mem_limt: 1g\n")
    assert (
        "error: unknown key 'mem_limt' in limits\n  --> policy.yaml:2:3\n 2 |   mem_limt: 1g\n   |   ^^^^^^^^\n" in said
    )
    assert "--> sandboxes.d/a.yaml:1:1\n" in said
    assert said.endswith("2 problems in 2 files\n")


@pytest.mark.usefixtures("here")
def test_what_means_less_in_the_defaults_is_noted() -> None:
    """With its place in the policy's file; one that is wrong has problems only."""
    declare("a", "image: x\n")
    policy = "defaults:\n  restart: unless-stopped\n"
    result = validate(policy=policy)
    assert (result.exit_code, result.stdout) == (0, "1 file, all good\n")
    assert "note: restart: 'unless-stopped' is `always` here\n  --> policy.yaml:2:12\n" in result.stderr
    assert "note" not in told(policy=f"{policy}  env_file: .env\n")


@pytest.mark.usefixtures("here")
def test_many_problems() -> None:
    """The sentence about the problems that are too many to be told comes after them."""
    declare("a", "".join(f"cpu{number}: 1\n" for number in range(30)))
    said = told()
    assert said.endswith("error: and 10 more problems\n --> sandboxes.d/a.yaml\n\n21 problems in 1 file\n")


@pytest.mark.usefixtures("here")
def test_good_files() -> None:
    """Where all is well, one line says so."""
    declare("a", "image: x\n")
    assert validate().stdout == "1 file, all good\n"
    declare("b", "image: x\n")
    result = validate()
    assert (result.stdout, result.stderr, result.exit_code) == ("2 files, all good\n", "", 0)


def test_named_files(here: Path) -> None:
    """Files and directories that are named are told as they can be opened from here."""
    declare("a", "imag: x\n")
    declare("b", "imag: x\n")
    elsewhere = here.parent / f"{here.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.yaml").write_text("imag: x\n")
    said = told("sandboxes.d/a.yaml", here / "sandboxes.d" / "b.yaml", elsewhere, "gone.yaml", "sandboxes.d/../x.yaml")
    assert set(re.findall(r"--> (.*)", said)) == {
        "sandboxes.d/a.yaml:1:1",
        "sandboxes.d/b.yaml:1:1",
        f"{elsewhere}/c.yaml:1:1",
        "gone.yaml",
        "sandboxes.d/../x.yaml",
    }


def test_no_directory(here: Path) -> None:
    """A directory that cannot be read is a problem like another, in all forms."""
    (here / "sandboxes.d").rmdir()
    assert told(policy="limits: 1\n") == (
        "error: limits: must be a mapping\n"
        "  --> policy.yaml:1:9\n 1 | limits: 1\n   |         ^\n\n"
        "error: cannot open the directory sandboxes.d: No such file or directory\n"
        " --> sandboxes.d\n\n2 problems in 2 files\n"
    )
    (problem,) = json.loads(validate("-o", "json").stdout)["problems"]
    assert (problem["file"], problem["line"]) == ("sandboxes.d", 0)


@pytest.mark.usefixtures("here")
def test_json() -> None:
    """For programs, each problem has its place, its words and its rule."""
    declare("a", "image: x\ncpus: 2\n")
    result = validate("-o", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "problems": [
            {
                "file": "sandboxes.d/a.yaml",
                "line": 2,
                "column": 7,
                "message": "cpus 2 is over the policy's ceiling",
                "hint": "at most 1",
                "rule": "limits.cpus",
            }
        ],
        "notes": [],
    }


@pytest.mark.usefixtures("here")
def test_what_means_less_than_in_compose_is_noted() -> None:
    """It is told in its line and in each form, beside the mistakes or without any, of a file and of a directory."""
    declare("a", "image: x\nrestart: unless-stopped\n")
    result = validate()
    assert (result.exit_code, result.stdout) == (0, "1 file, all good\n")
    assert result.stderr == (
        "note: restart: 'unless-stopped' is `always` here\n"
        "  --> sandboxes.d/a.yaml:2:10\n"
        " 2 | restart: unless-stopped\n"
        "   |          ^^^^^^^^^^^^^^\n"
        "   = help: stopped by hand, it starts again; say `state: stopped` instead\n"
        "\n"
    )
    assert validate("sandboxes.d/a.yaml").stderr == result.stderr
    (note,) = json.loads(validate("-o", "json").stdout)["notes"]
    assert (note["file"], note["line"], note["column"]) == ("sandboxes.d/a.yaml", 2, 10)
    assert validate("-o", "github").stdout.startswith("::notice file=sandboxes.d/a.yaml,line=2,col=10,")
    (found,) = json.loads(validate("-o", "sarif").stdout)["runs"][0]["results"]
    assert found["level"] == "note"
    declare("b", "image: x\ncpus: lots\n")
    assert re.findall("^(?:error|note)", told(), re.MULTILINE) == ["error", "note"]


@pytest.mark.usefixtures("here")
def test_other_forms() -> None:
    """Annotations and SARIF come out on stdout, and fail the run as the text does."""
    declare("a", "image: x\ncpus: 2\n")
    annotations, sarif = validate("-o", "github"), validate("-o", "sarif")
    assert annotations.stdout.startswith("::error file=sandboxes.d/a.yaml,line=2,col=7,")
    log: dict[str, Any] = json.loads(sarif.stdout)
    assert log["runs"][0]["results"][0]["ruleId"] == "policy/limits.cpus"
    assert (annotations.exit_code, sarif.exit_code) == (1, 1)
    declare("a", "image: x\n")
    assert (validate("-o", "github").stdout, validate("-o", "github").exit_code) == ("", 0)


@pytest.mark.usefixtures("here")
def test_no_secret_in_any_form() -> None:
    """A value of `environment` is in no form of what is told, whatever is wrong with it."""
    declare("a", "image: x\nenvironment:\n  A: hunter2\n  B+: hunter2\n  C: [hunter2]\n")
    declare("b", "environment: {A: !hunter2 hunter2}\n")
    declare("c", '{"image": "x", "imag": 1, "environment": {"A": "hunter2"}}\n')
    declare("d", "enviroment: {A: hunter2}\nimage:\n")
    for form in ("text", "json", "github", "sarif"):
        result = validate("-o", form)
        assert result.exit_code == 1
        assert "hunter2" not in result.output


@pytest.mark.usefixtures("here")
def test_colour_is_only_style() -> None:
    """With colours, the words are the same."""
    declare("a", "image: x\ncpus: 2\nimag: y\n")
    coloured = validate(color=True).stderr
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == told()
