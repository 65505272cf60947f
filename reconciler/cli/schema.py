"""`reconciler schema`."""

import json
import re
from collections.abc import Iterator
from typing import Any

import click
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from reconciler.cli.format.terminal import show_json
from reconciler.sources.compose_keys import ANY, KEYS, Handling, Spelling
from reconciler.spec.fields import whole
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox

COMPOSE = "A key of Compose, accepted where it changes nothing, or with a note."
MODELS: dict[str, type[BaseModel]] = {"sandbox": Sandbox, "policy": Policy}


@click.command(short_help="Print the JSON Schema of a file, for editors.")
@click.argument("kind", type=click.Choice(list(MODELS)), default="sandbox", metavar="[sandbox|policy]")
def schema(kind: str) -> None:
    """Print the JSON Schema of a sandbox's file, or of the policy's.

    With it, an editor completes and checks a file that begins with this line, where PATH leads from the file to what
    was printed:

    \b
      # yaml-language-server: $schema=PATH

    \b
    Examples:
      reconciler schema > sandboxes.d/.schema.json
      reconciler schema policy
    """
    show_json(json_schema(MODELS[kind]))


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Of the files that become such a model: all that the reader accepts is valid, but for whole Compose files."""
    schema = {"$schema": _ForEditors.schema_dialect, **model.model_json_schema(schema_generator=_ForEditors)}
    if model is Sandbox:
        _take_compose(schema, "#", schema["$defs"])
    elif model is Policy:
        _take_compose(schema["$defs"]["Sandbox"], "#/$defs/Sandbox", schema["$defs"])
    return schema


def _take_compose(sandbox: dict[str, Any], at: str, definitions: dict[str, Any]) -> None:
    """Adds what is accepted of Compose besides, in the place of a sandbox's own values and beside them."""
    sandbox["patternProperties"] = {"^x-": True}
    for key, rows in KEYS.items():
        accepted = [one for row in rows if row.handling is not Handling.REFUSE for one in _spelt(row, at)]
        if accepted and not key.startswith("x-"):
            place = _place(sandbox, definitions, key)
            own = {said: place.pop(said) for said in place.keys() - {"description", "default", "anyOf"}}
            place["anyOf"] = [*([own] if own else []), *place.get("anyOf", []), *accepted]


def _place(place: dict[str, Any], definitions: dict[str, Any], key: str) -> dict[str, Any]:
    """The schema of a key of the table, made where there is none."""
    for part in re.findall(r"\[\]|[^.\[]+", key):
        place = place.get("anyOf", [place])[0]
        place = definitions[place["$ref"].rpartition("/")[2]] if "$ref" in place else place
        if part == "[]":
            place.setdefault("type", "array")
            place = place.setdefault("items", {})
        else:
            place.setdefault("additionalProperties", False)
            place = place.setdefault("properties", {}).setdefault(part, {"description": COMPOSE})
    return place


def _spelt(row: Spelling, at: str) -> Iterator[Any]:
    """The values that are written so."""
    if row.pattern == ANY:
        yield {"$ref": f"{at}/properties/{row.to}"} if row.to else True
        return
    yield {"type": "string", "pattern": whole(re.sub(r"\?P<\w+>", "?:", row.pattern))}
    if row.pattern in ("true", "false") or row.pattern.isdecimal():
        yield {"const": json.loads(row.pattern)}


class _ForEditors(GenerateJsonSchema):
    """Without what only repeats itself where an editor shows it."""

    def field_title_should_be_set(self, _: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Defaults that say something: not null, nothing empty, and no whole model, whose keys have their own."""
        said = super().default_schema(schema)
        if isinstance(schema.get("default"), BaseModel) or said.get("default") in (None, "", [], {}):
            said.pop("default", None)
        return said

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """One list of types where that says it all: editors explain it better than alternatives."""
        inner = self.generate_inner(schema["schema"])
        if "type" not in inner or "const" in inner:
            return {"anyOf": [inner, {"type": "null"}]}
        types = inner["type"] if isinstance(inner["type"], list) else [inner["type"]]
        return {**inner, "type": [*types, "null"]}
