"""`reconciler doctor`."""

import json
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from reconciler.control.settings import Settings
from reconciler.doctor.checks import examine
from reconciler.doctor.collect import collect
from reconciler.doctor.finding import Finding, Verdict
from reconciler.spec.text import printable

MARKS = {Verdict.GOOD: "✓", Verdict.COULD_BE_BETTER: "!", Verdict.WRONG: "✗"}
COLOURS = {Verdict.GOOD: "green", Verdict.COULD_BE_BETTER: "yellow", Verdict.WRONG: "red"}

WIDTH_MAX = 100
INDENT = " " * 4
TEXT_MAX = 2000

Findings = Mapping[str, tuple[Finding, ...]]


@click.command(short_help="Check what can go wrong around the sandboxes; change nothing.")
@click.option("-o", "output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def doctor(settings: Settings, output: str) -> None:
    """Check the engine, the kernel, the network, the disk and the files; change nothing.

    Run it as the user who runs the controller; the firewall's rules are shown to root alone.
    Exit code 0: nothing is wrong; 1: something is.

    \b
    Examples:
      sudo reconciler doctor
      reconciler --policy /etc/reconciler/policy.yaml doctor -o json | jq .counts
    """
    findings = examine(collect(settings))
    counts = Counter(finding.verdict for group in findings.values() for finding in group)
    if output == "json":
        click.echo(json.dumps(_as_json(findings, counts), indent=2))
    else:
        _print(findings, counts)
    sys.exit(1 if counts[Verdict.WRONG] else 0)


def _as_json(findings: Findings, counts: Mapping[Verdict, int]) -> dict[str, Any]:
    return {
        "counts": {verdict: counts[verdict] for verdict in Verdict},
        "findings": [_finding_as_json(group, finding) for group, found in findings.items() for finding in found],
    }


def _finding_as_json(group: str, finding: Finding) -> dict[str, Any]:
    return {
        "group": group,
        "check": finding.check,
        "verdict": finding.verdict,
        "text": printable(finding.text, TEXT_MAX),
        "why": finding.why,
        "mend": [printable(line, TEXT_MAX) for line in finding.remedy],
    }


def _print(findings: Findings, counts: Mapping[Verdict, int]) -> None:
    width = min(shutil.get_terminal_size().columns, WIDTH_MAX)
    for group, found in findings.items():
        click.secho(group, bold=True)
        for finding in found:
            _print_finding(finding, width)
        click.echo()
    click.echo(_summary(counts))


def _print_finding(finding: Finding, width: int) -> None:
    mark = f"  {MARKS[finding.verdict]} {finding.verdict:15}  "
    first, *more = _wrapped(f"{finding.check}: {printable(finding.text, TEXT_MAX)}", width - len(mark))
    click.echo(click.style(mark, fg=COLOURS[finding.verdict]) + first)
    for line in more:
        click.echo(" " * len(mark) + line)
    for line in _wrapped(finding.why, width - len(INDENT)):
        click.echo(INDENT + line)
    for remedy in finding.remedy:
        for line in _mend_lines(printable(remedy, TEXT_MAX), width - len(INDENT)):
            click.secho(INDENT + line, fg="cyan")


def _mend_lines(remedy: str, width: int) -> list[str]:
    """A command is never broken, so that it can be copied."""
    return _wrapped(remedy, width, "# ") if remedy.startswith("# ") else [remedy]


def _wrapped(text: str, width: int, prefix: str = "") -> list[str]:
    """Lines of at most `width`, the `prefix` in front of all but the first."""
    return textwrap.wrap(text, max(width, 20), subsequent_indent=prefix, break_long_words=False, break_on_hyphens=False)


def _summary(counts: Mapping[Verdict, int]) -> str:
    """Colours only what there is."""
    told = {verdict: f"{counts[verdict]} {verdict}" for verdict in Verdict}
    return ", ".join(click.style(text, fg=COLOURS[key]) if counts[key] else text for key, text in told.items())
