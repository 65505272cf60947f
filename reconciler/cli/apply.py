"""`reconciler apply`."""

import sys
from collections import defaultdict

import click

from reconciler.cli.status import as_declared, print_problems, sentence
from reconciler.control.controller import Controller
from reconciler.control.settings import Settings
from reconciler.control.surroundings import Surroundings
from reconciler.control.wake import on_signals
from reconciler.engine.docker import DockerEngine
from reconciler.model.plan import Outcome
from reconciler.model.text import printable
from reconciler.report.store import Store


@click.command(short_help="Converge once, and say what was done.")
@click.option("--timeout", default=300.0, show_default=True, metavar="SECONDS", help="Give up waiting after this time.")
@click.pass_obj
def apply(settings: Settings, timeout: float) -> None:
    """Converge once, and say per sandbox what was done.

    Waits for health checks, but not for what failed to be tried again. Exit code 0: all is as declared; 1: something is
    not.
    """
    done: dict[str, list[Outcome]] = defaultdict(list)
    surroundings = Surroundings.real(settings, DockerEngine(settings.host, settings.instance))
    controller = Controller(surroundings, on_outcome=lambda outcome: done[outcome.lane.sandbox].append(outcome))
    on_signals(controller.tell)
    controller.apply(timeout)
    store = Store(settings.state)
    statuses = store.statuses()
    for name in sorted(statuses.keys() | done.keys() - {""}):
        actions = ", ".join(str(outcome.action) for outcome in done[name] if outcome.failure is None)
        status = statuses.get(name)
        click.echo(printable(f"{name}: {actions or 'nothing done'}; {sentence(status) if status else 'removed'}", 2000))
    told = store.controller()
    print_problems(told)
    sys.exit(0 if as_declared(told, statuses.values()) else 1)
