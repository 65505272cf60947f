"""`reconciler run`."""

import gc

import click

from reconciler.control.controller import Controller
from reconciler.control.dependencies import Dependencies
from reconciler.control.settings import Settings
from reconciler.control.signals import on_signals
from reconciler.engine.docker.client import DockerEngine


@click.command(short_help="Keep the sandboxes as declared, until it is told to stop.")
@click.pass_obj
def run(settings: Settings) -> None:
    """Keep the sandboxes as declared, until it is told to stop.

    Reacts at once to saved files and to the engine, and looks by itself once a minute. SIGHUP asks for a full look now.
    SIGTERM and Ctrl-C end it; the sandboxes run on. What it does is in `reconciler status` and in journal.jsonl.

    A service manager that speaks systemd's protocol is told when it is ready, how many sandboxes run, and that it is
    alive; `reconciler systemd` prints a unit for it. Exit code 0: it was told to stop; 1: it could not begin.

    \b
    Examples:
      reconciler run
      reconciler --dir /srv/sandboxes.d --state /var/lib/reconciler run
      reconciler --log-format json run 2>> reconciler.log
    """
    controller = Controller(Dependencies.real(settings, DockerEngine(settings.host, settings.instance)))
    on_signals(controller.tell)
    gc.freeze()  # what was imported stays for good, and need not be looked through again and again
    controller.run()
