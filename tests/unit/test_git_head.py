"""The commit that a directory is at is read from files: of any repository, by nobody's configuration."""

import os
from pathlib import Path

import pytest

from reconciler.sources.directory import Directory
from reconciler.sources.git_head import checkout_of

FIRST, SECOND = "1" * 40, "2" * 40
SHA256 = "a1" * 32


def files(root: Path, **texts: str) -> Path:
    """Makes files; `__` in a name stands for `/`."""
    for name, text in texts.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def sandboxes(root: Path) -> Path:
    """A directory deep in the work tree."""
    directory = root / "deploy" / "sandboxes.d"
    directory.mkdir(parents=True)
    return directory


@pytest.mark.parametrize("commit", [FIRST, SHA256])
def test_a_detached_head_is_the_commit(tmp_path: Path, commit: str) -> None:
    """Whatever hash the repository uses; the directory may be deep in it."""
    files(tmp_path / ".git", HEAD=f"{commit}\n")
    assert checkout_of(sandboxes(tmp_path)).commit == commit


def test_a_branch_is_followed(tmp_path: Path) -> None:
    """Also through another symbolic ref."""
    files(tmp_path / ".git", HEAD="ref: refs/heads/main\n", refs__heads__main=f"{FIRST}\n")
    assert checkout_of(tmp_path).commit == FIRST
    files(tmp_path / ".git", refs__heads__main="ref: refs/heads/other/one\n", refs__heads__other__one=f"{SECOND}\n")
    assert checkout_of(tmp_path).commit == SECOND


PACKED = f"""# pack-refs with: peeled fully-peeled sorted
{SECOND} refs/heads/domain
{SECOND} refs/heads/main/old
{FIRST} refs/heads/main
{SECOND} refs/tags/v1
^{SECOND}
"""


def test_a_packed_branch_is_found_by_its_whole_name(tmp_path: Path) -> None:
    """A loose ref is newer, and goes first; what it leaves behind when it is packed may be an empty directory."""
    files(tmp_path / ".git", HEAD="ref: refs/heads/main\n", **{"packed-refs": PACKED})
    assert checkout_of(tmp_path).commit == FIRST
    (tmp_path / ".git" / "refs" / "heads" / "main").mkdir(parents=True)
    assert checkout_of(tmp_path).commit == FIRST
    (tmp_path / ".git" / "refs" / "heads" / "main").rmdir()
    files(tmp_path / ".git", refs__heads__main=SECOND)
    assert checkout_of(tmp_path).commit == SECOND


@pytest.mark.parametrize("packed", [False, True])
def test_a_worktree_has_its_own_head_and_the_refs_of_all(tmp_path: Path, packed: bool) -> None:
    """As git-sync makes them, and publishes them through a link."""
    common = files(tmp_path / "repo" / ".git", HEAD=f"{FIRST}\n")
    files(common, **{"packed-refs": f"{SECOND} refs/heads/side\n"} if packed else {"refs__heads__side": SECOND})
    own = files(common / "worktrees" / "tree", HEAD="ref: refs/heads/side\n", commondir="../..\n")
    files(tmp_path / "tree", **{".git": f"gitdir: {own}\n"})
    (tmp_path / "current").symlink_to("tree")
    assert checkout_of(tmp_path / "current").commit == SECOND


def test_a_submodule_is_at_its_own_commit(tmp_path: Path) -> None:
    """Its `.git` names a directory relative to itself."""
    files(tmp_path / ".git", HEAD=SECOND)
    files(tmp_path / ".git" / "modules" / "sandboxes", HEAD=FIRST)
    module = files(tmp_path / "sandboxes", **{".git": "gitdir: ../.git/modules/sandboxes\n"})
    assert checkout_of(module).commit == FIRST


