"""Validates a document: a sandbox or a policy comes of it, or all its mistakes."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reconciler.model.errors import Problem
from reconciler.sources.compose import read_service
from reconciler.sources.compose_keys import Handling
from reconciler.sources.document import Document, FileBroken, KeyPath, full_name
from reconciler.spec.mistake import SHOWN_MAX, Mistake, shown
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from reconciler.spec.text import printable

Model = TypeVar("Model", bound=BaseModel)

_WORDS = {
    "Field required": "is missing",
    "Input should be a valid string": "must be text",
    "Input should be a valid boolean": "must be true or false",
    "Input should be a valid integer": "must be a whole number",
    "Input should be a valid number": "must be a number",
    "Input should be a valid dictionary": "must be a mapping",
    "Input should be a valid mapping": "must be a mapping",
}
"""Pydantic's messages in words for people who write YAML; others are kept."""


def validated(
    document: Document, model: type[Model], refused: Mapping[KeyPath, Problem] = MappingProxyType({})
) -> Model:
    """The document as a model; raises `FileBroken` with all mistakes, also those that are known of `refused` values.

    Only where a mistake is and of what kind is taken from pydantic, never what was read: it may be a secret.
    """
    if not isinstance(document.value, dict):
        place = document.place(())
        raise FileBroken([place.problem(document.file, "keys and values are missing", "write such as `key: value`")])
    try:
        read = model.model_validate(document.value)
    except ValidationError:
        found = [problem for path, problem in mistakes(document, model) if not _concerns(path, refused)]
        raise FileBroken([*refused.values(), *found]) from None
    if refused:
        raise FileBroken(refused.values())
    return read


def mistakes(document: Document, model: type[BaseModel]) -> list[tuple[KeyPath, Problem]]:
    """All mistakes that the model finds, and where."""
    try:
        model.model_validate(document.value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        return [(_path(detail), _problem(document, model, detail)) for detail in details]
    return []


def validated_service(document: Document) -> tuple[Sandbox, Document, tuple[Problem, ...]]:
    """A Compose service as a sandbox, its document as a sandbox's, and notes on what means less here.

    Raises `FileBroken` with all mistakes.
    """
    translated, refused, notes = _in_own_words(document)
    return validated(translated, Sandbox, refused), translated, notes


def validated_policy(document: Document) -> tuple[Policy, Document, tuple[Problem, ...]]:
    """A policy, whose defaults may be those of a Compose service; else as `validated_service`."""
    refused: dict[KeyPath, Problem] = {}
    notes: tuple[Problem, ...] = ()
    if isinstance(document.value, dict) and "defaults" in document.value:
        translated, found, notes = _in_own_words(document.below(("defaults",)))
        document = document.exchanged("defaults", translated)
        refused = {("defaults", *path): problem for path, problem in found.items()}
    return validated(document, Policy, refused), document, notes


def _in_own_words(service: Document) -> tuple[Document, dict[KeyPath, Problem], tuple[Problem, ...]]:
    """The service in a sandbox's words, what of it is refused, and notes on what means less here."""
    translated, readings = read_service(service)
    refused = {one.path: one.problem(service) for one in readings if one.spelling.handling is Handling.REFUSE}
    notes = (one.problem(service) for one in readings if one.path not in refused and one.spelling.message)
    return translated, refused, tuple(notes)


def remaining(document: Document) -> Sandbox:
    """The document as a sandbox, without the top-level keys that are wrong."""
    said = document.value if isinstance(document.value, dict) else {}
    while True:
        try:
            return Sandbox.model_validate(said)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            wrong = {key for detail in details for key in _path(detail)[:1]} & said.keys()
            said = {key: said[key] for key in said.keys() - wrong} if wrong else {}


def _concerns(path: KeyPath, refused: Iterable[KeyPath]) -> bool:
    """Whether a mistake lies in, at or around a value that is refused anyway."""
    return any(one[: len(path)] == path or path[: len(one)] == one for one in refused)


def _path(detail: ErrorDetails) -> KeyPath:
    mistake = detail.get("ctx", {}).get("error")
    return detail["loc"] + (mistake.at if isinstance(mistake, Mistake) else ())


def _problem(document: Document, model: type[BaseModel], detail: ErrorDetails) -> Problem:
    path: KeyPath = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return document.place_of_key(path).problem(document.file, *_unknown_key(model, path))
    place = document.place(path)
    if path[-1:] == ("[key]",) and path not in document.values:  # so pydantic says that it means the key itself
        path = path[:-1]
        place = document.place_of_key(path)
    mistake = detail.get("ctx", {}).get("error")
    if isinstance(mistake, Mistake):
        path += mistake.at
        place = document.place(path) if mistake.at else place
        return place.problem(document.file, _named(path, mistake.message), mistake.hint)
    return place.problem(document.file, _named(path, _in_words(detail["msg"])))


def _named(path: KeyPath, message: str) -> str:
    return f"{printable(full_name(path))}: {message}" if path else message


def _in_words(message: str) -> str:
    for theirs, ours in _WORDS.items():
        if message.startswith(theirs):
            return ours
    return message.replace("Input should be", "must be")


def _unknown_key(model: type[BaseModel], path: KeyPath) -> tuple[str, str]:
    """Message and hint."""
    key = str(path[-1])
    owner = _model_at(model, path[:-1])
    where = f" in {printable(full_name(path[:-1]))}" if path[:-1] else ""
    near = get_close_matches(key[:SHOWN_MAX].casefold(), owner.model_fields, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(owner.model_fields)}"
    return f"unknown key {shown(key)}{where}", hint


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    for key in path:
        if isinstance(key, str):
            model = _model_in(model.model_fields[key].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `tuple[Port, ...]` or `Healthcheck | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
