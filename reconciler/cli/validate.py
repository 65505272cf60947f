"""`reconciler validate`."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click

from reconciler.control.settings import Settings
from reconciler.control.sources import examined
from reconciler.desired.directory import Directory, read_file
from reconciler.model.desired import Declaration
from reconciler.model.errors import PolicyInvalid, Problem
from reconciler.model.text import printable
from reconciler.planning.judge import judge


@click.command(short_help="Check files and policy; needs no engine.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("-o", "output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def validate(settings: Settings, files: tuple[Path, ...], output: str) -> None:
    """Check files and policy, without an engine: all of the directory, or the FILEs that are named.

    Tells all problems of all files in one run. Exit code 0: all is good; 1: something is not.
    """
    declarations, problems = _read(files) if files else _scan(settings.directory)
    try:
        policy = settings.policy()
        sources = examined(declarations, policy, settings.engine_socket)
        for declaration in declarations:
            problems += judge(declaration, policy, sources)
    except PolicyInvalid as error:
        problems += error.problems
    problems.sort()
    if output == "json":
        click.echo(json.dumps({"problems": [asdict(problem) for problem in problems]}, indent=2))
    else:
        _print(problems, len(declarations))
    sys.exit(1 if problems else 0)


def _scan(directory: Path) -> tuple[list[Declaration], list[Problem]]:
    desired = Directory(directory).scan()
    broken = [problem for problems in desired.broken.values() for problem in problems]
    return list(desired.declared.values()), [*broken, *desired.strays]


def _read(files: Iterable[Path]) -> tuple[list[Declaration], list[Problem]]:
    declarations: list[Declaration] = []
    problems: list[Problem] = []
    for file in files:
        outcome = read_file(file)
        if isinstance(outcome, Declaration):
            declarations.append(outcome)
        else:
            problems += outcome
    return declarations, problems


def _print(problems: list[Problem], well_formed: int) -> None:
    for problem in problems:
        click.echo(printable(str(problem), 2000), err=True)
    if problems:
        files = len({problem.file for problem in problems})
        click.echo(f"{len(problems)} problem(s) in {files} file(s)", err=True)
    else:
        click.echo(f"{well_formed} file(s), all good")
