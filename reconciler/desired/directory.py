"""The watched directory: files to what should exist."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from reconciler.desired.commit import commit_of
from reconciler.desired.document import FileBroken, read_document
from reconciler.desired.names import (
    NAME_LENGTH_MAX,
    by_folded_stem,
    display,
    is_sandbox_name,
    meant,
    sandbox_name,
    stem_of,
)
from reconciler.desired.root import Root
from reconciler.desired.validation import validated
from reconciler.model.desired import Declaration, Desired, likeness
from reconciler.model.errors import DirectoryUnreadable, Problem
from reconciler.model.mistake import Mistake
from reconciler.model.sandbox import Sandbox

Outcome = Declaration | tuple[Problem, ...]
"""What came of one file."""


class Directory:
    """The watched directory. What came of a file is remembered, and its contents not parsed again while they last.

    `open_root` opens it for one scan.
    """

    def __init__(self, path: Path, open_root: Callable[[Path], Root] = Root) -> None:
        self._path, self._open_root = path, open_root
        self._seen: frozenset[str] = frozenset()
        self._outcomes: dict[str, tuple[bytes, Outcome]] = {}

    def scan(self) -> Desired:
        """All that the directory declares now; raises `DirectoryUnreadable` when that cannot be known.

        A file that cannot be read or understood is broken; only one that is really gone is absent.
        """
        with self._open_root(self._path) as root:
            seen = frozenset(filter(meant, root.names(self._seen)))
            groups = by_folded_stem(seen)
            conflicts = {
                stem: _conflict(files) for stem, files in groups.items() if len(files) > 1 and is_sandbox_name(stem)
            }
            names, strays = _named(file for stem in groups.keys() - conflicts.keys() for file in groups[stem])
            outcomes = {name: self._outcome(root, name, file) for name, file in sorted(names.items())}
            commit = commit_of(self._path)
            root.check_still_there()
            identity = root.identity
        self._seen = seen
        self._outcomes = {file: kept for file, kept in self._outcomes.items() if file in seen}
        return Desired(
            directory=identity,
            declared={name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Declaration)},
            broken={**conflicts, **{name: outcome for name, outcome in outcomes.items() if isinstance(outcome, tuple)}},
            strays={like: tuple(sorted(problems)) for like, problems in strays.items()},
            commit=commit,
        )

    def _outcome(self, root: Root, name: str, file: str) -> Outcome | None:
        """None for a file that is gone."""
        try:
            contents = root.read(file)
        except Mistake as mistake:
            return (_problem(file, mistake),)
        if contents is None:
            return None
        digest = hashlib.sha256(contents).digest()
        kept = self._outcomes.get(file)
        if kept is None or kept[0] != digest:
            kept = digest, _declared(name, display(file), contents)
            self._outcomes[file] = kept
        return kept[1]


def read_file(path: Path) -> Outcome:
    """What comes of one file that somebody names, by the rules of a scan: also those for links and names."""
    try:
        name = sandbox_name(path.name)
        with Root(path.parent) as root:
            contents = root.read(path.name)
    except Mistake as mistake:
        return (_problem(str(path), mistake),)
    except DirectoryUnreadable as error:
        return (_problem(str(path), Mistake(str(error))),)
    if contents is None:
        return (_problem(str(path), Mistake("does not exist")),)
    return _declared(name, display(str(path)), contents)


def _declared(name: str, file: str, contents: bytes) -> Outcome:
    try:
        document = read_document(contents, file)
        sandbox = validated(document, Sandbox)
    except FileBroken as error:
        return error.problems
    return Declaration(name, file, sandbox, document.lines, document.places)


def _named(files: Iterable[str]) -> tuple[dict[str, str], dict[str, list[Problem]]]:
    """Files by the sandbox that they declare, and those that no sandbox can come from by what their names are like."""
    names: dict[str, str] = {}
    strays: dict[str, list[Problem]] = defaultdict(list)
    for file in files:
        try:
            names[sandbox_name(file)] = file
        except Mistake as mistake:
            strays[likeness(stem_of(file)[:NAME_LENGTH_MAX])].append(_problem(file, mistake))
    return names, strays


def _conflict(files: list[str]) -> tuple[Problem, ...]:
    """All of them are broken: nobody knows which one is meant."""
    return tuple(
        _problem(file, Mistake(f"declares the same sandbox as {_others(file, files)}", "rename or delete all but one"))
        for file in files
    )


def _others(file: str, files: list[str]) -> str:
    return " and ".join(display(other) for other in files if other != file)


def _problem(file: str, mistake: Mistake) -> Problem:
    return Problem(display(file), 0, 0, mistake.message, mistake.hint)
