"""`reconciler run`."""

import gc

import click

from reconciler.control.controller import Controller
from reconciler.control.dependencies import Dependencies
from reconciler.control.settings import Settings
from reconciler.control.signals import on_signals
from reconciler.engine.docker.client import DockerEngine


@click.command(short_help="Keep the sandboxes as declared, until stopped.")
@click.pass_obj
def run(settings: Settings) -> None:
    """Keep the sandboxes as declared, until stopped.

    Reacts at once to changed files and engine events, and resyncs once a minute. SIGHUP starts a full resync now.
    SIGTERM and Ctrl-C end it; the sandboxes keep running. `reconciler status` and journal.jsonl show what it does.

    It notifies systemd of readiness, the number of running sandboxes, and its heartbeat; `reconciler systemd` prints a
    unit. Exit code 0: it was told to stop; 1: it could not start.

    \b
    Examples:
      reconciler run
      reconciler --dir /srv/sandboxes.d --state /var/lib/reconciler run
      reconciler --log-format json run 2>> reconciler.log
    """
    controller = Controller(
        Dependencies.real(settings, DockerEngine(settings.address, settings.instance, settings.registries))
    )
    on_signals(controller.tell)
    gc.freeze()  # what was imported stays for good, and need not be looked through again and again
    controller.run()
