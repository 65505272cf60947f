"""`reconciler logs`."""

import codecs
from collections.abc import Iterable, Iterator

import click

from reconciler.control.settings import Settings
from reconciler.engine.docker import DockerEngine
from reconciler.model.text import printable
from reconciler.report.store import Store

LINE_MAX = 16 * 1024
"""A longer line is shown in pieces."""


@click.command(short_help="Show the output of a sandbox.")
@click.argument("name")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.pass_obj
def logs(settings: Settings, name: str, tail: int | None, follow: bool) -> None:
    """Show the output of a sandbox, its control characters escaped."""
    status = Store(settings.state).statuses().get(name)
    if status is None or not status.container_id:
        raise click.ClickException(f"no sandbox {name} with a container is known; see `reconciler status`")
    engine = DockerEngine(settings.host, settings.instance, read_only=True)
    for line in _lines(engine.logs(status.container_id, tail=tail, follow=follow)):
        click.echo(printable(line, LINE_MAX))


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + decoder.decode(piece)).split("\n")
        yield from whole
        while len(rest) > LINE_MAX:
            yield rest[:LINE_MAX]
            rest = rest[LINE_MAX:]
    if rest:
        yield rest
