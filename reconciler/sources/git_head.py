"""Reads a work tree's commit, and whether a merge or rebase is under way, from the repository's files.

git itself is not run: the configuration of an untrusted repository can make it run commands, and it refuses the
directories of other users.
"""

import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reconciler.sources.root import open_anywhere, read_regular
from reconciler.spec.mistake import Mistake

HASH = r"[0-9a-f]{40}|[0-9a-f]{64}"
REF = r"refs(/(?!\.)[^/\s]+)+"
"""A name that cannot lead out of its repository."""

REF_DEPTH_MAX = 5
"""How often a ref may lead to another one; git has the same limit."""

SMALL_BYTES_MAX = 4 * 1024
PACKED_BYTES_MAX = 16 * 1024 * 1024

OPERATIONS = {
    "rebase-merge/onto": "rebase",
    "rebase-apply/onto": "rebase",
    "rebase-apply/applying": "am",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_START": "bisect",
}
"""The operation that is under way while git keeps such a file or directory."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A directory in a work tree.

    `commit` is the full hash of the commit that is checked out, empty when there is none or its form is not supported.
    `under_way` names the git operation under way, None when there is none. `index` is the file that lists what git
    tracks, and `inner` the path of the directory in it: `deploy/sandboxes.d/`.
    """

    commit: str = ""
    under_way: str | None = None
    index: Path = Path()
    inner: str = ""


def checkout_of(directory: Path) -> Checkout:
    """The work tree of the directory. Never raises; where there is none, no field says anything."""
    try:
        return _checkout(directory.resolve(strict=True))
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL in a path
        return Checkout()


def _checkout(directory: Path) -> Checkout:
    for place in (directory, *directory.parents):
        if own := _repository(place):
            inner = directory.relative_to(place).as_posix()
            return Checkout(_commit(own), _under_way(own), own / "index", "" if inner == "." else f"{inner}/")
    return Checkout()


def _repository(place: Path) -> Path | None:
    """The repository; in worktrees and submodules `.git` is a file that holds its path."""
    git = place / ".git"
    if git.is_dir():
        return git
    if not git.exists():
        return None
    kind, _, path = _text(git).partition(":")
    if kind != "gitdir":
        raise ValueError(f"{git} leads to no repository")
    return place / path.strip()


def _under_way(own: Path) -> str | None:
    for name, operation in OPERATIONS.items():
        try:
            found = (own / name).stat()
        except OSError:
            continue
        return f"a git {operation} is under way{_since(found.st_mtime) if stat.S_ISREG(found.st_mode) else ''}"
    return None


def _since(seconds: float) -> str:
    try:
        return f" since {datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError):
        return ""


def _commit(own: Path) -> str:
    common = own / _text(own / "commondir").strip()
    said = _text(own / "HEAD").strip()
    for _ in range(REF_DEPTH_MAX):
        if not (link := re.fullmatch(rf"ref:\s*({REF})", said)):
            break
        ref = link[1]
        said = (_text(own / ref) or _text(common / ref)).strip() or _packed(common, ref)
    return said if re.fullmatch(HASH, said) else ""


def _packed(common: Path, ref: str) -> str:
    lines = _text(common / "packed-refs", PACKED_BYTES_MAX).split("\n")
    return next((line.partition(" ")[0] for line in lines if line.endswith(f" {ref}")), "")


def _text(path: Path, bytes_max: int = SMALL_BYTES_MAX) -> str:
    """Empty for what is not a readable file, or is too long."""
    try:
        contents = read_regular(open_anywhere(path), bytes_max)
    except (OSError, Mistake):
        return ""
    return os.fsdecode(contents) if len(contents) < bytes_max else ""
