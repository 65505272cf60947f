"""The tables in README.md and docs/ that are made from the code.

    python -m tests.tables

writes each between `<!-- generated: NAME -->` and `<!-- end -->`; a test says whether that is due.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from reconciler.cli.main import OfAllCommands, cli
from reconciler.cli.schema import json_schema
from reconciler.model.plan import Outcome, Pull, Reason, SandboxPlan, Verdict
from reconciler.model.status import Condition, ConditionType, ControllerStatus, JournalEntry, SandboxStatus
from reconciler.report.metrics import Metrics
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from tests.unit.test_compose import ROWS
from tests.unit.test_compose import Row as Spelling

ROOT = Path(__file__).parents[1]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))

GENERATED = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)

Row = tuple[str, ...]


def table(head: Row, rows: Iterable[Row]) -> str:
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (head, ("---",) * len(head), *rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def code(text: object) -> str:
    return f"`{text}`" if text not in ("", None) else ""


# --- keys ------------------------------------------------------------------------------------------------------------


def sandbox_keys() -> str:
    rows = _keys(json_schema(Sandbox))
    return table(("key", "value", "default"), (row for row in rows if row[0].strip("`") in Sandbox.model_fields))


def compose_spellings() -> str:
    """Those that a test shows to be so."""
    return table(("written", "is", "and told"), ((code(_flow(row.written)), _meaning(row), row.told) for row in ROWS))


def _flow(text: str) -> str:
    return text.replace("\n", ", ")


def _meaning(row: Spelling) -> str:
    if row.meaning is None:
        return "refused"
    return code(_flow(row.meaning)) or ("so anyway" if not row.told else "left out")


def policy_keys() -> str:
    """Those of its parts too; `defaults` are keys of a sandbox."""
    return table(("key", "value", "default"), _keys(json_schema(Policy), within=True))


def _keys(schema: Mapping[str, Any], *, within: bool = False) -> Iterator[Row]:
    parts = schema["$defs"]
    for key, said in schema["properties"].items():
        part = parts.get(said.get("$ref", "").rpartition("/")[2], {})
        if within and "properties" in part and key != "defaults":
            for name, inner in part["properties"].items():
                yield code(f"{key}.{name}"), inner["description"], _default(inner)
        else:
            yield code(key), said["description"], _default(said)


def _default(said: Mapping[str, Any]) -> str:
    value = said.get("default", "")
    return code(value if isinstance(value, str) else json.dumps(value))


# --- commands --------------------------------------------------------------------------------------------------------


def commands() -> str:
    context = click.Context(cli)
    found = ((name, cli.get_command(context, name)) for name in cli.list_commands(context))
    return table(
        ("command", "does"),
        ((code(_usage(name, command)), command.short_help or "") for name, command in found if command),
    )


def _usage(name: str, command: click.Command) -> str:
    return " ".join(
        [
            name,
            *(
                _argument(one) if isinstance(one, click.Argument) else _option(one)
                for one in command.params
                if not isinstance(one, OfAllCommands)
            ),
        ]
    )


def _argument(argument: click.Parameter) -> str:
    return argument.make_metavar(click.Context(cli))


def _option(option: click.Parameter) -> str:
    value = "" if getattr(option, "is_flag", False) else f" {_value(option)}"
    return f"[{max(option.opts, key=len)}{value}]"


def _value(option: click.Parameter) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.metavar or option.make_metavar(click.Context(cli))


def options() -> str:
    return table(("option", "variable", "default", "what it says"), map(_global, cli.params))


def _global(option: click.Parameter) -> Row:
    assert isinstance(option, click.Option)
    variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar or ()
    default = option.default if option.show_default else ""
    return code(_option(option)[1:-1]), ", ".join(map(code, variables)), code(default), option.help or ""


# --- reasons ---------------------------------------------------------------------------------------------------------


def reasons() -> str:
    return table(("reason", "what it means, and what you can do"), ((code(reason), reason.means) for reason in Reason))


# --- what is written down --------------------------------------------------------------------------------------------


def _fields(model: type[BaseModel]) -> str:
    return table(
        ("field", "says"), ((code(name), field.description or "") for name, field in model.model_fields.items())
    )


# --- metrics ---------------------------------------------------------------------------------------------------------


def metrics() -> str:
    """As a controller writes them that has done something."""
    families = text_string_to_metric_families(_written())
    return table(("metric", "type", "labels", "says"), map(_metric, families))


def _written() -> str:
    condition = Condition(type=ConditionType.READY, status=True, reason=Reason.RUNNING, since=0)
    controller = ControllerStatus(available=True, host="", instance="", version="", pid=1, directory="", limit=1)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "metrics.prom"
        told = Metrics(path)
        told.done(Outcome(SandboxPlan("web", Verdict.CREATE, Reason.ABSENT), Pull("app:1")))
        told.passed(controller, [SandboxStatus(name="web", conditions=(condition,))])
        return path.read_text()


def _metric(family: Any) -> Row:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = {label for sample in family.samples for label in sample.labels} - {"le"}
    return code(name), family.type, ", ".join(map(code, sorted(labels))), family.documentation


# --- pages -----------------------------------------------------------------------------------------------------------

TABLES: Mapping[str, Callable[[], str]] = {
    "sandbox-keys": sandbox_keys,
    "policy-keys": policy_keys,
    "compose-spellings": compose_spellings,
    "commands": commands,
    "options": options,
    "reasons": reasons,
    "sandbox-fields": lambda: _fields(SandboxStatus),
    "controller-fields": lambda: _fields(ControllerStatus),
    "journal-fields": lambda: _fields(JournalEntry),
    "metrics": metrics,
}


def renewed(page: str) -> str:
    """The page with its tables as they are now."""
    return GENERATED.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], page)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(renewed(path.read_text()))
