"""Reads a whole Compose file: the services in it."""

from collections.abc import Mapping

from reconciler.model.errors import Problem
from reconciler.sources.document import Document, FileBroken
from reconciler.spec.mistake import SHOWN_MAX, shown
from reconciler.spec.text import printable

UNUSED = frozenset({"configs", "networks", "secrets", "volumes"})
"""What a file offers to its services; what they use of it is told there."""


def only_service(document: Document, name: str) -> tuple[Document, tuple[Problem, ...]]:
    """Of a whole file, its one service, which becomes the sandbox of that name, and notes; all else as it is.

    Raises `FileBroken` for what is no whole file, or has several services.
    """
    if not isinstance(document.value, dict) or "services" not in document.value:
        return document, ()
    found = services(document)
    if len(found) > 1:
        names = printable(", ".join(found), SHOWN_MAX)
        what, hint = f"{len(found)} services: {names}", "one file is one sandbox: `reconciler import FILE` splits it"
        raise FileBroken([_problem(document, "services", what, hint)])
    ((service, below),) = found.items()
    notes = [
        _problem(document, key, f"'{key}' is left out", "a sandbox has what its service says")
        for key in document.value.keys() & UNUSED
    ]
    if service != name:
        place = document.place_of_key(("services", service))
        what = f"the service {shown(service)} is the sandbox '{name}' here"
        notes.append(Problem(document.file, *place, what, "a sandbox has the name of its file"))
    return below, tuple(sorted(notes))


def services(document: Document) -> Mapping[str, Document]:
    """The services of a whole file, by name, each with its places in it; raises `FileBroken`."""
    said = document.value.get("services") if isinstance(document.value, dict) else None
    if not isinstance(said, dict) or not said:
        place = document.place_of_key(("services",))
        raise FileBroken(
            [
                Problem(
                    document.file, *place, "no service is declared", "write such as `services: {web: {image: busybox}}`"
                )
            ]
        )
    strange = [
        _problem(
            document, key, f"unknown key {shown(key)} beside `services`", "leave it out, or put it into the service"
        )
        for key in document.value.keys() - {"name", "services", "version"} - UNUSED
        if not key.startswith("x-")
    ]
    if strange:
        raise FileBroken(strange)
    return {name: document.below(("services", name)) for name in said}


def _problem(document: Document, key: str, message: str, hint: str) -> Problem:
    return Problem(document.file, *document.place_of_key((key,)), message, hint)
