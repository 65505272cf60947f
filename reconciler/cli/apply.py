"""`reconciler apply`."""

import logging
import sys
import time
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext

import click

from reconciler.cli.format.banner import problems
from reconciler.cli.format.table import UNDER_WAY, addresses, explanation, table
from reconciler.cli.format.terminal import Line, show
from reconciler.cli.status import as_declared
from reconciler.control import status_writer
from reconciler.control.controller import Controller
from reconciler.control.dependencies import Dependencies
from reconciler.control.settings import Settings
from reconciler.control.signals import on_signals
from reconciler.engine.docker.client import DockerEngine
from reconciler.model.plan import Outcome
from reconciler.model.status import SandboxStatus
from reconciler.report.store import Store


@click.command(short_help="Converge once and print what was done.")
@click.option("--timeout", default=300.0, show_default=True, metavar="SECONDS", help="Give up waiting after this time.")
@click.pass_obj
def apply(settings: Settings, timeout: float) -> None:
    """Converge once and print what was done for each sandbox.

    Waits for health checks, but not for retries of what failed. Exit code 0: all is as declared; 1: something is
    not.

    \b
    Examples:
      reconciler apply                 do what `reconciler plan` shows
      reconciler apply --timeout 60    give up waiting after a minute
    """
    done = defaultdict[str, list[Outcome]](list)
    dependencies = Dependencies.real(settings, DockerEngine(settings.address, settings.instance, settings.registries))
    controller = Controller(dependencies, on_outcome=lambda outcome: done[outcome.planned.sandbox].append(outcome))
    on_signals(controller.tell)
    _log_only_what_is_not_told_here()
    store = Store(settings.state)
    with _shown_meanwhile(store):
        controller.apply(timeout)
    told, statuses, heartbeat = controller.status, controller.statuses, store.heartbeat()
    for name in sorted(statuses.keys() | done.keys() - {""}):
        actions = ", ".join(str(outcome.action) for outcome in done[name] if outcome.failure is None)
        status = statuses.get(name)
        show(f"{name}: {actions or 'nothing done'}; {_sentence(status) if status else 'removed'}")
    show(*problems(told, statuses.values()), err=True)
    if heartbeat.unwritten_why:
        show(f"cannot write to {store.directory}: {heartbeat.unwritten_why}", err=True)
    sys.exit(0 if as_declared(told, statuses.values()) and not heartbeat.unwritten_why else 1)


def _log_only_what_is_not_told_here() -> None:
    """Unless somebody wants to see everything."""
    log = logging.getLogger("reconciler")
    if not log.isEnabledFor(logging.DEBUG):
        log.setLevel(max(log.level, logging.WARNING))
        logging.getLogger(status_writer.__name__).setLevel(logging.ERROR)


def _sentence(status: SandboxStatus) -> str:
    return " ".join(filter(None, [status.phase, addresses(status), explanation(status)]))


def _shown_meanwhile(store: Store) -> AbstractContextManager[None]:
    """On a terminal, what is under way."""
    if not sys.stderr.isatty():
        return nullcontext()
    from reconciler.cli.format.live import shown_meanwhile  # slow to import, and needed for people only

    def picture(width: int) -> list[Line]:
        under_way = [status for status in store.statuses().values() if status.phase in UNDER_WAY]
        return table(under_way, time.time(), width) if under_way else ["reading the directory and the engine"]

    return shown_meanwhile(picture)
