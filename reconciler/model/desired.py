"""What should exist: all files of one scan."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.errors import Problem
from reconciler.model.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Declaration:
    """One accepted file. `lines` gives the line of each key that was said: `{"cpus": 4, "labels.tier": 6}`; `places`
    the line and column of each value: `{"cpus": (4, 7), "volumes[1].source": (9, 13)}`.
    """

    name: str
    file: str
    sandbox: Sandbox
    lines: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def place(self, name: str) -> tuple[int, int]:
        """Of a value, or of the nearest one around it that the file has; `(0, 0)` when it has none."""
        while name and name not in self.places:
            name = name[: max(name.rfind("."), name.rfind("["), 0)]
        return self.places.get(name, (0, 0))


@dataclass(frozen=True, slots=True)
class Desired:
    """One whole scan. Every file is in exactly one of `declared`, `broken` and `strays`.

    `strays` are files that no sandbox can come from, because their name is no sandbox's name.
    `directory` is `(st_dev, st_ino)` of the directory that was read. `sound` is false for a scan kept from
    earlier because the directory cannot be read now: it says what should run, but removes nothing. `commit` is the
    git commit that was checked out there, empty when none was.
    """

    directory: tuple[int, int]
    declared: Mapping[str, Declaration] = field(default_factory=dict)
    broken: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    strays: tuple[Problem, ...] = ()
    sound: bool = True
    commit: str = ""

    def file_of(self, name: str) -> str:
        """The file that declares the sandbox, also when it is broken; empty when there is none."""
        if name in self.declared:
            return self.declared[name].file
        return self.broken[name][0].file if name in self.broken else ""

    @property
    def names(self) -> frozenset[str]:
        """All sandboxes that have a file, be it broken."""
        return frozenset(self.declared) | frozenset(self.broken)

    @property
    def empty(self) -> bool:
        return not (self.declared or self.broken or self.strays)
