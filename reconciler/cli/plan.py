"""`reconciler plan`."""

import secrets
import shutil
import sys
import time
from typing import TextIO

import click
from pydantic import ValidationError

from reconciler.cli.format import plan_markdown, plan_text
from reconciler.cli.format.plan_entries import as_json, changes, entries, note, summary
from reconciler.cli.format.terminal import bold, show, show_json
from reconciler.control.read import read_once
from reconciler.control.settings import Settings
from reconciler.model.desired import Desired
from reconciler.model.plan import Plan
from reconciler.model.status import Saved
from reconciler.planning.offline import plan_from
from reconciler.sources.directory import Directory

WIDTH_MAX = 120
MARKDOWN_MAX = 16_000
"""Characters of a line: a row of a table is one."""


@click.command(short_help="Show what a pass would do; change nothing.")
@click.option("-o", "output", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.option(
    "--against",
    type=click.File(encoding="utf-8"),
    metavar="STATUS",
    help="Compare with a saved `reconciler status -o json` (`-`: stdin) instead of an engine.",
)
@click.pass_obj
def plan(settings: Settings, output: str, against: TextIO | None) -> None:
    """Show what a pass would do to each sandbox and why, field by field; change nothing, write nothing.

    Values of environment are never shown, only that they change. Exit code 0: nothing to do, or not
    before git is done; 2: changes; 1: an error, or a file is invalid or refused, whatever else there is to do.

    \b
    --against needs no engine, so that a plan can be shown before a merge:
        reconciler status -o json > status.json         where the controller runs
        reconciler --policy FILE plan --against status.json -o markdown

    The policy must be the host's own; the instance is the one that was saved. Volumes are compared by name: one
    behind a symbolic link on the host seems to change. Values of environment are not saved, so they are not compared.
    Changes made to a container since then are unknown.

    -o markdown is for a comment in a pull request. -o json has everything:

    \b
        summary    the last line of the text
        changes    whether anything would be done now
        waits      why nothing is done until git is done; empty when nothing waits
        unseen     what this plan does not compare; empty when it compares all
        setup      what is done first, for all
        sandboxes  of each: name, verdict, cause, why, message, actions,
                   changes (field, old, new; of environment only what happens),
                   problems (file, line, column, message, hint, rule), and
                   retry_at (seconds since the epoch; 0: never)
        ignored    the problems of files with names that no sandbox can have
        pending_approval
                   containers whose removal needs approval, by sandbox

    \b
    Examples:
      reconciler plan
      reconciler plan -o json | jq .changes
    """
    now = time.time()
    found, desired = _against_engine(settings) if against is None else _against_saved(settings, against, now)
    if output == "json":
        show_json(as_json(found, desired, now))
    else:
        _print(found, desired, now, markdown=output == "markdown")
    if desired.ignored or any(planned.problems for planned in found.sandboxes):
        sys.exit(1)
    sys.exit(2 if changes(found, desired) else 0)


def _against_engine(settings: Settings) -> tuple[Plan, Desired]:
    """Against the engine. Imports here, since docker-py is slow to import."""
    from reconciler.control.clock import SystemClock
    from reconciler.control.reconcile import reconcile_once
    from reconciler.engine.docker.client import DockerEngine

    engine = DockerEngine(settings.address, settings.instance, read_only=True)
    cycle = reconcile_once(settings, engine, SystemClock())
    return cycle.plan, cycle.reading.desired


def _against_saved(settings: Settings, against: TextIO, now: float) -> tuple[Plan, Desired]:
    """Against a saved status."""
    reading = read_once(settings.policy, Directory(settings.directory).scan)
    try:
        saved = Saved.model_validate_json(against.read())
    except (ValidationError, UnicodeDecodeError):
        raise click.ClickException(
            f"{against.name} is not a saved status: save one with `reconciler status -o json`"
        ) from None
    if not saved.controller.available:
        raise click.ClickException(f"{against.name} does not say what ran: it was saved while no engine answered")
    if len(saved.sandboxes) < sum(saved.controller.counts.values()):
        raise click.ClickException(f"{against.name} does not hold all sandboxes: save `reconciler status -o json`")
    if saved.controller.policy_file and settings.policy_file is None:
        show("the saved controller has a policy file, this plan has none: give it with --policy", err=True)
    return plan_from(saved, reading.desired, reading.policy, secrets.token_bytes(), now), reading.desired


def _print(found: Plan, desired: Desired, now: float, *, markdown: bool) -> None:
    told, last, first = entries(found, desired, now), summary(found, desired), note(found, desired)
    if markdown:
        show(*plan_markdown.lines(told, last, first), text_max=MARKDOWN_MAX)
    else:
        show(*plan_text.lines(told, min(shutil.get_terminal_size().columns, WIDTH_MAX), first), bold(last))
