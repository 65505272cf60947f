"""Scans the watched directory: from files to what should exist."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from reconciler.model.desired import Declaration, Desired, likenesses
from reconciler.model.errors import DirectoryUnreadable, Problem
from reconciler.sources.compose import read_service
from reconciler.sources.compose_file import only_service
from reconciler.sources.document import FileBroken, read_document
from reconciler.sources.git_head import Checkout, checkout_of
from reconciler.sources.git_index import Index
from reconciler.sources.names import (
    NAME_LENGTH_MAX,
    by_folded_stem,
    display,
    is_sandbox_name,
    meant,
    sandbox_name,
    stem_of,
)
from reconciler.sources.root import Root
from reconciler.sources.validation import remaining, validated_service
from reconciler.spec.mistake import Mistake
from reconciler.spec.sandbox import DesiredState

NAMED_MAX = 3
"""How many other files a problem names."""

Outcome = Declaration | tuple[Problem, ...]
"""The result of reading one file."""


class _Read(NamedTuple):
    """The result of some contents; the hashes are those of git's blobs."""

    sha256: bytes
    sha1: bytes
    outcome: Outcome


class Directory:
    """The watched directory. A file is parsed again only when its contents have changed.

    `open_root` opens it for one scan.
    """

    def __init__(self, path: Path, open_root: Callable[[Path], Root] = Root) -> None:
        self._path, self._open_root = path, open_root
        self._seen: frozenset[str] = frozenset()
        self._read: dict[str, _Read] = {}
        self._index = Index()

    def scan(self) -> Desired:
        """Everything that the directory declares now; raises `DirectoryUnreadable` when that cannot be known.

        A file that cannot be read or parsed is broken; only one that does not exist is absent.
        """
        before = checkout_of(self._path)
        with self._open_root(self._path) as root:
            listed = root.names(self._seen)
            seen = frozenset(filter(meant, listed))
            groups = by_folded_stem(seen)
            conflicts = {
                stem: _conflict(files) for stem, files in groups.items() if len(files) > 1 and is_sandbox_name(stem)
            }
            names, invalid_names = _named(file for stem in groups.keys() - conflicts.keys() for file in groups[stem])
            outcomes = {name: self._outcome(root, name, file) for name, file in sorted(names.items())}
            notes = tuple(_notes(root, sorted(listed - seen)))
            checkout = checkout_of(self._path)
            root.check_still_there()
            identity = root.identity
        self._seen = seen
        self._read = {file: kept for file, kept in self._read.items() if file in seen}
        declared = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Declaration)}
        broken = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, tuple)}
        clashes = port_clashes(declared.values())
        return Desired(
            directory=identity,
            declared={name: declaration for name, declaration in declared.items() if name not in clashes},
            broken={**conflicts, **broken, **clashes},
            invalid_names={like: tuple(sorted(problems)) for like, problems in invalid_names.items()},
            notes=notes,
            waits=before.under_way or checkout.under_way,
            commit=checkout.commit,
            uncommitted=self._uncommitted(checkout, frozenset(names.values())),
        )

    def _outcome(self, root: Root, name: str, file: str) -> Outcome | None:
        """None for a file that is gone."""
        try:
            contents = root.read(file)
        except Mistake as mistake:
            self._read.pop(file, None)
            return (_problem(file, mistake),)
        if contents is None:
            return None
        blob = b"blob %d\0%b" % (len(contents), contents)
        digest = hashlib.sha256(blob).digest()
        kept = self._read.get(file)
        if kept is None or kept.sha256 != digest:
            sha1 = hashlib.sha1(blob, usedforsecurity=False).digest()
            kept = self._read[file] = _Read(digest, sha1, read_bytes(name, display(file), contents))
        return kept.outcome

    def _uncommitted(self, checkout: Checkout, files: frozenset[str]) -> bool | None:
        """Whether the sandboxes' files differ from what git tracks; None when that cannot be known.

        What is tracked is what the index says: it is the commit until somebody stages a change (`git add`), which only
        the repository's objects could tell. Filters, such as those of line ends, change contents too.
        """
        if not checkout.commit:
            return False
        tracked = self._index.tracked(checkout)
        if tracked is None:
            return None
        if self._seen - tracked.incomparable != tracked.blobs.keys():
            return True
        hashed, compared = "sha1" if len(checkout.commit) == 40 else "sha256", files - tracked.incomparable
        blobs = {file: getattr(self._read[file], hashed) for file in compared if file in self._read}
        return len(blobs) < len(compared) or not blobs.items() <= tracked.blobs.items()


