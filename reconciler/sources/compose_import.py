"""Turns a service of a Compose file into the file of a sandbox, and says what has become of each key."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, NamedTuple

import yaml

from reconciler.sources.compose import read_service
from reconciler.sources.compose_keys import ANY, KEYS, PORT, PUBLISHED, Handling, Spelling, Table, noted, same
from reconciler.sources.document import Document, KeyPath, WrittenFloat, WrittenInteger
from reconciler.sources.interpolation import Variables
from reconciler.sources.validation import mistakes
from reconciler.spec.sandbox import Sandbox

_SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|PRIVATE|(?:^|_|API)KEY(?:_|$)", re.IGNORECASE)
_NUMBER = re.compile(r"pids_limit|healthcheck\.retries|ports(?:\.\w+)?")
_BOOLEAN = re.compile(r"(?:.*\.)?(?:read_only|disable)")
"""Where Compose makes something else of a text."""

_LEFT_OUT: Sequence[tuple[str, Any, str]] = (
    ("ports", [], "ports: none are published, as in Compose; left out, port 3000 would be"),
    ("restart", "no", "restart: 'no', as in Compose; left out, it would be `always`"),
    ("user", None, "user: it runs as 1000:1000, which the image must be fit for"),
)
"""What Compose has another default for."""


class Imported(NamedTuple):
    """The text of a sandbox's file, empty when there can be none, and a line for each key that is not the same."""

    text: str
    report: list[str]


def import_service(service: Document, variables: Variables, directory: str) -> Imported:
    """What the service says has its variables' values already; `directory`, an absolute path, is where its file is."""
    read, readings = read_service(service, _table(directory))
    said, report = _typed(read.value, variables), []
    changed: set[str | int] = set()
    for one in readings:
        if one.spelling.handling not in (Handling.KEEP, Handling.REFUSE):
            word = "dropped" if one.spelling.handling is Handling.DROP else "translated"
            problem = one.problem(service)
            what = problem.message if one.spelling.message else f"{one.words['key']}: it is the same here"
            report.append(line(word, what, problem.hint if word == "dropped" else ""))
            changed |= {one.path[0], one.spelling.to}
    while found := mistakes(replace(read, value=said), Sandbox):
        path, problem = found[0]
        said = _without(said, path)
        report.append(line("dropped", problem.message, problem.hint))
        changed.add(path[0])
    if "image" not in said:
        return Imported("", [*report, line("error", "without an image it can be no sandbox")])
    for key, default, why in _LEFT_OUT:
        if key not in said and not (key == "ports" and "network_mode" in said):
            said |= {} if default is None else {key: default}
            report.append(line("note", why))
            changed.add(key)
    for name in filter(_SECRET.search, said.get("environment", {})):
        report += [line("note", f"environment.{name} looks like a secret: whoever reads the file, reads it")]
    return Imported(_written(said), [line("kept", ", ".join(key for key in said if key not in changed)), *report])


def line(word: str, text: str, hint: str = "") -> str:
    """Of a report."""
    return f"{word:<11} {text}" + (f" ({hint})" if hint and hint != "leave it out" else "")


def _typed(service: Any, variables: Variables) -> dict[str, Any]:
    """The service with the types that Compose gives to its values, and values for the variables that are only named."""
    said: dict[str, Any] = _each(service if isinstance(service, dict) else {}, _scalar)
    environment = said.get("environment")
    if isinstance(environment, list):
        pairs = (str(one).partition("=") for one in environment)
        environment = {name: value if equals else None for name, equals, value in pairs}
    if isinstance(environment, dict):
        given = {name: variables.values.get(name) if one is None else one for name, one in environment.items()}
        said["environment"] = given
    for volume in said.get("volumes") or ():
        if isinstance(volume, dict):
            volume.setdefault("read_only", False)
    return said


def _each(value: Any, change: Callable[[str, Any], Any], name: str = "") -> Any:
    """The value with each scalar in it changed; items of a list have its name."""
    if isinstance(value, dict):
        return {key: _each(inner, change, f"{name}.{key}".removeprefix(".")) for key, inner in value.items()}
    return [_each(one, change, name) for one in value] if isinstance(value, list) else change(name, value)


