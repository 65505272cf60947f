"""`reconciler validate`."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import click

from reconciler.cli.format.annotations import github, sarif
from reconciler.cli.format.problems import count, print_problems
from reconciler.cli.format.terminal import show, show_json
from reconciler.control.settings import Settings
from reconciler.control.volumes import Volumes
from reconciler.model.desired import Declaration
from reconciler.model.errors import DirectoryUnreadable, PolicyInvalid, Problem
from reconciler.planning.admission import violations
from reconciler.sources.directory import Directory, port_clashes, read_file, rest_of
from reconciler.sources.names import display
from reconciler.sources.policy_file import policy_notes


@click.command(short_help="Check files and policy; needs no engine.")
@click.argument("files", nargs=-1, type=click.Path(readable=False, path_type=Path), metavar="[FILE]...")
@click.option("-o", "output", type=click.Choice(["text", "json", "github", "sarif"]), default="text", show_default=True)
@click.pass_obj
def validate(settings: Settings, files: tuple[Path, ...], output: str) -> None:
    """Check files and policy, without an engine: all of the directory, or the FILEs that are named.

    Prints all problems of all files. `-o github` annotates the lines of a pull request, `-o sarif` is for
    whatever shows results of code analysis. Subdirectories are ignored, with a note. Exit code 0: no
    problems; 1: problems.

    \b
    Examples:
      reconciler validate
      reconciler validate -o github                        in a workflow on GitHub
      reconciler --policy policy.yaml validate new.yaml    before it is moved into place
    """
    settings = replace(settings, policy_file=settings.policy_file and nearby(settings.policy_file))
    found = _Found()
    for path in map(nearby, files or (settings.directory,)):
        if files and not path.is_dir():
            found.take_file(path)
        else:
            found.take_directory(path)
    found.take_policy(settings.policy_file)
    problems, notes = found.problems(settings), found.notes
    match output:
        case "json":
            told = {"problems": list(map(asdict, problems)), "notes": list(map(asdict, notes))}
            show_json(told)
        case "github":
            show(*map(github, problems), *(github(note, "notice") for note in notes))
        case "sarif":
            show_json(sarif(problems, notes))
        case _:
            print_problems(problems, notes, settings.policy_file)
            if not problems:
                show(f"{count(len(found.declarations), 'file')}, all good")
    sys.exit(1 if problems else 0)


def nearby(path: Path) -> Path:
    """The path as somebody would name it who is in the current directory."""
    here = Path.cwd()
    return (here / path).relative_to(here) if (here / path).is_relative_to(here) else path


class _Found:
    """What comes of files and directories, under paths that can be opened."""

    def __init__(self) -> None:
        self.declarations: list[Declaration] = []
        self.notes: list[Problem] = []
        self._broken: list[Problem] = []
        self._named: list[Declaration] = []

    def take_file(self, path: Path) -> None:
        outcome = read_file(path)
        if isinstance(outcome, Declaration):
            self._named.append(outcome)
            self.declarations.append(outcome)
            self.notes += outcome.notes
        else:
            self._broken += outcome

    def take_directory(self, path: Path) -> None:
        try:
            desired = Directory(path).scan()
        except DirectoryUnreadable as error:
            self._broken.append(Problem(display(str(path)), 0, 0, str(error)))
            return
        self.declarations += (replace(one, file=_below(path, one.file)) for one in desired.declared.values())
        problems = chain(desired.ignored, *desired.broken.values())
        self._broken += (replace(problem, file=_below(path, problem.file)) for problem in problems)
        notes = chain(desired.notes, *(one.notes for one in desired.declared.values()))
        self.notes += (replace(note, file=_below(path, note.file)) for note in notes)

    def take_policy(self, path: Path | None) -> None:
        with suppress(PolicyInvalid):  # which is a problem, not a note
            self.notes += policy_notes(path)

    def problems(self, settings: Settings) -> list[Problem]:
        """Also what the policy forbids, of broken files too; those of a whole file come after its others."""
        problems = [*self._broken, *chain(*port_clashes(self._named).values())]
        remainders = filter(None, (rest_of(Path(file)) for file in {problem.file for problem in self._broken}))
        problems += policy_problems(self.declarations, list(remainders), settings)
        return sorted(problems, key=lambda problem: (problem.file, not problem.line, problem))


def _below(path: Path, file: str) -> str:
    return display(str(path / file))


def policy_problems(
    declarations: list[Declaration], remainders: list[Declaration], settings: Settings
) -> Iterator[Problem]:
    """The problems of the policy file or, if it has none, the violations of the policy."""
    try:
        policy = settings.policy()
    except PolicyInvalid as error:
        yield from error.problems
        return
    sources = Volumes(settings.engine_host).examined([*declarations, *remainders], policy)
    for declaration in declarations:
        yield from violations(declaration, policy, sources)
    for rest in remainders:  # what it lacks may be what is wrong in it
        yield from (problem for problem in violations(rest, policy, sources) if problem.line)
