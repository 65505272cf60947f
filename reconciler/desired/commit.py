"""Which git commit a directory is at, read from the repository's files.

git itself is not run: the configuration of a repository that nobody trusts can make it run commands, and it refuses
the directories of other users.
"""

import os
import re
from pathlib import Path

from reconciler.desired.root import open_anywhere, read_regular
from reconciler.model.mistake import Mistake

HASH = r"[0-9a-f]{40}|[0-9a-f]{64}"
REF = r"refs(/(?!\.)[^/\s]+)+"
"""A name that stays beneath its repository."""

REF_DEPTH_MAX = 5
"""So often may a ref lead to another one, as for git itself."""

SMALL_BYTES_MAX = 4 * 1024
PACKED_BYTES_MAX = 16 * 1024 * 1024


def commit_of(directory: Path) -> str:
    """The full hash of the commit that is checked out in the directory or above it. Never raises.

    Empty when there is none, and when the repository keeps it in a form that is not known here.
    """
    try:
        own = _repository(directory.resolve(strict=True))
        return _commit(own) if own else ""
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL in a path
        return ""


def _repository(directory: Path) -> Path | None:
    """What git keeps of the work tree; in worktrees and submodules `.git` is a file that says where that is."""
    for place in (directory, *directory.parents):
        git = place / ".git"
        if git.is_dir():
            return git
        if git.exists():
            kind, _, path = _text(git).partition(":")
            return place / path.strip() if kind == "gitdir" else None
    return None


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
    """Empty for what is no file that can be read, or is too long."""
    try:
        contents = read_regular(open_anywhere(path), bytes_max)
    except (OSError, Mistake):
        return ""
    return os.fsdecode(contents) if len(contents) < bytes_max else ""
