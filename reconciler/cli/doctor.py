"""`reconciler doctor`."""

import json
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from reconciler.cli.format.problems import count
from reconciler.control.settings import Settings
from reconciler.doctor.checks import examine
from reconciler.doctor.collect import collect
from reconciler.doctor.finding import Finding, Level
from reconciler.spec.text import printable

MARKS = {Level.OK: "✓", Level.WARNING: "!", Level.ERROR: "✗"}
COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}

WIDTH_MAX = 100
INDENT = " " * 4
TEXT_MAX = 2000

Findings = Mapping[str, tuple[Finding, ...]]


@click.command(short_help="Check what can go wrong around the sandboxes; change nothing.")
@click.option("-o", "output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def doctor(settings: Settings, output: str) -> None:
    """Check the engine, the kernel, the network, the disk and the files; change nothing.

    Run it as the user who runs the controller; only root can read the firewall's rules.
    Exit code 0: no errors; 1: errors.

    \b
    Examples:
      sudo reconciler doctor
      reconciler --policy /etc/reconciler/policy.yaml doctor -o json | jq .counts
    """
    findings = examine(collect(settings))
    counts = Counter(finding.level for group in findings.values() for finding in group)
    if output == "json":
        click.echo(json.dumps(_as_json(findings, counts), indent=2))
    else:
        _print(findings, counts)
    sys.exit(1 if counts[Level.ERROR] else 0)


def _as_json(findings: Findings, counts: Mapping[Level, int]) -> dict[str, Any]:
    return {
        "counts": {level: counts[level] for level in Level},
        "findings": [_finding_as_json(group, finding) for group, found in findings.items() for finding in found],
    }


def _finding_as_json(group: str, finding: Finding) -> dict[str, Any]:
    return {
        "group": group,
        "check": finding.check,
        "level": finding.level,
        "text": printable(finding.text, TEXT_MAX),
        "why": finding.why,
        "remedy": [printable(line, TEXT_MAX) for line in finding.remedy],
    }


def _print(findings: Findings, counts: Mapping[Level, int]) -> None:
    width = min(shutil.get_terminal_size().columns, WIDTH_MAX)
    for group, found in findings.items():
        click.secho(group, bold=True)
        for finding in found:
            _print_finding(finding, width)
        click.echo()
    click.echo(_summary(counts))


def _print_finding(finding: Finding, width: int) -> None:
    mark = f"  {MARKS[finding.level]} {finding.level:7}  "
    first, *more = _wrapped(f"{finding.check}: {printable(finding.text, TEXT_MAX)}", width - len(mark))
    click.echo(click.style(mark, fg=COLOURS[finding.level]) + first)
    for line in more:
        click.echo(" " * len(mark) + line)
    for line in _wrapped(finding.why, width - len(INDENT)):
        click.echo(INDENT + line)
    for remedy in finding.remedy:
        for line in _remedy_lines(printable(remedy, TEXT_MAX), width - len(INDENT)):
            click.secho(INDENT + line, fg="cyan")


def _remedy_lines(remedy: str, width: int) -> list[str]:
    """A command is never broken, so that it can be copied."""
    return _wrapped(remedy, width, "# ") if remedy.startswith("# ") else [remedy]


def _wrapped(text: str, width: int, prefix: str = "") -> list[str]:
    """Lines of at most `width`, the `prefix` in front of all but the first."""
    return textwrap.wrap(text, max(width, 20), subsequent_indent=prefix, break_long_words=False, break_on_hyphens=False)


def _summary(counts: Mapping[Level, int]) -> str:
    """`9 ok, 1 warning, 0 errors`, each in its colour unless there are none."""
    told = {level: f"{counts[level]} ok" if level is Level.OK else count(counts[level], level) for level in Level}
    return ", ".join(click.style(text, fg=COLOURS[level]) if counts[level] else text for level, text in told.items())
