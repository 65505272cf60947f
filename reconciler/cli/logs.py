"""`reconciler logs`."""

import re
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click

from reconciler.cli.completion import known_names
from reconciler.cli.format.terminal import dim, show
from reconciler.control.settings import Settings
from reconciler.model.output import GAP
from reconciler.report.sandbox_log import Line, LogReader
from reconciler.report.store import Store
from reconciler.spec.mistake import Mistake
from reconciler.spec.units import parse_duration

LINE_MAX = 16 * 1024
LOOK_SECONDS = 0.2
MILLISECONDS = len("2026-11-23T16:17:21.540")


@click.command(short_help="Show the output of a sandbox.")
@click.argument("name", shell_complete=known_names)
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("-f", "--follow", is_flag=True, help="Follow new output, also across restarts, until Ctrl-C.")
@click.option("--since", metavar="TIME", help="Only output since: `10m` ago, or `2026-11-23T16:00:00Z`.")
@click.option("--raw", is_flag=True, help="The bytes as the sandbox wrote them: no times, nothing escaped.")
@click.pass_obj
def logs(settings: Settings, name: str, *, tail: int | None, follow: bool, since: str | None, raw: bool) -> None:
    """Show the output of a sandbox, also of a removed one, with the engine's time of each line, in UTC.

    Reads the log files of the controller; needs no engine. Control characters are escaped unless `--raw`.
    Exit code 1: there is no output of that name.

    \b
    Examples:
      reconciler logs hello --tail 20 -f                      the last lines, then new ones
      reconciler logs hello --since 1h30m --raw > hello.txt   the bytes themselves
    """
    store = Store(settings.state)
    file = store.logs / f"{name}.log"
    while name in store.names() and not file.exists():
        if not follow:
            show(f"{name} has no output yet", err=True)
            return
        time.sleep(LOOK_SECONDS)
    begin = b"" if since is None else _moment(since)
    print_line = _show_raw if raw else _show
    try:
        with LogReader(file) as reader:
            for line in deque(_from(begin, reader), tail):
                print_line(line)
            while follow:
                time.sleep(LOOK_SECONDS)
                for line in _from(begin, reader):
                    print_line(line)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        known = ", ".join(sorted(path.stem for path in store.logs.glob("*.log")))
        raise click.ClickException(f"no output of {name} is known; known: {known or 'none'}") from error


def _from(begin: bytes, reader: LogReader) -> Iterator[Line]:
    return (line for line in reader.more() if line.at >= begin)


def _show(line: Line) -> None:
    at = dim(f"{line.at[:MILLISECONDS].decode()}Z")
    show((at, " ", line.text.decode(errors="replace")), text_max=LINE_MAX)


def _show_raw(line: Line) -> None:
    if line.stream != GAP:
        click.echo(line.text, nl=line.whole)  # noqa: TID251 - the bytes as they are


def _moment(since: str) -> bytes:
    """The beginning, as it is written in the log."""
    if re.match(r"\d{4}-", since):
        try:
            moment = datetime.fromisoformat(since)
        except ValueError as error:
            raise click.BadParameter(f"{since!r} is no time ({error})", param_hint="--since") from error
        moment = moment.astimezone(UTC)
    else:
        try:
            moment = datetime.now(UTC) - timedelta(seconds=parse_duration(since))
        except Mistake as mistake:
            raise click.BadParameter(str(mistake), param_hint="--since") from mistake
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}".encode()
