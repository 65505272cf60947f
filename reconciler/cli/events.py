"""`reconciler events`."""

import time
from collections import deque
from collections.abc import Iterator
from datetime import datetime

import click

from reconciler.cli.completion import known_names
from reconciler.cli.format.terminal import Style, dim, red, show, show_json, yellow
from reconciler.control.settings import Settings
from reconciler.model.status import JournalEntry
from reconciler.report.journal import JournalReader

LOOK_SECONDS = 0.2
STYLES: dict[str, Style] = {"ok": str, "refused": yellow}
"""By the result; everything else has failed."""


@click.command(short_help="Show what was done, refused, or failed.")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=known_names)
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N.")
@click.option("-f", "--follow", is_flag=True, help="Follow what happens, until Ctrl-C.")
@click.option("-o", "output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def events(settings: Settings, names: tuple[str, ...], output: str, *, tail: int | None, follow: bool) -> None:
    """Show every action of the controller, every refusal and each change of health, also of removed sandboxes.

    Reads journal.jsonl; needs no engine. With names, only what concerns these sandboxes. `-o json` has one object a
    line, with all that is known. Exit code 1: there is nothing to show.

    \b
    Examples:
      reconciler events --tail 20 -f             the last ones, then what happens
      reconciler events hello -o json | jq .cause
    """

    def more(journal: JournalReader) -> Iterator[JournalEntry]:
        return (entry for entry in journal.more() if not names or entry.sandbox in names)

    tell = _show_json if output == "json" else show_event
    try:
        with JournalReader(settings.state / "journal.jsonl") as journal:
            found = deque(more(journal), tail)
            for entry in found:
                tell(entry)
            while follow:
                time.sleep(LOOK_SECONDS)
                for entry in more(journal):
                    tell(entry)
    except FileNotFoundError:
        found = deque()
    if not found:
        raise click.ClickException(f"no event{' of ' * bool(names)}{', '.join(names)} is known in {settings.state}")


def show_event(entry: JournalEntry) -> None:
    """In one line, for people."""
    at = datetime.fromtimestamp(entry.at).astimezone()
    show((dim(f"{at:%Y-%m-%d %H:%M:%S}"), " ", STYLES.get(entry.result, red)(entry.sentence)))


def _show_json(entry: JournalEntry) -> None:
    show_json(entry.model_dump(mode="json"), indent=None)
