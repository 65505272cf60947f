"""Every file in `cases` says itself what must come of it, in the comments at its top.

In `good`, each `# expect:` is an expression over the sandbox's attributes that must be true. In `bad`, they are all the
problems of the file, in order and word for word, without the file's name.
"""

from pathlib import Path

import pytest

from reconciler.model.desired import Declaration
from reconciler.sources.directory import Outcome, read_file
from reconciler.spec import sandbox as vocabulary
from reconciler.spec.sandbox import Sandbox

CASES = Path(__file__).parent / "cases"
GOOD = sorted((CASES / "good").glob("*.yaml"))
BAD = sorted((CASES / "bad").glob("*.yaml"))
SECRET = "hunter"  # noqa: S105 - it guards nothing
"""Stands in the cases where a value of `environment` could come out of a message."""


def expectations(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]


def messages(outcome: Outcome, file: Path) -> list[str]:
    assert isinstance(outcome, tuple), "the file was accepted"
    return [str(problem).removeprefix(f"{file}:").strip() for problem in outcome]


def attributes(sandbox: Sandbox) -> dict[str, object]:
    names = (*Sandbox.model_fields, "uid", "gid", "model_fields_set")
    return {**vars(vocabulary), **{name: getattr(sandbox, name) for name in names}}


def test_there_are_cases() -> None:
    """The cases are found, so that the tests below cannot pass by testing nothing."""
    assert len(GOOD) > 30
    assert len(BAD) > 100
    assert all(expectations(file) for file in GOOD + BAD)


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_good(file: Path) -> None:
    """A good file becomes a sandbox of which everything is true that stands at its top."""
    outcome = read_file(file)
    assert isinstance(outcome, Declaration), outcome
    for expectation in expectations(file):
        assert eval(expectation, attributes(outcome.sandbox)), expectation  # noqa: S307 - our own files


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_bad(file: Path) -> None:
    """A bad file is refused with exactly the problems that stand at its top, each with its line and column."""
    assert messages(read_file(file), file) == expectations(file)


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_bad_tells_no_secret(file: Path) -> None:
    """No problem holds a value of `environment`, whatever is wrong with it."""
    assert SECRET not in "".join(messages(read_file(file), file))


def test_every_key_has_a_good_and_a_bad_case() -> None:
    """No key of a sandbox goes without a case in which it is right and one in which it is wrong."""
    good = {key for file in GOOD for key in read_good(file).model_fields_set}
    bad = {
        line.split(": ")[1].split(".")[0].split("[")[0] for file in BAD for line in expectations(file) if ": " in line
    }
    assert good == set(Sandbox.model_fields)
    assert set(Sandbox.model_fields) <= bad


def read_good(file: Path) -> Sandbox:
    outcome = read_file(file)
    assert isinstance(outcome, Declaration)
    return outcome.sandbox
