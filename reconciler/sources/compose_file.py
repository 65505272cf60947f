"""Reads a whole Compose file: the services in it."""

from collections.abc import Mapping

from reconciler.model.errors import Problem
from reconciler.sources.document import Document, FileBroken
from reconciler.spec.mistake import SHOWN_MAX, shown
from reconciler.spec.text import printable

_OFFERED = frozenset({"configs", "networks", "secrets", "volumes"})
"""What a file has for its services; what they use of it is told there."""


def only_service(document: Document, name: str) -> tuple[Document, tuple[Problem, ...]]:
    """Of a whole file, its one service, which becomes the sandbox of that name, and notes; all else as it is.

    Raises `FileBroken` for what is no whole file, or has several services.
    """
    if not isinstance(document.value, dict) or "services" not in document.value:
        return document, ()
    found = services(document)
    (service, below), *others = found.items()
    if others:
        what = f"{len(found)} services: {printable(', '.join(found), SHOWN_MAX)}"
        hint = "one file is one sandbox: `reconciler import FILE` splits it"
        raise FileBroken([_problem(document, what, hint, "services")])
    hint = "a sandbox has what its service says"
    notes = [_problem(document, f"'{key}' is left out", hint, key) for key in document.value if key in _OFFERED]
    if service != name:
        what = f"the service {shown(service)} is the sandbox '{name}' here"
        notes.append(_problem(document, what, "a sandbox has the name of its file", "services", service))
    return below, tuple(sorted(notes))


def services(document: Document) -> Mapping[str, Document]:
    """The services of a whole file, by name, each with its places in it; raises `FileBroken`."""
    top = document.value if isinstance(document.value, dict) else {}
    if not isinstance(top.get("services"), dict) or not top["services"]:
        hint = "write such as `services: {web: {image: busybox}}`"
        raise FileBroken([_problem(document, "no service is declared", hint, "services")])
    strange = [key for key in top.keys() - {"name", "services", "version"} - _OFFERED if not key.startswith("x-")]
    if strange:
        hint = "leave it out, or put it into the service"
        raise FileBroken(
            _problem(document, f"unknown key {shown(key)} beside `services`", hint, key) for key in strange
        )
    return {name: document.below(("services", name)) for name in top["services"]}


def _problem(document: Document, message: str, hint: str, *key: str) -> Problem:
    return document.place_of_key(key).problem(document.file, message, hint)