@pytest.mark.parametrize(
    "texts",
    [
        {"HEAD": ""},
        {"HEAD": "1" * 39},
        {"HEAD": "1" * 41},
        {"HEAD": FIRST + FIRST},
        {"HEAD": "\0" * 10_000},
        {"HEAD": FIRST + " " * 10_000 + "x"},
        {"HEAD": "ref: refs/heads/.invalid\n", "reftable__tables.list": "0x0-0x1.ref"},
        {"HEAD": "ref: refs/heads/main"},
        {"HEAD": "ref: refs/heads/main", "refs__heads__main": "garbage"},
        {"HEAD": "ref: refs/heads/main", "refs__heads__main": "ref: refs/heads/main"},
        {"HEAD": "ref: refs/heads/main", "packed-refs": f"{FIRST[:20]} refs/heads/main"},
        {"HEAD": "ref: refs/../secret", "secret": FIRST},
        {"HEAD": "ref: secret", "secret": FIRST},
        {"HEAD": "ref: /etc/hostname"},
        {"HEAD": "ref: refs/\0"},
        {"HEAD": "ref: refs/" + "a" * 2000},
        {"description": "without a HEAD"},
    ],
)
def test_what_is_not_known_is_nothing(tmp_path: Path, texts: dict[str, str]) -> None:
    """Garbage, another format and refs that lead elsewhere are no commit, and no error."""
    files(tmp_path / ".git", **texts)
    assert checkout_of(tmp_path).commit == ""


@pytest.mark.parametrize("said", ["", "garbage", "gitdir: /nowhere", "gitdir: \0", "elsewhere: repo", "\xff" * 5000])
def test_a_file_that_leads_nowhere_is_nothing(tmp_path: Path, said: str) -> None:
    """Only `gitdir:` leads to a repository."""
    files(tmp_path, **{".git": said, "repo__HEAD": FIRST})
    assert checkout_of(tmp_path).commit == ""


def test_nothing_is_waited_for(tmp_path: Path) -> None:
    """A pipe in the place of a file, a loop of links and a directory that is gone have no commit either."""
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "HEAD")
    assert checkout_of(tmp_path).commit == ""
    (tmp_path / "loop").symlink_to("loop")
    assert checkout_of(tmp_path / "loop").commit == ""
    assert checkout_of(tmp_path / "gone").commit == ""


@pytest.mark.parametrize(
    ("marker", "operation"),
    [
        ("rebase-merge/onto", "rebase"),
        ("rebase-apply/onto", "rebase"),
        ("rebase-apply/applying", "am"),
        ("MERGE_HEAD", "merge"),
        ("CHERRY_PICK_HEAD", "cherry-pick"),
        ("REVERT_HEAD", "revert"),
        ("BISECT_START", "bisect"),
    ],
)
def test_what_is_under_way_is_known_while_it_is(tmp_path: Path, marker: str, operation: str) -> None:
    """By the file that git keeps meanwhile, and its time, whatever else changes."""
    git = files(tmp_path / ".git", HEAD=FIRST)
    assert Directory(sandboxes(tmp_path)).scan().waits is None
    (git / marker).parent.mkdir(exist_ok=True)
    (git / marker).touch()
    first = git / marker.partition("/")[0]
    os.utime(git / marker, (1_700_000_000, 1_700_000_000))
    assert Directory(tmp_path).scan().waits == f"a git {operation} is under way since 2023-11-14 22:13:20 UTC"
    (git / marker).unlink()
    if first.is_dir():
        assert Directory(tmp_path).scan().waits == "a git rebase is under way"
        first.rmdir()
    assert Directory(tmp_path).scan().waits is None


def test_what_is_under_way_in_one_worktree_is_not_in_another(tmp_path: Path) -> None:
    """Each has files of its own, and a submodule has too."""
    common = files(tmp_path / "repo" / ".git", HEAD=FIRST, MERGE_HEAD=SECOND)
    own = files(common / "worktrees" / "tree", HEAD=FIRST, commondir="../..\n")
    files(tmp_path / "tree", **{".git": f"gitdir: {own}\n"})
    assert checkout_of(tmp_path / "repo").under_way
    assert checkout_of(tmp_path / "tree").under_way is None
    files(own, BISECT_START="")
    assert "bisect" in str(checkout_of(tmp_path / "tree").under_way)


def test_a_time_beyond_all_is_left_out(tmp_path: Path) -> None:
    """What is under way is told without it."""
    git = files(tmp_path / ".git", HEAD=FIRST, MERGE_HEAD=SECOND)
    os.utime(git / "MERGE_HEAD", (2**38, 2**38))
    assert checkout_of(tmp_path).under_way in {
        "a git merge is under way",
        "a git merge is under way since 2446-05-10 22:38:55 UTC",
    }


def test_a_scan_tells_the_commit(tmp_path: Path) -> None:
    """Also one that changed while no file did."""
    directory = Directory(sandboxes(tmp_path))
    assert directory.scan().commit == ""
    files(tmp_path / ".git", HEAD=FIRST)
    assert directory.scan().commit == FIRST
    files(tmp_path / ".git", HEAD=SECOND)
    assert directory.scan().commit == SECOND
