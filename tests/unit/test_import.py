"""What `import` makes of Compose files, and what it says of them.

Every file in `cases/import` has at its top the variables that it is given (`# env:`), the report (`# report:`) and the
sandbox's file (`# file:`) that must come of its one service, line by line.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler.cli.main import cli
from reconciler.model.desired import Declaration
from reconciler.report.whole_file import create_whole
from reconciler.sources.compose_file import services
from reconciler.sources.compose_import import import_service
from reconciler.sources.directory import read_bytes, read_file
from reconciler.sources.document import FileBroken, read_document
from reconciler.sources.interpolation import Variables, read_variables
from reconciler.spec.mistake import Mistake

CASES = Path(__file__).parent / "cases"
IMPORTS = sorted((CASES / "import").glob("*.yaml"))
HOME = "/home/ada/shop"


def said(file: Path, word: str) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(f"# {word}:").removeprefix(" ") for line in lines if line.startswith(f"# {word}:")]


@pytest.mark.parametrize("file", IMPORTS, ids=lambda file: file.stem)
def test_case(file: Path) -> None:
    """A service becomes the file and the report that its case says; the file is a valid sandbox."""
    variables = read_variables("\n".join(said(file, "env")))
    document = read_document(file.read_bytes(), file.name, variables.resolve)
    ((name, service),) = services(document).items()
    text, report = import_service(service, variables, HOME)
    assert report == said(file, "report")
    assert text.splitlines() == said(file, "file")
    outcome = read_bytes(name, file.name, text.encode())
    assert isinstance(outcome, Declaration), outcome
    assert outcome.notes == ()


def test_there_are_cases() -> None:
    """The cases are found."""
    assert len(IMPORTS) >= 30


@pytest.mark.parametrize("file", sorted(CASES.glob("*/*.yaml")), ids=lambda file: file.stem)
def test_what_is_imported_is_valid(file: Path) -> None:
    """Whatever a service says: what is made of it is a valid sandbox, or nothing for want of an image."""
    text = "services:\n  web:\n    x: y\n" + "".join(f"    {line}\n" for line in file.read_text().splitlines())
    try:
        document = read_document(text.encode(), "x", Variables().resolve)
        service = services(document)["web"]
    except FileBroken:
        return
    written, report = import_service(service, Variables(), HOME)
    if written:
        assert isinstance(read_bytes("web", "x", written.encode()), Declaration)
    else:
        assert report[-1].startswith("error ")


FORMS = {
    "$A ${A} $A-b": "first first first-b",
    "${B:-b} ${B-b} ${C:-c} ${C-c} ${A:-x}": "b  c c first",
    "${A:+x}${A+y}|${B:+x}${B+y}|${C:+x}${C+y}": "xy|y|",
    "${A:?x} ${B?x}": "first ",
    "${C:-${B:-{deep} $A}}!": "{deep} first!",
    "$$A $${A} $$$A $5 a$ $( $} ${C}.": "$A ${A} $first $5 a$ $( $} .",
}
WRONG = {
    "${": "a `${` has no `}`",
    "${A:-${B}": "a `${` has no `}`",
    "${}": "this is no variable of Compose",
    "${ A}": "this is no variable of Compose",
    "${A!}": "this is no variable of Compose",
    "${C?say $A}": "the variable C is required (say first)",
    "${B:?}": "the variable B is required (give it in the env file)",
}


@pytest.mark.parametrize(("text", "value"), FORMS.items())
def test_variables(text: str, value: str) -> None:
    """Each of Compose's forms puts the value in its place."""
    variables = Variables({"A": "first", "B": ""})
    assert variables.resolve(text) == value
    assert variables.unset == ({"C"} if "${C}" in text else set())


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_no_variables(text: str, message: str) -> None:
    """What is no form, or has no value that is required, is a mistake."""
    with pytest.raises(Mistake) as caught:
        Variables({"A": "first", "B": ""}).resolve(text)
    assert str(caught.value).startswith(message)


def test_env_file() -> None:
    """An env file is read as Compose reads it."""
    text = """\
# comment
export A=first # not part
B=
 C : "l1\\nl2 $A \\$x \\"q\\" \\z" # not part
D='single $A # it\\'s'
E=a#b \t
F="two
lines"
NAME_ALONE
G.h-1=$A$$
"""
    assert read_variables(text.replace("\n", "\r\n")).values == read_variables(text).values
    assert read_variables(text).values == {
        "A": "first",
        "B": "",
        "C": 'l1\nl2 first $x "q" \\z',
        "D": "single $A # it's",
        "E": "a#b",
        "F": "two\nlines",
        "G.h-1": "first$",
    }