def read_file(path: Path) -> Outcome:
    """Reads one file by the rules of a scan, also those for links and names."""
    try:
        return read_bytes(sandbox_name(path.name), display(str(path)), _contents(path))
    except Mistake as mistake:
        return (_problem(str(path), mistake),)


def rest_of(path: Path) -> Declaration | None:
    """A broken file without its wrong keys, to be checked against the policy, never to be run.

    None when it cannot be read.
    """
    try:
        name = sandbox_name(path.name)
        document, _ = only_service(read_document(_contents(path), display(str(path))), name)
    except (Mistake, FileBroken):
        return None
    document, _ = read_service(document)
    sandbox = remaining(document)
    said = {
        key: place for key, place in document.places.items() if re.split(r"[.\[]", key)[0] in sandbox.model_fields_set
    }
    return Declaration(name, document.file, sandbox, places=said)


def _contents(path: Path) -> bytes:
    """Raises `Mistake`."""
    try:
        with Root(path.parent) as root:
            contents = root.read(path.name)
    except DirectoryUnreadable as error:
        raise Mistake(str(error)) from error
    if contents is None:
        raise Mistake("does not exist")
    return contents


def port_clashes(declarations: Iterable[Declaration]) -> dict[str, tuple[Problem, ...]]:
    """By sandbox, the host ports that another sandbox publishes too; only one of them could run."""
    publishers: dict[int, list[tuple[Declaration, int]]] = defaultdict(list)
    for declaration in declarations:
        if declaration.sandbox.state is DesiredState.RUNNING:
            for index, port in enumerate(declaration.sandbox.ports):
                if port.published:
                    publishers[port.published].append((declaration, index))
    clashes: dict[str, tuple[Problem, ...]] = {}
    for number, found in publishers.items():
        files = [declaration.file for declaration, _ in found]
        for declaration, index in found if len(found) > 1 else ():
            what = f"port {number} of the host is also published by {_others(declaration.file, files)}"
            hint = "choose another one, or leave `published` out"
            problem = declaration.problem(f"ports[{index}].published", what, hint)
            clashes[declaration.name] = (*clashes.get(declaration.name, ()), problem)
    return clashes


def read_bytes(name: str, file: str, contents: bytes) -> Outcome:
    """What the contents of a sandbox's file declare."""
    try:
        document, of_file = only_service(read_document(contents, file), name)
        sandbox, document, notes = validated_service(document)
    except FileBroken as error:
        return error.problems
    return Declaration(name, file, sandbox, document.lines, document.places, of_file + notes)


def _named(files: Iterable[str]) -> tuple[dict[str, str], dict[str, list[Problem]]]:
    """Files by the sandbox that they declare, and files with an invalid name by the names that they resemble."""
    names: dict[str, str] = {}
    invalid_names: dict[str, list[Problem]] = defaultdict(list)
    for file in files:
        try:
            names[sandbox_name(file)] = file
        except Mistake as mistake:
            for like in likenesses(stem_of(file)[:NAME_LENGTH_MAX]):
                invalid_names[like].append(_problem(file, mistake))
    return names, invalid_names


def _conflict(files: list[str]) -> tuple[Problem, ...]:
    """All of them are broken, as it is unknown which one counts."""
    return tuple(
        _problem(file, Mistake(f"declares the same sandbox as {_others(file, files)}", "rename or delete all but one"))
        for file in files
    )


def _others(file: str, files: list[str]) -> str:
    """At most `NAMED_MAX` of them."""
    others = [display(other) for other in files if other != file]
    more = [f"{len(others) - NAMED_MAX} more"] if len(others) > NAMED_MAX else []
    return " and ".join([*others[:NAMED_MAX], *more])


def _notes(root: Root, names: Iterable[str]) -> Iterator[Problem]:
    """Directories, which are ignored, and the files in them that look like sandboxes; hidden ones are not noted."""
    for name in names:
        inner = None if name.startswith(".") else root.names_in(name)
        if inner is not None:
            files = sorted(filter(meant, inner))
            what = f", with {_others('', files)} in it" if files else ""
            yield _problem(name, Mistake(f"is a directory, which is ignored{what}", "move its files up to use them"))


def _problem(file: str, mistake: Mistake) -> Problem:
    return Problem(display(file), 0, 0, mistake.message, mistake.hint)
