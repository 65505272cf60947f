"""`reconciler schema`."""

import json
from typing import Any

import click
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox

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
    click.echo(json.dumps(json_schema(MODELS[kind]), indent=2))


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Of the files that become such a model: all that the reader accepts is valid."""
    return {"$schema": _ForEditors.schema_dialect, **model.model_json_schema(schema_generator=_ForEditors)}


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
