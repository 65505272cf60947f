"""`reconciler restart`, `reconciler retry` and `reconciler down`: what is asked of single sandboxes."""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress

import click

from reconciler.cli.completion import known_names
from reconciler.cli.events import LOOK_SECONDS, show_event
from reconciler.cli.format.terminal import show
from reconciler.control.settings import Settings
from reconciler.model.status import Ask, Request
from reconciler.report.journal import JournalReader
from reconciler.report.store import Store

ANSWER_SECONDS = 10.0
"""How long a running controller is waited for."""

names_argument = click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=known_names)


@click.command(short_help="Stop sandboxes and start them again.")
@names_argument
@click.pass_obj
def restart(settings: Settings, names: tuple[str, ...]) -> None:
    """Stop sandboxes and start them again, verified as at every start; also what has ended, or was taken down.

    Refused is what its file stops, and what is suspended, invalid or forbidden. Exit code 1: refused, or not answered.

    \b
    Examples:
      reconciler restart hello clock
    """
    _ask(settings, Ask.RESTART, names)


@click.command(short_help="Try now what has failed, without its pause.")
@names_argument
@click.pass_obj
def retry(settings: Settings, names: tuple[str, ...]) -> None:
    """Forget the failures of sandboxes, so that what rests after them is tried now.

    Refused where nothing has failed, or nothing is to be tried. Exit code 1: refused, or not answered.

    \b
    Examples:
      reconciler retry hello     the registry is back
    """
    _ask(settings, Ask.RETRY, names)


@click.command(short_help="Stop and remove sandboxes, and leave their files.")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=known_names)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def down(settings: Settings, names: tuple[str, ...], *, yes: bool) -> None:
    """Stop and remove the containers of sandboxes, of all without a name. Their files stay.

    They stay down until `reconciler restart NAME`, also when their files change or another controller begins; what is
    deleted and declared again runs. Refused is what is suspended, invalid or forbidden. Exit code 1: refused, or not
    answered.

    \b
    Examples:
      reconciler down hello
      reconciler down --yes      all of them
    """
    names = names or tuple(name for name, status in Store(settings.state).statuses().items() if status.file)
    if not yes:
        click.confirm(f"stop and remove {', '.join(names) or 'nothing'}?", abort=True)
    _ask(settings, Ask.DOWN, names)


def _ask(settings: Settings, what: Ask, names: Iterable[str]) -> None:
    """Leaves the requests, and shows what a running controller answers."""
    store, asked_at, waiting, refused = Store(settings.state), time.time(), set(names), False
    known = store.names()
    if unknown := sorted(waiting.difference(known)):
        raise click.ClickException(f"no sandbox {unknown[0]} is known; known: {', '.join(known) or 'none'}")
    for name in names:
        store.ask(name, Request(what=what, at=asked_at))
    if not store.heartbeat().alive(asked_at):
        show("no controller runs; the next `reconciler apply` or `reconciler run` does it")
        return
    deadline = time.monotonic() + ANSWER_SECONDS
    with suppress(FileNotFoundError), JournalReader(settings.state / "journal.jsonl") as journal:
        while waiting and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            for entry in journal.more():
                if entry.sandbox in waiting and entry.verdict == what.upper() and entry.at >= asked_at:
                    show_event(entry)
                    waiting.remove(entry.sandbox)
                    refused |= entry.result == "refused"
    if waiting:
        raise click.ClickException(f"no answer yet for {', '.join(sorted(waiting))}; see `reconciler events -f`")
    sys.exit(1 if refused else 0)
