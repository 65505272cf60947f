"""`reconciler explain`."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from difflib import get_close_matches
from typing import NamedTuple

import click

from reconciler.cli.completion import known_names
from reconciler.cli.format.terminal import Line, bold, cells, dim, green, padded, red, show, show_json, wrapped
from reconciler.control.settings import Settings
from reconciler.control.volumes import Volumes
from reconciler.engine.docker.encode import encode
from reconciler.model.container import ContainerSpec
from reconciler.model.desired import Declaration, Desired
from reconciler.model.labels import FINGERPRINT, SALT
from reconciler.model.rendered import Rendered
from reconciler.planning.admission import effective, violations
from reconciler.planning.attest import OPEN
from reconciler.planning.describe import HIDDEN, configuration
from reconciler.planning.render import render
from reconciler.report.store import Store
from reconciler.sources.directory import Directory
from reconciler.sources.names import display
from reconciler.sources.policy_file import rule_lines
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox

RANDOM = 0
"""In place of a host port that is not chosen yet."""

WIDTH_MAX = 120
VALUE_WIDTH_MIN = 20
BUILT_IN = "built-in"
FIXED = "fixed by reconciler"


class Row(NamedTuple):
    """One value as it is shown, and the place that it comes from."""

    key: str
    value: str
    source: str


@click.command(short_help="Show where each value of a sandbox comes from.")
@click.argument("name", shell_complete=known_names)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--container", is_flag=True, help="Show the request that creates the container instead, as JSON.")
@click.pass_obj
def explain(settings: Settings, name: str, output: str, *, container: bool) -> None:
    """Show the configuration of a sandbox, the source of each value, and whether the policy accepts it.

    Notes say what is accepted and means less here. Needs no engine. A host port that is not fixed is taken from the
    status file, or shown as (random). Values of environment are never shown. Exit code 0, also for what the policy
    refuses; 1: an error.

    \b
    -o json has
        name, file and accepted
        problems   of each: file, line, column, message, hint, rule
        notes      the same, of what is accepted and means less here
        values     of each: key, value, source
        container  the request that creates it; host port 0: chosen later

    \b
    Examples:
      reconciler explain hello                 each value and its source
      reconciler explain hello --container     the request to the engine
    """
    declaration, policy = _declared(Directory(settings.directory).scan(), name), settings.policy()
    sources = Volumes(settings.engine_host).examined([declaration], policy)
    sandbox = effective(declaration.sandbox, policy)
    ports = _ports(settings, name, sandbox)
    rendered = render(name, sandbox, policy, settings.owner, ports, sources, salt="")
    problems = violations(declaration, policy, sources)
    rows = list(_Origins(settings, declaration, policy, sandbox).rows(rendered))
    request = encode(_without_secrets(rendered.spec))
    if container:
        show_json(request)
    elif output == "json":
        head = {"name": name, "file": declaration.file, "accepted": not problems}
        told = {"problems": list(map(asdict, problems)), "notes": list(map(asdict, declaration.notes))}
        show_json({**head, **told, "values": [row._asdict() for row in rows], "container": request})
    else:
        show(*_table(rows, min(shutil.get_terminal_size().columns, WIDTH_MAX)))
        show(red("The policy refuses it:") if problems else green("The policy accepts it."), *map(str, problems))
        show(*(f"note: {note}" for note in declaration.notes))


def _declared(desired: Desired, name: str) -> Declaration:
    if problems := desired.problems_of(name):
        raise click.ClickException("\n".join(map(str, problems)))
    if name not in desired.declared:
        near = get_close_matches(name, desired.names, n=1)
        known = f"did you mean {near[0]}?" if near else f"declared: {', '.join(sorted(desired.names)) or 'none'}"
        raise click.ClickException(f"no sandbox {name} is declared; {known}")
    return desired.declared[name]


def _without_secrets(spec: ContainerSpec) -> ContainerSpec:
    """Without values of environment, and without what can be told from them."""
    salted = dict.fromkeys((FINGERPRINT, SALT), HIDDEN)
    return replace(spec, environment=dict.fromkeys(spec.environment, HIDDEN), labels={**spec.labels, **salted})


def _ports(settings: Settings, name: str, sandbox: Sandbox) -> dict[int, int]:
    status = Store(settings.state).statuses().get(name)
    kept = status.ports if status else {}
    return {port.target: port.published or kept.get(port.target, RANDOM) for port in sandbox.ports}


class _Origins:
    """Where the values of one effective sandbox come from."""

    def __init__(self, settings: Settings, declaration: Declaration, policy: Policy, sandbox: Sandbox) -> None:
        self._declaration, self._policy, self._sandbox = declaration, policy, sandbox
        self._rules = rule_lines(settings.policy_file) if settings.policy_file else {}
        self._policy_file = display(settings.policy_file.name) if settings.policy_file else ""

    def rows(self, rendered: Rendered) -> Iterator[Row]:
        """All keys of the file first, then what nobody can say in it."""
        made = configuration(rendered.spec)
        for key in Sandbox.model_fields:
            if key in {"environment", "labels"}:
                for field in (name for name in made if name.startswith(f"{key}.")):
                    yield Row(field, made[field], self._of_pair(key, field.removeprefix(f"{key}.")))
            else:
                yield Row(key, made.get(key) or self._unmade(key, rendered), self._of_key(key))
        for field, value in made.items():
            if field.partition(".")[0] not in Sandbox.model_fields:
                yield Row(field, value, self._rule("runtime") if field == "runtime" else FIXED)

    def _unmade(self, key: str, rendered: Rendered) -> str:
        """The value of a key that is left out of the container's request, or is empty there."""
        value = getattr(self._sandbox, key)
        if key in OPEN and getattr(rendered.spec, key) is None:
            return "(the image's)"
        return str(value) if value else "(the engine's)" if key == "hostname" else "none"

    def _of_key(self, key: str) -> str:
        if key in self._declaration.sandbox.model_fields_set:
            return self._line(key)
        if key in self._policy.defaults.model_fields_set:
            return self._rule(f"defaults.{key}")
        if getattr(self._sandbox, key) == Sandbox.model_fields[key].default:
            return BUILT_IN
        return "no network" if key == "ports" else f"lowered to {self._rule(f'limits.{key}')}"

    def _of_pair(self, key: str, name: str) -> str:
        if key == "labels" and name in self._policy.labels:
            return self._rule(f"labels.{name}", "labels")
        if name in getattr(self._declaration.sandbox, key):
            return self._line(f"{key}.{name}", key)
        return self._rule(f"defaults.{key}.{name}", f"defaults.{key}")

    def _line(self, *keys: str) -> str:
        return _place(self._declaration.file, self._declaration.lines, keys)

    def _rule(self, *keys: str) -> str:
        return _place(self._policy_file, self._rules, keys)


def _place(file: str, lines: Mapping[str, int], keys: tuple[str, ...]) -> str:
    """The line of the first key that has one."""
    return next((f"{file}:{lines[key]}" for key in keys if key in lines), file)


def _table(rows: list[Row], width: int) -> Iterator[Line]:
    keys, _, sources = (max(map(cells, column)) for column in zip(*rows, strict=True))
    values = max(width - keys - sources - 4, VALUE_WIDTH_MIN)
    yield bold(f"{'KEY':{keys}}  {'VALUE':{values}}  SOURCE")
    for key, value, source in rows:
        first, *rest = wrapped(value, values)
        style = dim if source in {BUILT_IN, FIXED} else str
        yield f"{padded(key, keys)}  {padded(first, values)}  ", style(source)
        yield from (f"{'':{keys}}  {line}" for line in rest)
