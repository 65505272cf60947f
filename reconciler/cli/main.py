"""The command `reconciler`: its options, its commands, and how errors are told."""

import importlib
import os
import re
import sys
import traceback
from collections.abc import Mapping
from copy import copy
from difflib import get_close_matches
from functools import partial
from keyword import iskeyword
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from reconciler import __version__
from reconciler.cli.format.terminal import show
from reconciler.cli.log_format import FORMATS, LEVELS, log_to_stderr
from reconciler.control.settings import Settings
from reconciler.model import labels
from reconciler.model.errors import ReconcilerError

OPTIONS = {
    "Files": ("directory", "policy_file", "state"),
    "Engine": ("host", "registry_config", "instance", "source", "adopted"),
    "Log": ("log_format", "log_level"),
}
"""How the help groups them."""

REQUESTS = ("restart", "retry", "down")
"""They are in one file; each other command is in that of its name."""

COMMANDS = (
    *("run", "apply", "plan", "validate", "import", "explain", "status", "logs", "events"),
    *REQUESTS,
    *("approve", "doctor", "schema", "systemd"),
)


class Source(click.types.StringParamType):
    """The name of a source, which may have blanks in it: of several in one variable, each has a line."""

    def split_envvar_value(self, rv: str) -> list[str]:
        return [line for line in rv.splitlines() if line]


class OfAllCommands(click.Option):
    """An option that stands before the command or after it, where it outdoes the same one before."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The help of a single command leaves it out."""
        return None if ctx.parent else super().get_help_record(ctx)

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """After the command, it changes what was made of those before, and is no argument of the command's own."""
        found = super().handle_parse_result(ctx, opts, args)
        if ctx.parent and self.name and cli.callback:
            value = ctx.params.pop(self.name)
            if ctx.get_parameter_source(self.name) is ParameterSource.COMMANDLINE:
                ctx.parent.params[self.name] = value
                ctx.parent.invoke(cli.callback, **ctx.parent.params)
                ctx.obj = ctx.parent.obj
        return found


option = partial(click.option, cls=OfAllCommands)


class Commands(click.Group):
    """The file of a command is read only when it is needed: a fast command stays fast."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, then the options by what they are about."""
        self.format_commands(ctx, formatter)
        left = {option.name: record for option in self.get_params(ctx) if (record := option.get_help_record(ctx))}
        for title, names in OPTIONS.items():
            with formatter.section(title):
                formatter.write_dl([left.pop(name) for name in names])
        with formatter.section("Other options"):
            formatter.write_dl(list(left.values()))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        module = importlib.import_module(f"reconciler.cli.{'requests' if name in REQUESTS else name}")
        command: click.Command = copy(getattr(module, name))
        command.params = [*command.params, *(one for one in self.params if isinstance(one, OfAllCommands))]
        command.epilog = "Options of all commands: `reconciler --help`."
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """With the nearest command, where there is none of that name."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see `reconciler --help`"
            raise click.UsageError(f"no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@option(
    "--dir",
    "directory",
    type=click.Path(readable=False, path_type=Path),
    metavar="DIR",
    default="sandboxes.d",
    envvar="RECONCILER_DIR",
    show_default=True,
    help="Directory of the YAML files that declare the sandboxes.",
)
@option(
    "--policy",
    "policy_file",
    type=click.Path(readable=False, path_type=Path),
    metavar="FILE",
    envvar="RECONCILER_POLICY",
    help="Policy file of the host's owner; without one the built-in policy is in force.",
)
@option(
    "--state",
    type=click.Path(readable=False, path_type=Path),
    metavar="DIR",
    default="state",
    envvar=["RECONCILER_STATE", "STATE_DIRECTORY"],
    show_default=True,
    help="Directory of the status files.",
)
@option(
    "--host",
    metavar="URL",
    default="",
    envvar="RECONCILER_HOST",
    help="Address of the Docker Engine, such as ssh://HOST; by default where the Docker CLI finds it.",
)
@option(
    "--registry-config",
    type=click.Path(readable=False, path_type=Path),
    metavar="FILE",
    envvar="RECONCILER_REGISTRY_CONFIG",
    help="Credentials for registries, as the Docker CLI writes them; by default its own config.json.",
)
@option(
    "--instance",
    metavar="NAME",
    default="default",
    envvar="RECONCILER_INSTANCE",
    show_default=True,
    help="Name of this controller; several share an engine without seeing each other.",
)
@option(
    "--source",
    metavar="NAME",
    default="",
    envvar="RECONCILER_SOURCE",
    help="Whose sandboxes these are; by default this host's, and those of the directory as it is named.",
)
@option(
    "--adopt",
    "adopted",
    type=Source(),
    metavar="SOURCE",
    multiple=True,
    envvar="RECONCILER_ADOPT",
    help="Take over the sandboxes of another source, by replacing them a few at a time.",
)
@option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="plain",
    envvar="RECONCILER_LOG_FORMAT",
    show_default=True,
    help="The log on stderr: for people and journald, or one JSON object a line.",
)
@option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="info",
    envvar="RECONCILER_LOG_LEVEL",
    show_default=True,
    metavar="LEVEL",
    help=f"What is logged: {', '.join(LEVELS)}.",
)
@click.version_option(__version__, prog_name="reconciler")
@click.pass_context
def cli(
    context: click.Context,
    directory: Path,
    policy_file: Path | None,
    state: Path,
    host: str,
    registry_config: Path | None,
    instance: str,
    source: str,
    adopted: tuple[str, ...],
    log_format: str,
    log_level: str,
) -> None:
    """Keeps the sandboxes of a Docker Engine as declared in a directory of YAML files.

    \b
    reconciler validate     are the files valid?
    reconciler plan         what would happen?
    reconciler apply        do it once
    reconciler run          do it continuously
    reconciler status       what is there, and what is wrong?
    reconciler doctor       what can go wrong around it?

    Each option stands before the command or after it, and can also be an environment variable: RECONCILER_DIR,
    RECONCILER_POLICY, RECONCILER_STATE, RECONCILER_HOST, RECONCILER_REGISTRY_CONFIG, RECONCILER_INSTANCE,
    RECONCILER_SOURCE, RECONCILER_ADOPT (a source a line), RECONCILER_LOG_FORMAT, RECONCILER_LOG_LEVEL.

    \b
    Completion in bash, by this line in ~/.bashrc (in zsh with zsh_source):
      eval "$(_RECONCILER_COMPLETE=bash_source reconciler)"
    """
    if not re.fullmatch(labels.INSTANCE_NAME, instance):
        raise click.UsageError(f"instance {instance!r} is not a name: small letters, digits and '-', a letter first")
    log_to_stderr(log_format, log_level)
    context.color = False if os.environ.get("NO_COLOR") else None  # None: on a terminal only
    context.obj = Settings(directory, policy_file, state, host, instance, source, adopted, registry_config)


def main() -> None:
    """Runs a command; every error is printed on stderr, with exit code 1."""
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
    except Exception:
        _fail(f"internal error; please report it with these lines\n{traceback.format_exc()}")


def _fail(message: str) -> None:
    for line in message.splitlines():
        show(f"reconciler: {line}", err=True)
    sys.exit(1)
