"""`reconciler doctor`."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click

from reconciler.cli.format.problems import count
from reconciler.cli.format.terminal import Line, Part, Styled, bold, show, show_json, wrapped
from reconciler.control.settings import Settings
from reconciler.doctor.checks import examine
from reconciler.doctor.collect import collect
from reconciler.doctor.finding import Finding, Level

MARKS = {Level.OK: "✓", Level.WARNING: "!", Level.ERROR: "✗"}
COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}

WIDTH_MAX = 100
INDENT = " " * 4

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
        show_json(_as_json(findings, counts))
    else:
        width = min(shutil.get_terminal_size().columns, WIDTH_MAX)
        for group, found in findings.items():
            show(bold(group), *(line for finding in found for line in _lines(finding, width)), "")
        show(_summary(counts))
    sys.exit(1 if counts[Level.ERROR] else 0)


def _as_json(findings: Findings, counts: Mapping[Level, int]) -> dict[str, Any]:
    return {
        "counts": {level: counts[level] for level in Level},
        "findings": [{"group": group, **asdict(finding)} for group, found in findings.items() for finding in found],
    }


def _lines(finding: Finding, width: int) -> Iterator[Line]:
    """A command is never broken, so that it can be copied."""
    mark = f"  {MARKS[finding.level]} {finding.level:7}  "
    first, *more = _wrapped(f"{finding.check}: {finding.text}", width - len(mark))
    yield Styled(mark, COLOURS[finding.level]), first
    yield from (" " * len(mark) + line for line in more)
    if finding.why:
        yield from (INDENT + line for line in _wrapped(finding.why, width - len(INDENT)))
    for remedy in finding.remedy:
        is_comment = remedy.startswith("# ")
        lines = _wrapped(remedy, width - len(INDENT), "# ") if is_comment else [remedy]
        yield from (Styled(INDENT + line, "cyan") for line in lines)


def _wrapped(text: str, width: int, hanging: str = "") -> list[str]:
    return wrapped(text, max(width, 20), hanging=hanging, whole_words=True)


def _summary(counts: Mapping[Level, int]) -> list[Part]:
    """`9 ok, 1 warning, 0 errors`, each in its colour unless there are none."""
    told = {level: f"{counts[level]} ok" if level is Level.OK else count(counts[level], level) for level in Level}
    parts = [Styled(text, COLOURS[level]) if counts[level] else text for level, text in told.items()]
    return [piece for part in parts for piece in (part, ", ")][:-1]
