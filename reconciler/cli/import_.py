"""`reconciler import`."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from reconciler.cli.format.terminal import show
from reconciler.cli.validate import policy_problems
from reconciler.control.settings import Settings
from reconciler.model.desired import Declaration
from reconciler.report.whole_file import create_whole
from reconciler.sources.compose_file import services
from reconciler.sources.compose_import import Imported, import_service, line
from reconciler.sources.directory import read_bytes
from reconciler.sources.document import FileBroken, read_document
from reconciler.sources.interpolation import Variables, read_variables
from reconciler.sources.names import display, sandbox_name, stem_of
from reconciler.spec.mistake import Mistake

SERVICES_MAX = 50


@click.command("import", short_help="Make a sandbox's file of each service of a Compose file.")
@click.argument("compose_file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option(
    "--env-file",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE",
    help="Values of variables; by default the `.env` beside the Compose file.",
)
@click.option("-d", "into", type=click.Path(path_type=Path), metavar="DIR", help="Where to write, if not into --dir.")
@click.pass_obj
def import_(settings: Settings, compose_file: Path, env_file: Path | None, into: Path | None) -> None:
    """Make a sandbox's file of each service of a Compose file, and say what has become of each key.

    Variables get their values here, once: those of the env file, or their defaults. The environment of this
    process is not looked at; `--env-file <(env)` is that. Nothing is overwritten: if a sandbox has a file
    already, nothing is written. Exit code 1: of a service nothing could be made; the others are written.

    \b
    Examples:
      reconciler import compose.yaml                  into --dir
      reconciler import compose.yaml -d /tmp/look     elsewhere, to look at it first
    """
    directory = into or settings.directory
    beside = compose_file.parent / ".env"
    try:
        variables = _variables(env_file or (beside if beside.exists() else None))
        imported = _imported(compose_file, variables, settings)
        _write(directory, {name: one.text for name, one in imported.items() if one.text})
    except (FileBroken, Mistake, OSError, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from error
    for name, (text, report) in imported.items():
        show(f"{directory / name}.yaml" if text else f"{name}: not written", *(f"  {told}" for told in report), "")
    show(*(f"note: {name} has no value, and is empty" for name in sorted(variables.unset)))
    sys.exit(not all(text for text, _ in imported.values()))


def _write(directory: Path, texts: Mapping[str, str]) -> None:
    if taken := {stem_of(path.name).casefold() for path in directory.glob("*.*")} & texts.keys():
        raise Mistake(f"{directory} already has {', '.join(sorted(taken))}; nothing is written")
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        create_whole(directory / f"{name}.yaml", text.encode())


def _variables(path: Path | None) -> Variables:
    return read_variables(path.read_text(encoding="utf-8")) if path else Variables()


def _imported(path: Path, variables: Variables, settings: Settings) -> dict[str, Imported]:
    """By the names of the sandboxes, and with what their host's policy says."""
    document = read_document(path.read_bytes(), display(str(path)), variables.resolve, SERVICES_MAX)
    imported: dict[str, Imported] = {}
    for service, below in services(document).items():
        name = sandbox_name(re.sub(r"[^a-z0-9]+", "-", service.casefold()).strip("-") + ".yaml")
        if name in imported:
            raise Mistake(f"two services would be {name}.yaml", "rename one of them")
        text, report = import_service(below, variables, str(path.parent.resolve()))
        if text:
            outcome = read_bytes(name, f"{name}.yaml", text.encode())
            if isinstance(outcome, Declaration):
                found = policy_problems([outcome], [], settings)
                report += [line("policy", one.message, one.hint) for one in found]
            else:
                text, report = "", [*report, *(line("error", one.message, one.hint) for one in outcome)]
        imported[name] = Imported(text, report)
    return imported
