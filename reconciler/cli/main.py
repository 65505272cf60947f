"""The command `reconciler`: its options, its commands, and how errors are told."""

import importlib
import logging
import os
import re
import sys
from pathlib import Path

import click

from reconciler import __version__
from reconciler.control.settings import Settings
from reconciler.model import labels
from reconciler.model.errors import ReconcilerError
from reconciler.model.text import printable

COMMANDS = ("run", "apply", "plan", "validate", "explain", "status", "logs", "approve", "doctor", "schema")


class Commands(click.Group):
    """Each command is in the file of its name, which is read only when it is needed: a fast command stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"reconciler.cli.{cmd_name}"), cmd_name)
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default="sandboxes.d",
    envvar="RECONCILER_DIR",
    show_default=True,
    help="Directory of the YAML files that declare the sandboxes.",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path),
    envvar="RECONCILER_POLICY",
    help="Policy file of the host's owner; without one the built-in policy is in force.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default="state",
    envvar=["RECONCILER_STATE", "STATE_DIRECTORY"],
    show_default=True,
    help="Directory of the status files.",
)
@click.option(
    "--host",
    default="unix:///var/run/docker.sock",
    envvar=["RECONCILER_HOST", "DOCKER_HOST"],
    show_default=True,
    help="Address of the Docker Engine.",
)
@click.option(
    "--instance",
    default="default",
    envvar="RECONCILER_INSTANCE",
    show_default=True,
    help="Name of this controller; several share an engine without seeing each other.",
)
@click.version_option(__version__, prog_name="reconciler")
@click.pass_context
def cli(
    context: click.Context, directory: Path, policy_file: Path | None, state: Path, host: str, instance: str
) -> None:
    """Keeps the sandboxes of a Docker Engine as a directory of YAML files declares them.

    \b
    reconciler validate     are the files good?
    reconciler plan         what would happen?
    reconciler apply        let it happen once
    reconciler run          keep it so
    reconciler status       what is there, and what is wrong?

    Each option can also be given as an environment variable: RECONCILER_DIR, RECONCILER_POLICY, RECONCILER_STATE,
    RECONCILER_HOST (then DOCKER_HOST), RECONCILER_INSTANCE.
    """
    if not re.fullmatch(labels.INSTANCE_NAME, instance):
        raise click.UsageError(f"instance {instance!r} is not a name: small letters, digits and '-', a letter first")
    context.color = False if os.environ.get("NO_COLOR") else None  # None: on a terminal only
    context.obj = Settings(directory, policy_file, state, host, instance)


def main() -> None:
    """Runs a command; every error is one line on stderr and exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)-7s %(message)s", stream=sys.stderr)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    try:
        sys.exit(cli.main(prog_name="reconciler", standalone_mode=False))
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        _fail(error.format_message())
    except ReconcilerError as error:
        _fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _fail(message: str) -> None:
    for line in message.splitlines():
        click.echo(f"reconciler: {printable(line, 2000)}", err=True)
    sys.exit(1)
