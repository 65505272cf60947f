"""`reconciler systemd`."""

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import click
from click.core import ParameterSource

from reconciler.cli.format.terminal import show
from reconciler.control.settings import Settings
from reconciler.spec.text import PATH_MAX, printable

UNIT = """\
# /etc/systemd/system/{name}.service

[Unit]
Description=Sandboxes as declared in {directory}
{order}
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# Longer than a pass takes over an engine that hardly answers.
WatchdogSec=3min
TimeoutStartSec=3min
Restart=always
RestartSec=5
SyslogIdentifier={name}

# The engine's socket is as good as root; all else is taken away, so that a fault here does no harm by other ways.
DynamicUser=yes
{group}# Sandboxes, the policy and the sources of volumes may be readable for their owners only.
AmbientCapabilities=CAP_DAC_READ_SEARCH
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
NoNewPrivileges=yes

{directories}
UMask=0027
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
# Neither ProtectProc= nor ProcSubset=: what is really mounted in a sandbox, its cgroup and its rights are in the
# /proc/PID of its processes, and whether neighbours on a bridge are kept apart is a setting in /proc/sys.

# Credentials for registries from systemd, such as encrypted ones; a new file counts after a restart.
# LoadCredential=registries:/etc/{name}/registries.json
# Environment=RECONCILER_REGISTRY_CONFIG=%d/registries

{network}
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""

ENGINE_ON_THIS_HOST = {
    "order": "Wants=docker.service\nAfter=docker.service",
    "group": "SupplementaryGroups=docker\n",
    "network": "RestrictAddressFamilies=AF_UNIX\nIPAddressDeny=any",
}
ENGINE_ELSEWHERE = {
    "order": "Wants=network-online.target\nAfter=network-online.target",
    "group": "",
    "network": "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
}

CONFIGURATIONS = Path("/etc")
STATES = Path("/var/lib")


@click.command(short_help="Print a unit for systemd.")
@click.pass_context
def systemd(context: click.Context) -> None:
    """Print a unit that keeps `reconciler run` going under systemd, 252 or later.

    It runs this installation of the command, with the options that are given before `systemd`. What is not given is
    /etc/reconciler/sandboxes.d, /etc/reconciler/policy.yaml and /var/lib/reconciler; for an instance other than
    `default`, the same in /etc/reconciler-INSTANCE and /var/lib/reconciler-INSTANCE. The command must be installed
    where everybody may run it, and a volume's source cannot be in /tmp.

    \b
    Examples:
      reconciler systemd > /etc/systemd/system/reconciler.service
      systemctl daemon-reload
      systemctl enable --now reconciler
      systemctl reload reconciler       look at everything now
      systemctl status reconciler       how many run, and does the engine answer?
    """
    settings: Settings = context.obj
    name = "reconciler" if settings.instance == "default" else f"reconciler-{settings.instance}"
    show(*_unit(name, _placed(name, settings, context.find_root())).splitlines(), text_max=2 * PATH_MAX)


def _placed(name: str, settings: Settings, asked: click.Context) -> Settings:
    """What was asked for, and for what was not, where services have it; all paths are absolute."""

    def place(option: str, given: Path | None, usual: Path) -> Path:
        was_given = asked.get_parameter_source(option) is not ParameterSource.DEFAULT
        return given.absolute() if given and was_given else usual

    return replace(
        settings,
        directory=place("directory", settings.directory, CONFIGURATIONS / name / "sandboxes.d"),
        policy_file=place("policy_file", settings.policy_file, CONFIGURATIONS / name / "policy.yaml"),
        state=place("state", settings.state, STATES / name),
        registry_config=settings.registry_config and settings.registry_config.absolute(),
    )


def _unit(name: str, settings: Settings) -> str:
    if STATES not in settings.state.parents or ".." in settings.state.parts:
        raise click.UsageError(f"a service has its state in {STATES}; leave out --state, or give {STATES / name}")
    options = [
        ("--dir", settings.directory),
        ("--policy", settings.policy_file),
        ("--state", settings.state),
        ("--host", settings.address.url),
        ("--instance", settings.instance),
        *([("--registry-config", settings.registry_config)] if settings.registry_config else []),
        *([("--source", settings.source)] if settings.source else []),
        *(("--adopt", source) for source in settings.adopted),
    ]
    words = [_word(_installed()), *(f"{option} {_word(value)}" for option, value in options), "run"]
    directories = [f"StateDirectory={_word(settings.state.relative_to(STATES))}"]
    if settings.directory.is_relative_to(CONFIGURATIONS / name):
        directories.append(f"ConfigurationDirectory={_word(settings.directory.relative_to(CONFIGURATIONS))}")
    if certificates := settings.address.certificates:
        directories += ["Environment=DOCKER_TLS_VERIFY=1", f"Environment={_word(f'DOCKER_CERT_PATH={certificates}')}"]
    return UNIT.format(
        **(ENGINE_ON_THIS_HOST if settings.address.socket else ENGINE_ELSEWHERE),
        name=name,
        directory=str(settings.directory).replace("%", "%%"),
        command=" \\\n    ".join(words).replace("$", "$$"),
        directories="\n".join(directories),
    )


def _installed() -> Path:
    """Where this command is; a link stays one, so that what it leads to can be exchanged."""
    found = shutil.which(sys.argv[0])
    if found is None:
        raise click.ClickException(f"cannot find the command {sys.argv[0]}: run it from where it is installed")
    return Path(found).absolute()


def _word(value: object) -> str:
    """The value as one word of a unit file, with nothing in it that systemd would replace but `$`."""
    text = str(value)
    if text != printable(text, PATH_MAX):
        raise click.UsageError(f"systemd cannot be given {text}: it has characters that cannot be seen")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if re.fullmatch(r"[\w@%:/.,=+-]+", escaped) else f'"{escaped}"'
