"""What should exist: all files of one scan."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.errors import Problem
from reconciler.spec.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Declaration:
    """One accepted file. `lines` gives the line of each key that was said: `{"cpus": 4, "labels.tier": 6}`; `places`
    the line and column of each value, and which line uses it if that is behind an anchor: `{"cpus": (4, 7, ""),
    "volumes[1].source": (9, 13, "")}`. `notes` tell what is accepted and means less here than in Compose.
    """

    name: str
    file: str
    sandbox: Sandbox
    lines: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, tuple[int, int, str]] = field(default_factory=dict)
    notes: tuple[Problem, ...] = ()

    def problem(self, name: str, message: str, hint: str, rule: str = "") -> Problem:
        """What is wrong with a value, at its place, or at that of the nearest one around it that the file has."""
        while name and name not in self.places:
            name = name[: max(name.rfind("."), name.rfind("["), 0)]
        line, column, use = self.places.get(name, (0, 0, ""))
        return Problem(self.file, line, column, "; ".join(filter(None, (message, use))), hint, rule)


def likeness(stem: str) -> str:
    """The same for all names of files that may be meant as one sandbox's: `my-app`, `My_App`, `my app`."""
    return "".join(re.findall("[a-z0-9]", stem.casefold()))


def likenesses(stem: str) -> frozenset[str]:
    """Of the whole name, and of what stands before the first dot, blank or bracket: `my-app.bak`, `my-app (1)`."""
    return frozenset({likeness(stem), likeness(re.split(r"[.\s(]", stem, maxsplit=1)[0]) or likeness(stem)})


@dataclass(frozen=True, slots=True)
class Desired:
    """One whole scan. Every file is in exactly one of `declared`, `broken` and `invalid_names`.

    `invalid_names` are files that declare nothing, because their name is no sandbox's name; by each of its
    likenesses. `notes` are what is passed over, and is no mistake. `directory` is `(st_dev, st_ino)` of the directory
    that was read. `complete` is false for a scan kept from earlier because the directory cannot be read now: it says
    what should run, but removes nothing. `waits` says why the files must not be acted on yet, None when they may.
    `commit` is the git commit that was checked out there, empty when none was; `uncommitted` whether the files are
    others than that commit's, as far as that can be told, None when it cannot. `last_good` is what files that cannot be
    used now said last, as far as that is known.
    """

    directory: tuple[int, int]
    declared: Mapping[str, Declaration] = field(default_factory=dict)
    broken: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    invalid_names: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    notes: tuple[Problem, ...] = ()
    last_good: Mapping[str, Declaration] = field(default_factory=dict)
    complete: bool = True
    waits: str | None = None
    commit: str = ""
    uncommitted: bool | None = False

    def file_of(self, name: str) -> str:
        """The file that declares the sandbox, also when it cannot be used; empty when there is none."""
        if name in self.declared:
            return self.declared[name].file
        return next((problem.file for problem in self.problems_of(name)), "")

    def problems_of(self, name: str) -> tuple[Problem, ...]:
        """Why the sandbox's file cannot be used; where it has none, why one cannot whose name is like its name."""
        if name in self.declared:
            return ()
        return self.broken.get(name) or self.invalid_names.get(likeness(name), ())

    @property
    def names(self) -> frozenset[str]:
        """All sandboxes that have a file, be it broken."""
        return frozenset(self.declared) | frozenset(self.broken)

    @property
    def meant(self) -> frozenset[str]:
        """All sandboxes that have a file, and the likenesses of all invalid names."""
        return self.names | frozenset(self.invalid_names)

    @property
    def ignored(self) -> list[Problem]:
        """The problems of all files with an invalid name, one each."""
        return sorted({problem for invalid_names in self.invalid_names.values() for problem in invalid_names})

    @property
    def empty(self) -> bool:
        """Whether there is no file that could declare anything."""
        return not (self.declared or self.broken or self.invalid_names)
