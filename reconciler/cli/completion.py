"""What shells complete besides commands and options."""

import click

from reconciler.report.store import Store
from reconciler.sources.names import is_sandbox_name


def known_names(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """The sandboxes with a status, in the state directory that the command line asks for."""
    names = Store(context.find_root().params["state"]).names()
    return [name for name in names if name.startswith(begun) and is_sandbox_name(name)]
