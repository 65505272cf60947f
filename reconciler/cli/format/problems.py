"""Problems for people: what is wrong, the line with a mark under its place, how to fix it, and which rule it breaks."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import click

from reconciler.cli.format.excerpt import ROOM_MIN, excerpt, source_lines
from reconciler.model.errors import Problem
from reconciler.sources.policy_file import rule_lines
from reconciler.spec.text import printable

MESSAGE_MAX = 2000


ERROR, NOTE = (click.style(word, fg=colour, bold=True) for word, colour in (("error", "red"), ("note", "cyan")))


def print_problems(problems: Sequence[Problem], notes: Sequence[Problem], policy_file: Path | None) -> None:
    """Prints the problems on stderr, file by file, as a compiler does; then the notes."""
    columns = shutil.get_terminal_size().columns
    rules = rule_lines(policy_file) if policy_file and any(problem.rule for problem in problems) else {}
    files = 0
    for file, of_file in groupby(problems, key=lambda problem: problem.file):
        files += 1
        lines = source_lines(file)
        for problem in of_file:
            _print(_told(ERROR, problem, lines, _rule(problem.rule, policy_file, rules), columns))
    for file, of_file in groupby(notes, key=lambda note: note.file):
        lines = source_lines(file)
        for note in of_file:
            _print(_told(NOTE, note, lines, "", columns))
    if problems:
        click.echo(f"{count(len(problems), 'problem')} in {count(files, 'file')}", err=True)


def _print(lines: Iterator[str]) -> None:
    for line in (*lines, ""):
        click.echo(line, err=True)


def _told(label: str, problem: Problem, lines: Sequence[str], rule: str, columns: int) -> Iterator[str]:
    number = str(problem.line or "")
    gutter = " " * (len(number) + 2)
    yield from _wrapped(f"{label}: ", problem.message, columns, bold=True)
    place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
    yield f"{_frame(gutter[:-1] + '-->')} {printable(place, MESSAGE_MAX)}"
    if found := excerpt(lines, problem.line, problem.column, columns - len(gutter) - 2):
        yield f"{_frame(f' {number} |')} {''.join(found)}".rstrip()
        yield f"{_frame(gutter + '|')} {click.style(found.mark, fg='red', bold=True)}"
    for label, text in (("help", problem.hint), ("rule", rule)):
        if text:
            yield from _wrapped(f"{_frame(gutter + '=')} {click.style(label, bold=True)}: ", text, columns)


def _rule(rule: str, policy_file: Path | None, lines: Mapping[str, int]) -> str:
    """A rule of the policy, and where it stands."""
    if not rule:
        return ""
    return f"{rule}, in {policy_file}:{lines[rule]}" if rule in lines else f"{rule}, of the built-in policy"


def _wrapped(label: str, text: str, columns: int, *, bold: bool = False) -> Iterator[str]:
    """Text behind a label, its further lines indented as the first."""
    indent = " " * len(click.unstyle(label))
    lines = textwrap.wrap(
        printable(text, MESSAGE_MAX),
        max(columns - len(indent), ROOM_MIN),
        break_long_words=False,
        break_on_hyphens=False,
    )
    for index, line in enumerate(lines):
        yield (indent if index else label) + (click.style(line, bold=True) if bold else line)


def _frame(text: str) -> str:
    return click.style(text, fg="blue", bold=True)


def count(number: int, word: str) -> str:
    """`1 file`, `2 files`"""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
