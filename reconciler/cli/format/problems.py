"""Problems for people: what is wrong, the line with a mark under its place, how to fix it, and which rule it breaks."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from reconciler.cli.format.excerpt import ROOM_MIN, excerpt, source_lines
from reconciler.cli.format.terminal import Line, Part, Style, Styled, bold, show, wrapped
from reconciler.model.errors import Problem
from reconciler.sources.policy_file import rule_lines

ERROR, NOTE = Styled("error", "red", bold=True), Styled("note", "cyan", bold=True)


def print_problems(problems: Sequence[Problem], notes: Sequence[Problem], policy_file: Path | None) -> None:
    """Prints the problems on stderr, file by file, as a compiler does; then the notes."""
    columns = shutil.get_terminal_size().columns
    rules = rule_lines(policy_file) if policy_file and any(problem.rule for problem in problems) else {}
    files = 0
    for file, of_file in groupby(problems, key=lambda problem: problem.file):
        files += 1
        lines = source_lines(file)
        for problem in of_file:
            show(*_told(ERROR, problem, lines, _rule(problem.rule, policy_file, rules), columns), "", err=True)
    for file, of_file in groupby(notes, key=lambda note: note.file):
        lines = source_lines(file)
        for note in of_file:
            show(*_told(NOTE, note, lines, "", columns), "", err=True)
    if problems:
        show(f"{count(len(problems), 'problem')} in {count(files, 'file')}", err=True)


def _told(label: Styled, problem: Problem, lines: Sequence[str], rule: str, columns: int) -> Iterator[Line]:
    number = str(problem.line or "")
    gutter = " " * (len(number) + 2)
    yield from _labelled([label, ": "], problem.message, columns, bold)
    place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
    yield _frame(f"{gutter[:-1]}-->"), f" {place}"
    if found := excerpt(lines, problem.line, problem.column, columns - len(gutter) - 2):
        yield _frame(f" {number} |"), f" {''.join(found)}".rstrip()
        yield _frame(f"{gutter}|"), " ", Styled(found.mark, "red", bold=True)
    for kind, text in (("help", problem.hint), ("rule", rule)):
        if text:
            yield from _labelled([_frame(f"{gutter}="), " ", bold(kind), ": "], text, columns)


def _rule(rule: str, policy_file: Path | None, lines: Mapping[str, int]) -> str:
    """A rule of the policy, and where it stands."""
    if not rule:
        return ""
    return f"{rule}, in {policy_file}:{lines[rule]}" if rule in lines else f"{rule}, of the built-in policy"


def _labelled(label: list[Part], text: str, columns: int, style: Style = str) -> Iterator[Line]:
    """Text behind a label, its further lines indented as the first."""
    indent = sum(len(part if isinstance(part, str) else part.text) for part in label)
    first, *rest = wrapped(text, max(columns - indent, ROOM_MIN), whole_words=True)
    yield [*label, style(first)]
    yield from ([" " * indent, style(line)] for line in rest)


def _frame(text: str) -> Styled:
    return Styled(text, "blue", bold=True)


def count(number: int, word: str) -> str:
    """`1 file`, `2 files`"""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
