"""Volumes between being judged and being mounted: whoever writes below a root of the policy may swap what is there."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.control.sources import changed
from reconciler.model.container import BindMount
from reconciler.model.rendered import Rendered
from tests.scene import Scene


def rendered(source: Path) -> Rendered:
    """A container that mounts it; the rest does not matter."""
    one = Scene().rendered("web", 61000)
    return replace(one, spec=replace(one.spec, volumes=(BindMount(str(source), "/data", read_only=True),)))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "root" / "data"
    directory.mkdir(parents=True)
    return directory


def test_what_is_still_what_was_judged_is_mounted(source: Path) -> None:
    """A directory, or a file."""
    (source / "file").write_text("")
    assert [changed(rendered(one), None) for one in (source, source / "file")] == ["", ""]


@pytest.mark.parametrize("swapped", ["the source", "its parent"])
def test_a_link_that_took_its_place_is_not(source: Path, tmp_path: Path, swapped: str) -> None:
    """Also when it is a directory above that was swapped."""
    place = source if swapped == "the source" else source.parent
    place.rename(tmp_path / "judged")
    (tmp_path / "elsewhere" / "data").mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")
    assert changed(rendered(source), None) == f"volume {source} has become a link"


def test_a_directory_into_which_the_engines_socket_came_is_not(source: Path) -> None:
    """Whoever reaches it owns the host."""
    os.mkfifo(source / "docker.sock")
    assert "holds the engine's socket" in changed(rendered(source), source / "docker.sock")
    assert "neither a directory nor a file" in changed(rendered(source / "docker.sock"), None)


def test_what_is_gone_is_not(source: Path) -> None:
    """The engine would make a directory in its place."""
    source.rmdir()
    assert "cannot be read" in changed(rendered(source), None)
