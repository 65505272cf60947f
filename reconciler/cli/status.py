"""`reconciler status`."""

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import click

from reconciler.cli.completion import known_names
from reconciler.cli.format.banner import LINES_MAX, banner, problem_lines
from reconciler.cli.format.details import details
from reconciler.cli.format.table import COLUMNS, ON_ANOTHER_HOST, table
from reconciler.cli.format.terminal import Line, dim, show, show_json, wrapped
from reconciler.control.settings import Settings
from reconciler.engine.address import Address
from reconciler.model.errors import StateUnusable
from reconciler.model.status import ControllerStatus, Heartbeat, SandboxStatus
from reconciler.report.store import Store


@click.command(short_help="Show the sandboxes, and what is wrong.")
@click.argument("name", required=False, shell_complete=known_names)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-w", "--watch", is_flag=True, help="Keep the table up to date on the terminal, until Ctrl-C.")
@click.pass_obj
def status(settings: Settings, name: str | None, output: str, *, watch: bool) -> None:
    """Show the sandboxes, and what is wrong, from the status files; needs no engine. With NAME, all about one sandbox.

    Exit code 0: all is as declared, or --watch was ended; 1: something is not, or the controller has died, is hung, or
    cannot write. A controller that shut down cleanly is no error: after `reconciler apply` none is running.

    \b
    Examples:
      reconciler status                     everything, what is wrong first
      reconciler status --watch             the same, kept up to date
      reconciler status hello               all about one sandbox
      reconciler status -o json             for programs, and for `plan --against`
    """
    store = Store(settings.state)
    if watch:
        _watch(store, table_alone=name is None and output == "table")
        return
    heartbeat, controller, statuses = store.heartbeat(), store.controller(), store.statuses()
    if controller is None:
        raise click.ClickException(_nothing_yet(store, heartbeat))
    if name is not None and name not in statuses:
        raise click.ClickException(f"no sandbox {name} is known; known: {', '.join(statuses) or 'none'}")
    shown = [statuses[name]] if name is not None else list(statuses.values())
    now = time.time()
    if output == "json":
        _print_json(controller, heartbeat, shown, now)
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        if name is None:
            show(*summary(controller, heartbeat, shown, now, width))
        else:
            show(*banner(controller, heartbeat, now, width), "", *details(shown[0], now, width))
    sys.exit(0 if as_declared(controller if name is None else None, shown) and heartbeat.well(now) else 1)


def as_declared(controller: ControllerStatus | None, statuses: Iterable[SandboxStatus]) -> bool:
    """Whether everything is as the files say; without a controller, only the given sandboxes are asked."""
    if controller is not None and (
        not controller.available or controller.pass_error or controller.frozen or controller.broken
    ):
        return False
    return all(status.as_declared for status in statuses)


def summary(
    controller: ControllerStatus,
    heartbeat: Heartbeat,
    statuses: list[SandboxStatus],
    now: float,
    width: int | None,
) -> list[Line]:
    """The controller, what is wrong with the whole, and the table. Without a width nothing is wrapped or cut."""
    lines = [*banner(controller, heartbeat, now, width), *problem_lines(controller, statuses, width), ""]
    remote = Address(controller.host).remote
    titles = ON_ANOTHER_HOST if remote else COLUMNS
    lines += table(statuses, now, width, titles) if statuses else ["no sandbox is declared"]
    engine = f"{controller.engine.name} {controller.engine.version}, " if controller.engine else ""
    there = f"; addresses are on {remote}, open to that host alone" if remote else ""
    last = f"instance {controller.instance}, {engine}{_slots(controller, statuses)}{there}"
    return [*lines, "", *map(dim, wrapped(last, width, lines_max=LINES_MAX) if width else [last])]


def _slots(controller: ControllerStatus, statuses: Iterable[SandboxStatus]) -> str:
    """`3 of 3 slots used: 1 running, 1 reserved for web (Backoff), 1 unmanaged (stranger)`."""
    running, reserved = len(controller.slots_used_by), controller.slots_reserved_for
    unmanaged = controller.slots_used_by_unmanaged
    used = f"{running + len(reserved) + len(unmanaged)} of {controller.limit} slots used"
    phases = {status.name: status.phase for status in statuses}
    named = [f"{name} ({phases[name]})" if name in phases else name for name in reserved]
    told = [f"{len(reserved)} reserved for {', '.join(named)}"] if reserved else []
    told += [f"{len(unmanaged)} unmanaged ({', '.join(unmanaged)})"] if unmanaged else []
    return ", ".join([f"{used}: {running} running", *told]) if told else used


def _watch(store: Store, *, table_alone: bool) -> None:
    if not table_alone or not sys.stdout.isatty():
        raise click.UsageError("--watch shows the table on a terminal, and nothing else")
    from reconciler.cli.format.live import watch  # slow to import

    def picture(width: int) -> Sequence[Line]:
        try:
            heartbeat, controller, statuses = store.heartbeat(), store.controller(), store.statuses()
        except StateUnusable as error:
            return wrapped(str(error), width, lines_max=LINES_MAX)
        if controller is None:
            return wrapped(_nothing_yet(store, heartbeat), width, lines_max=LINES_MAX)
        return summary(controller, heartbeat, list(statuses.values()), time.time(), width)

    watch(picture)


def _nothing_yet(store: Store, heartbeat: Heartbeat) -> str:
    if heartbeat.pid is None:
        return f"no controller has written to {store.directory}; start one with `reconciler run`"
    why = f": {heartbeat.unwritten_why}" if heartbeat.unwritten_why else ""
    return f"the controller (pid {heartbeat.pid}) has not written to {store.directory} yet{why}"


def _print_json(controller: ControllerStatus, heartbeat: Heartbeat, statuses: list[SandboxStatus], now: float) -> None:
    whole = {
        "controller": controller.model_dump(mode="json"),
        "heartbeat": {"alive": heartbeat.alive(now), **asdict(heartbeat)},
        "sandboxes": [status.model_dump(mode="json") for status in statuses],
    }
    show_json(whole)
