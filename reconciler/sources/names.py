"""File names: which declare a sandbox, and which one."""

import re
from collections import defaultdict
from collections.abc import Iterable

from reconciler.model.labels import SANDBOX_NAME
from reconciler.spec.mistake import Mistake
from reconciler.spec.text import printable

SUFFIXES = ("yaml", "yml")
NAME_LENGTH_MAX = 41


def display(file: str) -> str:
    """A file's name, made printable, also when it is not UTF-8: `\\xff.yaml`."""
    return printable(file.encode(errors="surrogateescape").decode(errors="backslashreplace"))


def meant(file: str) -> bool:
    """Whether the file declares a sandbox; hidden, temporary and other files do not.

    A suffix in capitals counts, and is refused later: on some file systems it is the same file.
    """
    stem, dot, suffix = file.rpartition(".")
    return bool(stem and dot) and not file.startswith(".") and suffix.casefold() in SUFFIXES


def stem_of(file: str) -> str:
    """The file's name without its suffix."""
    return file.rpartition(".")[0]


def by_folded_stem(files: Iterable[str]) -> dict[str, list[str]]:
    """Groups files whose names differ only in case or suffix."""
    groups: dict[str, list[str]] = defaultdict(list)
    for file in sorted(files):
        groups[stem_of(file).casefold()].append(file)
    return dict(groups)


def is_sandbox_name(stem: str) -> bool:
    """Whether a sandbox can have this name."""
    return re.fullmatch(SANDBOX_NAME, stem) is not None


def sandbox_name(file: str) -> str:
    """The sandbox that the file declares; raises `Mistake` for an invalid name."""
    stem, _, suffix = file.rpartition(".")
    if is_sandbox_name(stem) and suffix in SUFFIXES:
        return stem
    better = re.sub(r"[^a-z0-9]+", "-", stem.casefold()).strip("-")[:NAME_LENGTH_MAX]
    hint = f"rename it to {better}.yaml" if is_sandbox_name(better) else "name it such as my-sandbox.yaml"
    raise Mistake("is not NAME.yaml with a name of small letters, digits and '-', a letter first, at most 41", hint)
