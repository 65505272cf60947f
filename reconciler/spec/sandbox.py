"""What the file of a sandbox says, in Compose's words. What was said, not only defaulted, is in `model_fields_set`."""

import re
import shlex
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from reconciler.spec.fields import (
    STRICT,
    TEXT_SCHEMA,
    Cpus,
    Environment,
    GracePeriod,
    Labels,
    Memory,
    Path,
    Pids,
    Text,
    bounded,
    listed,
    matching,
    whole,
)
from reconciler.spec.image_reference import Image
from reconciler.spec.mistake import Mistake, shown
from reconciler.spec.parts import TMPFS_TEXT, Healthcheck, Port, Tmpfs, Volume
from reconciler.spec.text import printable
from reconciler.spec.units import MIB

__all__ = ["DesiredState", "Healthcheck", "Port", "PullPolicy", "Restart", "Sandbox", "Tmpfs", "Volume"]

ID_MAX = 2**31 - 1
PORTS_MAX = 16
SUSPEND_MAX = 500

_HOSTNAME = re.compile("[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
"""One label of RFC 1123."""
_SIGNAL = re.compile(
    "(?:SIG)?(?:ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IO|IOT|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM"
    "|TRAP|TSTP|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ"
    r"|RTMIN(?:\+(?:[1-9]|1[0-5]))?|RTMAX(?:-(?:[1-9]|1[0-4]))?)"
    "|(?P<number>[1-9]|[1-5][0-9]|6[0-4])"
)
_USER = re.compile(r"(0|[1-9][0-9]{0,9}):(0|[1-9][0-9]{0,9})")


class PullPolicy(StrEnum):
    """When the image is pulled."""

    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"


class Restart(StrEnum):
    """When the controller starts a sandbox again that has exited."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NO = "no"


class DesiredState(StrEnum):
    """Whether it should run."""

    RUNNING = "running"
    STOPPED = "stopped"


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise Mistake("its quotes do not match", "quote as a shell would, or write a list") from None


def _arguments(value: object) -> object:
    """Words, from a list, or from text that is split as a shell would."""
    words = _words(bounded(value)) if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        raise Mistake(f"must be text or a list, not {shown(words)}")
    if not words:
        raise Mistake("is empty", "leave the key out for what the image says")
    return tuple(words)


def _user(value: object) -> object:
    if not isinstance(value, str) or not (match := _USER.fullmatch(value)):
        raise Mistake(f"{shown(value)} is not a numeric uid:gid", "write both as numbers, such as 1000:1000")
    if max(map(int, match.groups())) > ID_MAX:
        raise Mistake(f"{shown(value)} is out of range", f"both at most {ID_MAX}")
    return value


def _hostname(value: str) -> str:
    first, dot, _ = value.partition(".")
    if dot and _HOSTNAME.fullmatch(first):
        raise Mistake(f"{shown(value)} has dots: neighbours could look it up and find this sandbox", f"write {first}")
    if not _HOSTNAME.fullmatch(value):
        raise Mistake(f"{shown(value)} is not a host name", "1 to 63 letters, digits and '-', none of these at an end")
    return value


def _stop_signal(value: object) -> object:
    """As an engine tells it back: a name with `SIG`, or a number."""
    match = _SIGNAL.fullmatch(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if match is None:
        raise Mistake(f"{shown(value)} is not a signal", "write such as SIGINT, or 1 to 64")
    return match["number"] or f"SIG{match[0].removeprefix('SIG')}"


def _distinct(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    if len(ports) > PORTS_MAX:
        raise Mistake(f"{len(ports)} ports are too many", f"at most {PORTS_MAX}")
    seen: set[tuple[str, int | None]] = set()
    for index, port in enumerate(ports):
        numbers = {("target", port.target), ("published", port.published)} - {("published", None)}
        for which, number in sorted(numbers & seen):
            raise Mistake(f"the {which} port {number} is given twice", at=(index,))
        seen |= numbers
    return ports


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else listed(value)


def _reason(text: str) -> str:
    if not text.strip() or len(text) > SUSPEND_MAX:
        raise Mistake("is not a reason", f"say why in 1 to {SUSPEND_MAX} characters, or leave the key out")
    return printable(" ".join(text.split()), SUSPEND_MAX)


Arguments = Annotated[
    tuple[Text, ...],
    BeforeValidator(_arguments),
    WithJsonSchema({"type": ["string", "array"], "minLength": 1, "items": TEXT_SCHEMA, "minItems": 1}),
]


Reason = Annotated[
    str, AfterValidator(_reason), WithJsonSchema({"type": "string", "pattern": r"\S", "maxLength": SUSPEND_MAX})
]


class Sandbox(BaseModel):
    """One sandbox."""

    model_config = STRICT | ConfigDict(
        json_schema_extra={
            "if": {"properties": {"network_mode": {"const": "none"}}, "required": ["network_mode"]},
            "then": {"properties": {"ports": {"maxItems": 0}}},
        }
    )

    image: Image = Field(
        "",
        description="Reference, with tag or digest, that the policy allows. Required, unless its defaults give it.",
        examples=["docker.io/library/busybox:1.36"],
    )
    command: Arguments | None = Field(
        None,
        description="A list, or text that is split as a shell would. Left out: the image's.",
        examples=[["sh", "-c", "echo hello"]],
    )
    entrypoint: Arguments | None = Field(None, description="As `command`. Left out: the image's.")
    environment: Environment = Field(
        {}, description="A mapping, or a list of KEY=VALUE. Values are text or numbers; none is taken from the host."
    )
    working_dir: Path | None = Field(None, description="Absolute path. Left out: the image's.")
    user: Annotated[str, BeforeValidator(_user), matching(_USER.pattern)] = Field(
        "1000:1000", description="Numeric `uid:gid`, both at least the policy's minimum."
    )
    hostname: Annotated[str, AfterValidator(_hostname), matching(_HOSTNAME.pattern)] | None = Field(
        None, description="What it calls itself, without dots. Left out: the engine chooses.", examples=["web"]
    )
    network_mode: Literal["none"] | None = Field(None, description="`none`, or left out for the isolated bridge.")
    ports: Annotated[tuple[Port, ...], BeforeValidator(listed), AfterValidator(_distinct)] = Field(
        (Port(target=3000),),
        description="Ports of the container, or `{target: 3000, published: 18080}` with a port of the host that "
        "the policy allows and no other sandbox publishes. None with `network_mode: none`.",
        json_schema_extra={"default": [3000], "maxItems": PORTS_MAX},
    )
    mem_limit: Memory = Field(512 * MIB, description="Bytes of memory, up to the policy's ceiling; there is no swap.")
    cpus: Cpus = Field(1.0, description="CPUs, such as `0.5`, up to the policy's ceiling.")
    pids_limit: Pids = Field(100, description="Processes and threads, up to the policy's ceiling.")
    read_only: bool = Field(False, description="Whether the container's own file system is read-only.")
    tmpfs: Annotated[
        tuple[Tmpfs, ...],
        BeforeValidator(_one_or_more, json_schema_input_type=Annotated[str, matching(TMPFS_TEXT)] | tuple[Tmpfs, ...]),
    ] = Field(
        (),
        description="File systems in memory, of the sandbox's own user: `/run`, `/run:size=64m,mode=1777` or "
        "`{target, size, mode}`.",
        examples=[["/run:size=64m"]],
    )
    volumes: Annotated[tuple[Volume, ...], BeforeValidator(listed)] = Field(
        (),
        description="Paths in the policy's roots: `{type: bind, source, target}`; read-only unless `read_only: false`.",
        examples=[[{"type": "bind", "source": "/srv/data", "target": "/data"}]],
    )
    healthcheck: Healthcheck | None = Field(
        None,
        description="`test`, `interval`, `timeout`, `retries`, `start_period`, `start_interval`, or `disable: true`, "
        "as in Compose. Left out: the image's.",
    )
    stop_signal: (
        Annotated[
            str,
            BeforeValidator(_stop_signal),
            WithJsonSchema(
                {
                    "type": ["string", "integer"],
                    "pattern": whole(_SIGNAL.pattern.replace("?P<number>", "?:")),
                    "minimum": 1,
                    "maximum": 64,
                }
            ),
        ]
        | None
    ) = Field(None, description="What it is asked to stop with, such as `SIGINT`. Left out: the image's.")
    stop_grace_period: GracePeriod = Field(10, description="Time between asking to stop and killing, such as `30s`.")
    pull_policy: Annotated[PullPolicy, Field(strict=False)] = Field(
        PullPolicy.MISSING, description="When to pull the image: `missing`, `always` or `never`."
    )
    restart: Annotated[Restart, Field(strict=False)] = Field(
        Restart.ALWAYS, description="When it is started again, also as unhealthy: `always`, `on-failure` or `no`."
    )
    labels: Labels = Field({}, description="Labels of the container; those of `reconciler.` are reserved.")
    state: Annotated[DesiredState, Field(strict=False)] = Field(
        DesiredState.RUNNING, description="`running` or `stopped`."
    )
    suspend: Reason | None = Field(
        None,
        description="Why the sandbox is to be left exactly as it is, for as long as the policy allows that.",
        examples=["I am looking into it"],
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.network_mode == "none":
            if self.ports and "ports" in self.model_fields_set:
                raise Mistake("nothing reaches a port without a network", "leave `ports` out", at=("ports",))
            object.__setattr__(self, "ports", ())
        targets: set[str] = set()
        for key in ("tmpfs", "volumes"):
            for index, mount in enumerate(getattr(self, key)):
                if mount.target in targets:
                    raise Mistake(f"{shown(mount.target)} is mounted twice", at=(key, index))
                targets.add(mount.target)
        return self

    @property
    def uid(self) -> int:
        """The numeric user."""
        return int(self.user.partition(":")[0])

    @property
    def gid(self) -> int:
        """The numeric group."""
        return int(self.user.partition(":")[2])

    def over(self, defaults: "Sandbox") -> "Sandbox":
        """What this sandbox says, over what the policy's `defaults` say: environment and labels key by key, all else
        whole. Without a network there are no ports, whoever asked for them.
        """
        if not defaults.model_fields_set:
            return self
        said = {key: getattr(side, key) for side in (defaults, self) for key in side.model_fields_set}
        said["environment"] = {**defaults.environment, **self.environment}
        said["labels"] = {**defaults.labels, **self.labels}
        if said.get("network_mode") == "none":
            said["ports"] = ()
        fields_said = defaults.model_fields_set | self.model_fields_set
        return Sandbox.model_construct(_fields_set=fields_said, **said)
