"""`reconciler approve`."""

import time

import click

from reconciler.control.settings import Settings
from reconciler.model.status import Approval
from reconciler.report.store import Store


@click.command(short_help="Approve the removals that wait, exactly those, once.")
@click.pass_obj
def approve(settings: Settings) -> None:
    """Approve the removals that wait: exactly those containers, once.

    Removals wait when more of them than the policy's `removals` allow come within its window, or when another directory
    is in the place of the watched one; `reconciler status` says so. They wait until they are approved or declared
    again, or the policy changes. A running controller goes on at once, otherwise the next `reconciler apply` does. Exit
    code 1: nothing waits.

    \b
    Examples:
      reconciler plan        what would be removed?
      reconciler approve     remove it
    """
    store = Store(settings.state)
    controller = store.controller()
    if controller is None or controller.pending_approval is None:
        raise click.ClickException("no removal waits for approval")
    pending_approval = controller.pending_approval.containers
    store.approve(Approval(containers=tuple(id_ for ids in pending_approval.values() for id_ in ids), at=time.time()))
    click.echo(f"approved the removal of {', '.join(pending_approval)}")
