"""`reconciler validate`."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import click

from reconciler.control.settings import Settings
from reconciler.control.sources import Volumes
from reconciler.desired.directory import Directory, Outcome, read_file
from reconciler.desired.names import display
from reconciler.model.desired import Declaration
from reconciler.model.errors import DirectoryUnreadable, PolicyInvalid, Problem
from reconciler.planning.judge import judge
from reconciler.show.annotations import github, sarif
from reconciler.show.problems import count, print_problems


@click.command(short_help="Check files and policy; needs no engine.")
@click.argument("files", nargs=-1, type=click.Path(readable=False, path_type=Path), metavar="[FILE]...")
@click.option("-o", "output", type=click.Choice(["text", "json", "github", "sarif"]), default="text", show_default=True)
@click.pass_obj
def validate(settings: Settings, files: tuple[Path, ...], output: str) -> None:
    """Check files and policy, without an engine: all of the directory, or the FILEs that are named.

    Tells all problems of all files in one run. `-o github` annotates the lines of a pull request, `-o sarif` is for
    whatever shows results of code analysis. Exit code 0: all is good; 1: something is not.

    \b
    Examples:
      reconciler validate
      reconciler validate -o github                        in a workflow on GitHub
      reconciler --policy policy.yaml validate new.yaml    before it is put into place
    """
    settings = replace(settings, policy_file=settings.policy_file and nearby(settings.policy_file))
    outcomes = list(_of_files(map(nearby, files)) if files else _of_directory(nearby(settings.directory)))
    declarations = [outcome for outcome in outcomes if isinstance(outcome, Declaration)]
    problems = [problem for outcome in outcomes if isinstance(outcome, tuple) for problem in outcome]
    problems += _judged(declarations, settings)
    problems.sort(key=lambda problem: (problem.file, not problem.line, problem))  # those of a whole file come last
    match output:
        case "json":
            click.echo(json.dumps({"problems": [asdict(problem) for problem in problems]}, indent=2))
        case "github":
            for problem in problems:
                click.echo(github(problem))
        case "sarif":
            click.echo(json.dumps(sarif(problems), indent=2))
        case _ if problems:
            print_problems(problems, settings.policy_file)
        case _:
            click.echo(f"{count(len(declarations), 'file')}, all good")
    sys.exit(1 if problems else 0)


def nearby(path: Path) -> Path:
    """The path as somebody would name it who is in the current directory."""
    here = Path.cwd()
    return (here / path).relative_to(here) if (here / path).is_relative_to(here) else path


def _of_files(paths: Iterable[Path]) -> Iterator[Outcome]:
    for path in paths:
        if path.is_dir():
            yield from _of_directory(path)
        else:
            yield read_file(path)


def _of_directory(path: Path) -> Iterator[Outcome]:
    """What comes of each file, under a path that can be opened."""
    try:
        desired = Directory(path).scan()
    except DirectoryUnreadable as error:
        yield (Problem(display(str(path)), 0, 0, str(error)),)
        return
    for declaration in desired.declared.values():
        yield replace(declaration, file=display(str(path / declaration.file)))
    for problem in chain(desired.ignored, *desired.broken.values()):
        yield (replace(problem, file=display(str(path / problem.file))),)


def _judged(declarations: Iterable[Declaration], settings: Settings) -> Iterator[Problem]:
    """What is wrong with the policy; if nothing is, what it forbids."""
    try:
        policy = settings.policy()
    except PolicyInvalid as error:
        yield from error.problems
        return
    sources = Volumes(settings.engine_host).examined(declarations, policy)
    for declaration in declarations:
        yield from judge(declaration, policy, sources)
