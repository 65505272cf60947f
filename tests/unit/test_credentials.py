"""What registries are shown, from the files and helper programs of the Docker CLI."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.docker.credentials import CredentialsUnusable, credentials

ALICE = {"auth": base64.b64encode(b"alice:se:cret").decode()}
TOLD = {"username": "alice", "password": "se:cret"}

CASES: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "a host": ({"auths": {"reg.example:5000": ALICE}}, "reg.example:5000", TOLD),
    "a URL": ({"auths": {"https://reg.example/v2/": ALICE}}, "reg.example", TOLD),
    "another host": ({"auths": {"reg.example": ALICE}}, "reg.example:5000", {}),
    "Docker Hub": ({"auths": {"https://index.docker.io/v1/": ALICE}}, "docker.io", TOLD),
    "a token": ({"auths": {"reg.example": {"identitytoken": "t", **ALICE}}}, "reg.example", {"identitytoken": "t"}),
    "logged out": ({"auths": {"reg.example": {}}}, "reg.example", {}),
    "nothing": ({}, "reg.example", {}),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is found as `test`; what it is asked for, it appends to `asked`."""
    program = tmp_path / "docker-credential-test"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


@pytest.mark.parametrize(("said", "domain", "told"), CASES.values(), ids=CASES)
def test_what_the_file_says(file: Path, said: dict[str, Any], domain: str, told: dict[str, str]) -> None:
    """Whoever has no entry is shown nothing."""
    file.write_text(json.dumps(said))
    found = dict(credentials(file, domain))
    found.pop("serveraddress", None)
    assert found == told


def test_where_there_is_no_file_there_are_no_credentials(file: Path) -> None:
    """As before anybody has logged in."""
    assert credentials(file, "docker.io") == {}


@pytest.mark.parametrize(
    ("said", "server"),
    [
        ({"credsStore": "test"}, "https://index.docker.io/v1/"),
        ({"credHelpers": {"index.docker.io": "test"}, "credsStore": "gone"}, "https://index.docker.io/v1/"),
        ({"credHelpers": {"docker.io": "test"}}, "https://index.docker.io/v1/"),
    ],
)
def test_a_helper_is_asked(file: Path, helper: Path, said: dict[str, Any], server: str) -> None:
    """The one of the registry before the one of all; it is asked for a server as the Docker CLI asks."""
    helper.write_text('#!/bin/sh\nread server; echo "{\\"Username\\": \\"alice\\", \\"Secret\\": \\"for $server\\"}"\n')
    file.write_text(json.dumps(said))
    assert credentials(file, "docker.io") == {
        "username": "alice",
        "password": f"for {server}",
        "serveraddress": server,
    }


def test_a_helper_may_have_a_token_or_nothing(file: Path, helper: Path) -> None:
    """Nothing is no fault."""
    file.write_text(json.dumps({"credsStore": "test"}))
    helper.write_text('#!/bin/sh\necho \'{"Username": "<token>", "Secret": "t"}\'\n')
    assert credentials(file, "reg.example")["identitytoken"] == "t"
    helper.write_text("#!/bin/sh\necho credentials not found in native keychain\nexit 1\n")
    assert credentials(file, "reg.example") == {}


@pytest.mark.parametrize("text", ["secret", "[]", '{"auths": ["secret"]}', '{"auths": {"reg.example": {"auth": "?"}}}'])
def test_a_file_of_another_form(file: Path, text: str) -> None:
    """Nothing of what is in it is told, not even in the chain of causes."""
    file.write_text(text)
    with pytest.raises(CredentialsUnusable, match="does not have the form of the Docker CLI's") as error:
        credentials(file, "reg.example")
    assert error.value.__suppress_context__
    assert "secret" not in str(error.value)


def test_a_helper_that_fails(file: Path, helper: Path) -> None:
    """It is named, and what it has said is not repeated."""
    file.write_text(json.dumps({"credsStore": "test"}))
    helper.write_text("#!/bin/sh\necho secret\nexit 1\n")
    with pytest.raises(CredentialsUnusable, match=r"^docker-credential-test has failed$"):
        credentials(file, "reg.example")
    helper.unlink()
    with pytest.raises(CredentialsUnusable, match=r"^cannot run docker-credential-test: No such file or directory$"):
        credentials(file, "reg.example")
