"""Whether files are others than git tracks is read from the index that a real git has written."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.sources import git_index
from reconciler.sources.directory import Directory
from reconciler.sources.git_head import checkout_of
from reconciler.sources.git_index import Index, Tracked, parse

NOBODYS = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
NAMES = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")


ANY = None


def git(place: Path, *words: str, code: int | None = 0) -> None:
    environment = {**NOBODYS, **dict.fromkeys(NAMES, "somebody")}
    done = subprocess.run(["git", *words], cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert code in (ANY, done.returncode), done.stderr


def committed(root: Path, hashes: str = "sha1") -> Path:
    """A work tree with two sandboxes in a directory of it, and other files around them."""
    watched = root / "deploy" / "sandboxes.d"
    (watched / "more").mkdir(parents=True)
    for file in (watched / "a.yaml", watched / "b.yml", watched / "more" / "c.yaml", root / "z.yaml"):
        file.write_text(f"image: {file.stem}\n")
    (root / "deploy" / "sandboxes.d.yaml").touch()
    (watched / "README.md").touch()
    git(root, "init", "--quiet", f"--object-format={hashes}")
    commit(root)
    return watched


def commit(place: Path) -> None:
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--allow-empty", "--message=x")


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    return committed(tmp_path)


def uncommitted(watched: Path) -> bool | None:
    return Directory(watched).scan().uncommitted


def test_what_is_committed_is_no_change(tmp_path: Path) -> None:
    """In repositories of both hashes; what is changed elsewhere in the work tree, or is no sandbox, does not matter."""
    for hashes in ("sha1", "sha256"):
        root = tmp_path / hashes
        watched = committed(root, hashes)
        assert uncommitted(watched) is False
        (root / "z.yaml").write_text("image: other\n")
        (watched / "more" / "c.yaml").unlink()
        (watched / "README.md").write_text("other")
        (watched / ".hidden.yaml").touch()
        assert uncommitted(watched) is False
        (watched / "a.yaml").write_text("image: other\n")
        assert uncommitted(watched) is True
        commit(root)
        assert uncommitted(watched) is False


CHANGES: dict[str, Callable[[Path], object]] = {
    "other contents": lambda watched: (watched / "a.yaml").write_text("image: b\n"),
    "a file that git does not know": lambda watched: (watched / "new.yaml").touch(),
    "a file that git shall know": lambda watched: (
        (watched / "new.yaml").write_text("image: x\n"),
        git(watched, "add", "--intent-to-add", "new.yaml"),
    ),
    "a missing file": lambda watched: (watched / "a.yaml").unlink(),
    "another name": lambda watched: (watched / "a.yaml").rename(watched / "c.yaml"),
    "a name that no sandbox can have": lambda watched: (watched / "a.yaml").rename(watched / "A.yaml"),
    "a second file of one name": lambda watched: (watched / "a.yml").touch(),
    "no file any more": lambda watched: ((watched / "a.yaml").unlink(), (watched / "a.yaml").mkdir()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_and_its_end_too(watched: Path, change: str) -> None:
    """By the same directory from scan to scan, whether files or git change."""
    directory = Directory(watched)
    assert directory.scan().uncommitted is False
    CHANGES[change](watched)
    assert directory.scan().uncommitted is True
    if change != "no file any more":
        commit(watched)
        assert directory.scan().uncommitted is False


def test_the_work_tree_itself_can_be_the_directory(tmp_path: Path) -> None:
    """Then nothing stands before the names."""
    root = committed(tmp_path).parents[1]
    assert uncommitted(root) is False
    (root / "z.yaml").unlink()
    assert uncommitted(root) is True


def test_a_worktree_has_an_index_of_its_own(watched: Path, tmp_path: Path) -> None:
    """What is changed in one work tree of a repository is not changed in another."""
    other = tmp_path / "other"
    git(watched, "worktree", "add", "--quiet", str(other))
    (watched / "a.yaml").write_text("image: x\n")
    assert (uncommitted(watched), uncommitted(other / "deploy" / "sandboxes.d")) == (True, False)


def test_what_contents_cannot_tell_is_no_change(watched: Path) -> None:
    """Git tracks where a link leads to, and nothing of what a sparse checkout leaves out."""
    (watched / "l.yaml").symlink_to("a.yaml")
    (watched / "x.yaml").touch()
    commit(watched)
    git(watched, "update-index", "--skip-worktree", "x.yaml")
    (watched / "x.yaml").unlink()
    assert uncommitted(watched) is False


def test_a_conflict_is_a_change(watched: Path) -> None:
    """A merge that stopped has several versions of the file, and none of them is the one that is meant."""
    git(watched, "checkout", "--quiet", "-b", "other")
    (watched / "a.yaml").write_text("image: theirs\n")
    commit(watched)
    git(watched, "checkout", "--quiet", "-")
    (watched / "a.yaml").write_text("image: ours\n")
    commit(watched)
    git(watched, "merge", "--quiet", "other", code=1)
    desired = Directory(watched).scan()
    assert desired.uncommitted is True
    assert str(desired.waits).startswith("a git merge is under way since ")
    assert desired.problems_of("a")[0].message == "a merge conflict is not resolved"
    git(watched, "merge", "--abort")
    desired = Directory(watched).scan()
    assert (desired.uncommitted, desired.waits) == (False, None)


BEGINNINGS = {
    "merge": ["merge", "other"],
    "rebase": ["rebase", "other"],
    "rebase with patches": ["rebase", "--apply", "other"],
    "cherry-pick": ["cherry-pick", "other"],
    "revert": ["revert", "--no-edit", "HEAD~1"],
    "am": ["am", "0001-x.patch"],
    "bisect": ["bisect", "start"],
}


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_what_git_is_in_the_middle_of_is_known(watched: Path, tmp_path: Path, beginning: str) -> None:
    """Whatever a real git has begun and not ended."""
    git(watched, "checkout", "--quiet", "-b", "other")
    (watched / "a.yaml").write_text("image: theirs\n")
    commit(watched)
    git(watched, "format-patch", "--quiet", "-1", "--output-directory", str(tmp_path))
    git(watched, "checkout", "--quiet", "-")
    for image in ("ours", "ours-again"):
        (watched / "a.yaml").write_text(f"image: {image}\n")
        commit(watched)
    assert checkout_of(watched).under_way is None
    git(tmp_path, *BEGINNINGS[beginning], code=ANY)
    operation = beginning.split()[0]
    assert str(checkout_of(watched).under_way).startswith(f"a git {operation} is under way since ")
    git(tmp_path, operation, "reset" if operation == "bisect" else "--abort")
    assert checkout_of(watched).under_way is None


def other_version(watched: Path) -> None:
    git(watched, "update-index", "--index-version", "4")


def other_file(watched: Path) -> None:
    git(watched, "update-index", "--split-index")


def nothing(watched: Path) -> None:
    checkout_of(watched).index.unlink()


def half(watched: Path) -> None:
    index = checkout_of(watched).index
    index.write_bytes(index.read_bytes()[:-100])


def pipe(watched: Path) -> None:
    nothing(watched)
    os.mkfifo(checkout_of(watched).index)


@pytest.mark.parametrize("make", [other_version, other_file, nothing, half, pipe])
def test_what_cannot_be_read_is_unknown(watched: Path, make: Callable[[Path], None]) -> None:
    """Neither a change nor none."""
    make(watched)
    assert uncommitted(watched) is None


def test_an_index_that_is_too_large_is_unknown(watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take too long."""
    monkeypatch.setattr(git_index, "BYTES_MAX", checkout_of(watched).index.stat().st_size)
    assert uncommitted(watched) is None


def test_without_a_commit_there_are_no_changes(tmp_path: Path) -> None:
    """In a new repository, and outside of any."""
    (tmp_path / "a.yaml").touch()
    assert uncommitted(tmp_path) is False
    git(tmp_path, "init", "--quiet")
    assert uncommitted(tmp_path) is False


def test_an_unchanged_index_is_not_read_again(watched: Path) -> None:
    """A scan of what has not changed costs next to nothing."""
    index, checkout = Index(), checkout_of(watched)
    first = index.tracked(checkout)
    assert first is not None
    assert index.tracked(checkout) is first


def test_any_bytes_are_an_index_or_none(watched: Path) -> None:
    """Whoever can write the repository cannot end a scan, by any cut and any changed byte."""
    whole = checkout_of(watched).index.read_bytes()
    for position in range(len(whole)):
        for contents in (whole[:position], whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :]):
            assert isinstance(told(contents), Tracked | None)


def told(contents: bytes) -> Tracked | None:
    try:
        return parse(contents, "deploy/sandboxes.d/", 20)
    except git_index.MALFORMED:
        return None
