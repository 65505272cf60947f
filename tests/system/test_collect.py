"""How the doctor looks at files, whatever is there."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.control.settings import Settings
from reconciler.doctor.collect import collect
from reconciler.doctor.host import PathAccess, Unknown
from tests.unit.test_doctor import ENGINE

ALICE, BOB, TEAM = 54_321, 54_322, 54_323
"""Nobody has these ids."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Without an engine."""
    (tmp_path / "sandboxes.d").mkdir()
    (tmp_path / "policy.yaml").write_text("{}")
    host = f"unix://{tmp_path}/engine.sock"
    return Settings(tmp_path / "sandboxes.d", tmp_path / "policy.yaml", tmp_path / "state", host, "default")


def place(found: PathAccess | Unknown | None) -> PathAccess:
    assert isinstance(found, PathAccess)
    return found


def test_nothing_is_made(settings: Settings, tmp_path: Path) -> None:
    """Looking leaves everything as it is, and what is not there is told as such."""
    before = sorted(tmp_path.rglob("*"))
    host = collect(settings)
    assert (host.socket, place(host.state).path) == (None, tmp_path)
    assert isinstance(host.engine, Unknown)
    assert sorted(tmp_path.rglob("*")) == before


def test_who_may_write(settings: Settings) -> None:
    """Owner, group and others, each where the mode lets them; the owner always, as he can change the mode."""
    os.chown(settings.directory, ALICE, TEAM)
    for mode, writers in (
        (0o555, {f"user {ALICE}"}),
        (0o775, {f"user {ALICE}", f"group {TEAM}"}),
        (0o757, {"everyone"}),
    ):
        settings.directory.chmod(mode)
        assert writers <= set(place(collect(settings).directory).writers)
    assert f"group {TEAM}" not in place(collect(settings).directory).writers


def test_who_may_replace_the_policy(settings: Settings, tmp_path: Path) -> None:
    """Who may write a directory above the policy can put another policy there, but in a sticky one only its owner."""
    assert settings.policy_file is not None
    os.chown(tmp_path, BOB, TEAM)
    os.chown(settings.policy_file, ALICE, TEAM)
    tmp_path.chmod(0o770)
    policy = place(collect(settings).policy)
    assert {who: policy.writers.get(who) for who in (f"user {ALICE}", f"user {BOB}", f"group {TEAM}")} == {
        f"user {ALICE}": settings.policy_file,
        f"user {BOB}": tmp_path,
        f"group {TEAM}": tmp_path,
    }
    tmp_path.chmod(0o1777)
    assert set(place(collect(settings).policy).writers) >= {f"user {ALICE}", f"user {BOB}"}
    assert not {"everyone", f"group {TEAM}"} & set(place(collect(settings).policy).writers)


def test_who_may_replace_what_a_link_leads_to(settings: Settings, tmp_path: Path) -> None:
    """A policy behind a link can be replaced on both sides."""
    assert settings.policy_file is not None
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.chown(elsewhere, BOB, TEAM)
    settings.policy_file.rename(elsewhere / "real.yaml")
    settings.policy_file.symlink_to(elsewhere / "real.yaml")
    assert place(collect(settings).policy).writers[f"user {BOB}"] == elsewhere


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path)])
def test_odd_things(settings: Settings, tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A FIFO, a directory or a loop of links in the place of a file is a finding, not a crash, and blocks nobody."""
    for path in (tmp_path / "policy.yaml", tmp_path / "engine.sock", tmp_path / "state", tmp_path / "sandboxes.d"):
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        make(path)
    host = collect(settings)
    assert host.policy_invalid
    assert isinstance(host.engine, Unknown)


def test_whether_a_rootless_engine_outlives_a_logout(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where systemd has booted, its engine ends with the last session of its user, unless the user lingers."""
    rootless = replace(ENGINE, security=frozenset({"rootless"}))
    monkeypatch.setattr("reconciler.doctor.collect.DockerEngine.health", lambda _: rootless)
    monkeypatch.setattr("reconciler.doctor.collect.LINGER", tmp_path)
    (tmp_path / "engine.sock").touch()
    monkeypatch.setattr("reconciler.doctor.collect.SYSTEMD", tmp_path / "absent")
    assert collect(settings).ends_with_logout_of == ""
    monkeypatch.setattr("reconciler.doctor.collect.SYSTEMD", tmp_path)
    assert collect(settings).ends_with_logout_of == "root"
    (tmp_path / "root").touch()
    assert collect(settings).ends_with_logout_of == ""


def test_a_policy_that_is_broken(settings: Settings) -> None:
    """The doctor says what is wrong in the policy."""
    assert settings.policy_file is not None
    settings.policy_file.write_text("sandboxes_max: [")
    assert "policy.yaml:1" in str(collect(settings).policy_invalid)
