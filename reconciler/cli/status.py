"""`reconciler status`."""

import json
import sys
import time
from collections.abc import Iterable
from datetime import timedelta

import click

from reconciler.control.settings import Settings
from reconciler.model.status import ConditionType, ControllerStatus, SandboxStatus
from reconciler.model.text import printable
from reconciler.report.store import Store

COLUMNS = ("NAME", "PHASE", "READY", "ADDRESS", "RESTARTS", "AGE", "MESSAGE")


@click.command(short_help="Show what is there, and what is wrong.")
@click.argument("name", required=False)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def status(settings: Settings, name: str | None, output: str) -> None:
    """Show what is there, and what is wrong, from the status files; needs no engine.

    Exit code 0: all is as declared; 1: something is not.
    """
    store = Store(settings.state)
    controller, statuses = store.controller(), store.statuses()
    if controller is None:
        raise click.ClickException(f"no controller has written to {settings.state}; begin with `reconciler run`")
    if name is not None and name not in statuses:
        raise click.ClickException(f"no sandbox {name} is known; known: {', '.join(statuses) or 'none'}")
    shown = [statuses[name]] if name is not None else list(statuses.values())
    if output == "json":
        _print_json(controller, shown)
    elif name is not None:
        _print_one(statuses[name])
    else:
        _print_table(controller, shown)
    sys.exit(0 if as_declared(controller if name is None else None, shown) else 1)


def as_declared(controller: ControllerStatus | None, statuses: Iterable[SandboxStatus]) -> bool:
    """Whether everything is as the files say; without a controller, only the given sandboxes are asked."""
    if controller is not None and (
        not controller.available or controller.pass_error or controller.frozen or controller.broken
    ):
        return False
    return all(ready(status) for status in statuses)


def ready(status: SandboxStatus) -> bool:
    return any(condition.type is ConditionType.READY and condition.status for condition in status.conditions)


def sentence(status: SandboxStatus) -> str:
    """Phase, address and message on one line."""
    return " ".join(filter(None, [status.phase, _address(status), _message(status)]))


def print_problems(controller: ControllerStatus | None) -> None:
    """What is wrong with the whole, a line each, on stderr."""
    if controller is None:
        return
    lines = [problem for problems in controller.broken.values() for problem in problems]
    if not controller.available:
        lines.append(f"the engine is not available: {controller.unavailable_reason}")
    if controller.pass_error:
        lines.append(f"the last pass failed: {controller.pass_error}")
    if controller.policy_error:
        lines.append(f"the last good policy is in force: {controller.policy_error}")
    if controller.frozen:
        lines.append(f"removals are withheld: {controller.frozen_reason}")
    lines += [f"foreign container, left alone: {foreign}" for foreign in controller.foreign]
    for line in lines:
        click.echo(printable(line, 2000), err=True)


def _print_json(controller: ControllerStatus, statuses: list[SandboxStatus]) -> None:
    whole = {
        "controller": controller.model_dump(mode="json"),
        "sandboxes": [status.model_dump(mode="json") for status in statuses],
    }
    click.echo(json.dumps(whole, indent=2))


def _print_one(status: SandboxStatus) -> None:
    for key, value in status.model_dump(mode="json", exclude={"conditions"}).items():
        click.echo(printable(f"{key + ':':16}{value}", 2000))
    for condition in status.conditions:
        answer = "yes" if condition.status else "no"
        click.echo(printable(f"{condition.type + ':':16}{answer}, {condition.reason} {condition.message}", 2000))


def _print_table(controller: ControllerStatus, statuses: list[SandboxStatus]) -> None:
    rows = [COLUMNS, *map(_row, sorted(statuses, key=lambda status: (ready(status), status.name)))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    engine = controller.engine
    if controller.available and engine:
        held = f"{len(controller.limit_held_by)} of {controller.limit} places held"
        click.echo(f"instance {controller.instance} on {engine.name} {engine.version}, {held}")
    print_problems(controller)


def _row(status: SandboxStatus) -> tuple[str, ...]:
    age = str(timedelta(seconds=int(time.time() - status.started_at))) if status.started_at else "-"
    return (
        status.name,
        status.phase,
        "yes" if ready(status) else "no",
        _address(status) or "-",
        str(status.restarts),
        age,
        _message(status),
    )


def _address(status: SandboxStatus) -> str:
    return ",".join(f"127.0.0.1:{port}" for port in status.ports.values()) if ready(status) else ""


def _message(status: SandboxStatus) -> str:
    """The reason says little beside the phase when all is well."""
    return printable(status.message if ready(status) else f"{status.reason}: {status.message}".removesuffix(": "))