def _scalar(name: str, value: Any) -> Any:
    if isinstance(value, bool) and re.match(r"environment|labels|command", name):
        return json.dumps(value)
    if not isinstance(value, str):
        return str(value) if isinstance(value, WrittenFloat) else value
    if name in ("volumes.source", "volumes.target"):
        return value.rstrip("/") or "/"
    if _NUMBER.fullmatch(name) and value.isdecimal():
        return int(value)
    return value == "true" if _BOOLEAN.fullmatch(name) and value in ("true", "false") else value


def _table(directory: str) -> Table:
    """The table, with what an import may say instead; what is refused when it is pasted is dropped."""
    table = {
        key: [row._replace(handling=Handling.DROP) if row.handling is Handling.REFUSE else row for row in rows]
        for key, rows in KEYS.items()
    }
    for row in _rows(directory.replace("{", "{{").replace("}", "}}")):
        table[row.keys] = [row, *table.get(row.keys, ())]
    return table


# fmt: off
def _rows(here: str) -> Sequence[Spelling]:
    project = f"/srv/{PurePath(here).name}"
    owner = ", which the host's owner makes, for its user, and allows in the policy"
    address = r"(?!127\.0\.0\.1:)(?P<address>\[.*\]|[^\[:]+)"
    return (
        noted("ports[]", f"{address}:{PORT}", "{key}: it is published on 127.0.0.1, not on {address}", said=PUBLISHED),
        noted("ports[]", rf"(?:{address}:)?(?P<published>[1-9]\d{{0,2}}):(?P<target>\d+)(?:/tcp)?",
              "{key}: a free port is published, as {published} is below 1024", said={"target": "{target}"}),
        noted("ports[].published", r"[1-9]\d{0,2}", "{key}: a free port is published, as {value} is below 1024"),
        noted("ports[].host_ip", ANY, "{key}: it is published on 127.0.0.1, not on {value}"),
        *(noted("volumes[]", rf"{written}:(?P<target>/[^:]*){mode}", f"{{key}}: '{{name}}' is {source}{owner}",
                said={"source": source, "target": "{target}", "read_only": bool(mode == ":ro")})
          for written, source in ((r"(?P<name>\w[\w.-]*)", f"{project}/{{name}}"),
                                  (r"(?P<name>\./(?P<path>[^:]+))", f"{here}/{{path}}"))
          for mode in ("(?::rw)?", ":ro")),
        same("volumes[].type", "volume", said="bind"),
        noted("volumes[].source", r"\w[\w.-]*", f"{{key}}: '{{value}}' is {project}/{{value}}{owner}",
              said=f"{project}/{{value}}"),
        noted("volumes[]", r".*docker\.sock(?::.*)?", "{key}: whoever has the engine's socket is root on the host"),
        noted("user", r"[1-9]\d{3,9}", "{key}: {value}:{value}, as the image chooses no group", said="{value}:{value}"),
        noted("profiles", ANY, "{key}: it is stopped, and runs when `state` is left out", said="stopped", to="state"),
    )
# fmt: on


def _without(said: Any, path: KeyPath) -> Any:
    """Without what is at a path, or the nearest around it that is there."""
    key, *rest = path
    entries = _entries(said)
    if rest and rest[0] in _entries(entries[key]):
        entries[key] = _without(entries[key], tuple(rest))
    else:
        del entries[key]
    return list(entries.values()) if isinstance(said, list) else entries


def _entries(value: Any) -> dict[Any, Any]:
    return dict(enumerate(value)) if isinstance(value, list) else dict(value) if isinstance(value, dict) else {}


class _Dumper(yaml.SafeDumper):
    """Writes whole numbers as they were written, and leaves text of several lines as it is."""

    def as_written(self, value: str | WrittenInteger) -> yaml.ScalarNode:
        tag, style = "str" if isinstance(value, str) else "int", "|" if "\n" in str(value) else None
        return self.represent_scalar(f"tag:yaml.org,2002:{tag}", str(value), style)


_Dumper.add_representer(str, _Dumper.as_written)
_Dumper.add_representer(WrittenInteger, _Dumper.as_written)


def _written(said: Mapping[str, Any]) -> str:
    escaped = _each(said, lambda _, value: value.replace("$", "$$") if isinstance(value, str) else value)
    return yaml.dump(escaped, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