@pytest.mark.parametrize("text", ["A=1\nB C", 'A=1\nB="x', "A=1\n=2"])
def test_no_env_file(text: str) -> None:
    """A line that is none is told."""
    with pytest.raises(Mistake, match="line 2 is not NAME=VALUE"):
        read_variables(text)


COMPOSE = """\
services:
  web: {image: "busybox:${TAG}", environment: {PASSWORD: $SECRET, HOME: }}
  My_DB: {image: busybox, mem_limit: 1g}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a Compose file in it."""
    monkeypatch.chdir(tmp_path)
    Path("compose.yaml").write_text(COMPOSE)
    Path(".env").write_text("SECRET=hunter2\n")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["import", "compose.yaml", *arguments])


def test_command(here: Path) -> None:
    """Each service has a file, and a report that tells no secret; also what the policy forbids, and what is empty."""
    Path("env").write_text("TAG=1\nSECRET=hunter2\n")
    result = run("-d", "given", "--env-file", "env")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (here / "given").iterdir()} == {"web.yaml", "my-db.yaml"}
    outcome = read_file(Path("given/web.yaml"))
    assert isinstance(outcome, Declaration)
    assert outcome.sandbox.environment == {"PASSWORD": "hunter2"}
    assert "hunter2" not in result.output
    assert "environment.PASSWORD looks like a secret" in result.output
    assert "policy      mem_limit 1g is over the policy's ceiling (at most 512m)" in result.output


def test_what_can_be_no_sandbox(here: Path) -> None:
    """A service without an image is told, and the others are written; variables without a value are told too."""
    result = run()
    assert result.exit_code == 1
    assert [path.name for path in (here / "sandboxes.d").iterdir()] == ["my-db.yaml"]
    assert re.search(r"^web: not written\n(  .*\n)*  error  +without an image", result.output, re.MULTILINE)
    assert result.output.endswith("note: TAG has no value, and is empty\n")


def test_nothing_is_overwritten(here: Path) -> None:
    """Where one of the files is there already, nothing is written at all."""
    (here / "sandboxes.d").mkdir()
    (here / "sandboxes.d" / "my-db.yml").write_text("image: mine")
    Path(".env").write_text("TAG=1\n")
    result = run()
    assert result.exit_code == 1
    assert "already has my-db; nothing is written" in result.output
    assert [path.name for path in (here / "sandboxes.d").iterdir()] == ["my-db.yml"]
    assert (here / "sandboxes.d" / "my-db.yml").read_text() == "image: mine"


def test_a_file_is_written_whole_or_not_at_all(here: Path) -> None:
    """Also where the disk is full, as it is for who may write no byte to a file."""
    Path(".env").write_text("TAG=1\n")
    command = ["sh", "-c", 'ulimit -f 0; "$@"', "sh", sys.executable, "-m", "reconciler", "import", "compose.yaml"]
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it writes too
    full = subprocess.run(command, capture_output=True, text=True, check=False, env=unmeasured)
    assert (full.returncode, full.stderr) == (1, "reconciler: [Errno 27] File too large\n")
    assert list((here / "sandboxes.d").iterdir()) == []
    assert run().exit_code == 0
    assert {path.name for path in (here / "sandboxes.d").iterdir()} == {"web.yaml", "my-db.yaml"}


def test_a_file_that_somebody_makes_meanwhile_is_kept(tmp_path: Path) -> None:
    """A new one has the mode that the umask leaves."""
    file = tmp_path / "web.yaml"
    before = os.umask(0o027)
    try:
        create_whole(file, b"one")
    finally:
        os.umask(before)
    with pytest.raises(FileExistsError):
        create_whole(file, b"another")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"one", 0o640)
    assert list(tmp_path.iterdir()) == [file]


def test_mistakes_have_their_place(here: Path) -> None:
    """What cannot be read is told with line and column, and nothing is written."""
    Path("compose.yaml").write_text(COMPOSE.replace("$SECRET", '"a ${NEEDED:?say it}"'))
    result = run()
    assert result.exit_code == 1
    assert "compose.yaml:2:61: the variable NEEDED is required (say it)" in result.output
    assert not (here / "sandboxes.d").exists()
