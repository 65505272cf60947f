"""`reconciler approve`."""

import time

import click

from reconciler.cli.format.terminal import show
from reconciler.control.settings import Settings
from reconciler.model.status import Approval
from reconciler.report.store import Store


@click.command(short_help="Approve the pending removals, exactly those, once.")
@click.pass_obj
def approve(settings: Settings) -> None:
    """Approve the pending removals: exactly those containers, once.

    Removals need approval when there are more than the policy's `removals` allows within its window, or when the
    watched directory was replaced by another one; `reconciler status` says so. They stay pending until they are
    approved, the sandboxes are declared again, or the policy changes. A running controller continues at once, otherwise
    the next `reconciler apply` does. Exit code 1: no removal is pending.

    \b
    Examples:
      reconciler plan        what would be removed?
      reconciler approve     remove it
    """
    store = Store(settings.state)
    controller = store.controller()
    if controller is None or controller.pending_approval is None:
        raise click.ClickException("no removal is pending approval")
    pending_approval = controller.pending_approval.containers
    store.approve(Approval(containers=tuple(id_ for ids in pending_approval.values() for id_ in ids), at=time.time()))
    show(f"approved the removal of {', '.join(pending_approval)}")
