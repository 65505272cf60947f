"""`reconciler plan`."""

import json
import sys
import time
from collections import Counter
from typing import Any

import click

from reconciler.control.observe import Observer
from reconciler.control.settings import Settings
from reconciler.control.surroundings import draw_seed
from reconciler.desired.directory import Directory
from reconciler.engine.docker import DockerEngine
from reconciler.model.plan import Lane, Plan
from reconciler.model.text import printable
from reconciler.planning.decide import Memory, decide
from reconciler.report.store import Store


@click.command(short_help="Show what a pass would do; change nothing.")
@click.option("-o", "output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def plan(settings: Settings, output: str) -> None:
    """Show what a pass would do, field by field for a replacement; change nothing, write nothing.

    Exit code 0: nothing to do; 2: changes; 1: an error.
    """
    found = _decided(settings)
    if output == "json":
        click.echo(json.dumps(_as_json(found), indent=2))
    else:
        _print(found)
    sys.exit(0 if found.changes_nothing else 2)


def _decided(settings: Settings) -> Plan:
    now, store, policy = time.time(), Store(settings.state), settings.policy()
    desired = Directory(settings.directory).scan()
    engine = DockerEngine(settings.host, settings.instance, read_only=True)
    world = Observer(engine, settings.instance, settings.engine_socket).observe(desired, policy, now)
    controller = store.controller()
    memory = Memory(
        statuses=store.statuses(),
        directory=controller.directory_id if controller else None,
        approved=store.approved(),
        seed=draw_seed(),
    )
    return decide(desired, policy, world, memory, now)


def _print(found: Plan) -> None:
    for action in found.setup:
        click.echo(f"- {action}")
    for lane in found.lanes:
        click.echo(printable(str(lane), 2000))
        for change in lane.changes:
            click.echo(printable(f"    {change.knob}: {change.actual} -> {change.expected}", 2000))
        if lane.message and not lane.changes:
            click.echo(printable(f"    {lane.message}", 2000))
    counts = Counter(lane.verdict.lower() for lane in found.lanes)
    click.echo("Plan: " + (", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "nothing"))


def _as_json(found: Plan) -> dict[str, Any]:
    return {
        "changes": not found.changes_nothing,
        "setup": [str(action) for action in found.setup],
        "sandboxes": [_lane_as_json(lane) for lane in found.lanes],
        "withheld": {name: list(ids) for name, ids in found.withheld.containers.items()},
    }


def _lane_as_json(lane: Lane) -> dict[str, Any]:
    return {
        "name": lane.sandbox,
        "verdict": lane.verdict,
        "cause": lane.cause,
        "message": printable(lane.message, 2000),
        "actions": [str(action) for action in lane.actions],
        "changes": [{"field": change.knob, "old": change.actual, "new": change.expected} for change in lane.changes],
    }
