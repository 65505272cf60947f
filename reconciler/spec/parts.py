"""The parts of a sandbox that have keys of their own."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.config import JsonDict

from reconciler.spec.fields import (
    BELOW_ROOT,
    STRICT,
    TEXT_SCHEMA,
    Duration,
    Path,
    Size,
    Text,
    at_least,
    duration_schema,
    listed,
    matching,
    size_schema,
    whole,
)
from reconciler.spec.mistake import Mistake, shown
from reconciler.spec.units import KIB, MIB, SIZE, duration_text

TMPFS_BYTES_MIN = 4 * KIB
"""One page; an engine takes 0 for unlimited."""
CHECK_SECONDS_MIN = 1.0

PUBLISHED_MIN = 1024
PORT_MAX = 65535

_DIGITS = re.compile(r"[1-9][0-9]{0,4}")


def _port_number(value: object) -> object:
    """Compose writes ports as strings of digits, too."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value


def _port_schema(minimum: int) -> JsonDict:
    return {"type": ["integer", "string"], "minimum": minimum, "maximum": PORT_MAX, "pattern": whole(_DIGITS.pattern)}


PortNumber = Annotated[int, BeforeValidator(_port_number)]


class Port(BaseModel):
    """A port of the container, published on 127.0.0.1 of the host."""

    model_config = STRICT | ConfigDict(json_schema_extra=_port_schema(1) | {"type": ["object", "integer", "string"]})

    target: Annotated[PortNumber, WithJsonSchema(_port_schema(1))] = Field(
        ge=1, le=PORT_MAX, description="Port in the container."
    )
    published: (
        Annotated[PortNumber, Field(ge=PUBLISHED_MIN, le=PORT_MAX), WithJsonSchema(_port_schema(PUBLISHED_MIN))] | None
    ) = Field(None, description="Port on the host. Left out: a free one, which is kept from then on.")

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        number = _port_number(value)
        if isinstance(number, int) and not isinstance(number, bool):
            return {"target": number}
        if not isinstance(value, Mapping | Port):
            raise Mistake(f"{shown(value)} is not a container port", "write 3000, or {target: 3000, published: 8080}")
        return value


def _mountable(target: str) -> str:
    for forbidden in ("/proc", "/sys", "/dev"):
        if f"{target}/".startswith(f"{forbidden}/"):
            raise Mistake(f"nothing can be mounted on {forbidden} of a sandbox", "choose another path")
    if target == "/":
        raise Mistake("nothing can be mounted on / of a sandbox", "choose a directory in it")
    return target


_MOUNTABLE = r"(?!/(?:proc|sys|dev)(?:/|$))"
Target = Annotated[Path, AfterValidator(_mountable), matching(f"{_MOUNTABLE}{BELOW_ROOT}")]


TmpfsSize = Annotated[Size, at_least(TMPFS_BYTES_MIN), size_schema(TMPFS_BYTES_MIN)]

_MODE = re.compile(r"(?:0o|0)?(1?[0-7]{3})")


def _mode(value: object) -> object:
    """Octal digits, whether they are written as text or as a number."""
    match = _MODE.fullmatch(value) if isinstance(value, str) else None
    if match is None and isinstance(value, int) and not isinstance(value, bool):
        match = _MODE.fullmatch(str(value))
    if match is None:
        raise Mistake(f"{shown(value)} is not a directory mode", "write in octal, such as 0o755")
    return match[1]


Mode = Annotated[
    str,
    BeforeValidator(_mode),
    WithJsonSchema({"type": ["string", "integer"], "pattern": whole(_MODE.pattern), "minimum": 0, "maximum": 1777}),
]
TMPFS_ALWAYS = ("rw", "nosuid", "nodev", "noexec")
"""Options that every tmpfs has, said or not."""
_OPTION = rf"(?:size={SIZE.pattern}|mode={_MODE.pattern}|{'|'.join(TMPFS_ALWAYS)})"
TMPFS_TEXT = f"{_MOUNTABLE}/[^:]+(?::{_OPTION}(?:,{_OPTION}){{0,{len(TMPFS_ALWAYS) + 1}}})?"
"""The pattern of a tmpfs that is said as text."""


class Tmpfs(BaseModel):
    """A file system in memory, which belongs to the sandbox's user; always nosuid, nodev and noexec."""

    model_config = STRICT | ConfigDict(json_schema_extra={"type": ["object", "string"], "pattern": whole(TMPFS_TEXT)})

    target: Target = Field(description="Path in the container.")
    size: TmpfsSize = Field(16 * MIB, description="Bytes, such as `64m`; what is in it counts as memory.")
    mode: Mode = Field(
        "755",
        description="In octal, such as `1777`. Over a directory of the image, older versions of runc keep that one's.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            if not isinstance(value, Mapping | Tmpfs):
                raise Mistake(f"{shown(value)} is not a tmpfs", "write /run or /run:size=64m")
            return value
        target, colon, options = value.partition(":")
        if not colon:
            return {"target": target}
        chosen = (option.partition("=") for option in options.split(",") if option not in TMPFS_ALWAYS)
        said = [(key, value) for key, _, value in chosen]
        if not {"size", "mode"}.issuperset(keys := [key for key, _ in said]) or len(set(keys)) < len(keys):
            raise Mistake(
                "only size and mode of a tmpfs can be chosen; it is the sandbox's own, nosuid, nodev and noexec",
                "write such as /run:size=64m,mode=1777",
            )
        return {"target": target, **dict(said)}


class Volume(BaseModel):
    """A path of the host, seen in the container; the policy says which paths."""

    model_config = STRICT

    type: Literal["bind"] = Field("bind", description="Only `bind`.")
    source: Path = Field(description="Path on the host.")
    target: Target = Field(description="Path in the container.")
    read_only: bool = Field(True, description="Unlike Compose's, a volume is read-only unless it says `false`.")

    @model_validator(mode="before")
    @classmethod
    def _long_form(cls, value: Any) -> Any:
        if not isinstance(value, Mapping | Volume):
            raise Mistake(
                f"{shown(value)} is not a volume",
                "write {type: bind, source: /srv/data, target: /data, read_only: true}",
            )
        return value


_TEST_WORD = r"\s*(?:NONE|CMD|CMD-SHELL)(?:\s|$)"
"""Text that begins so would run a program of that name, which nobody means."""


def _test(value: object) -> object:
    if isinstance(value, str) and re.match(_TEST_WORD, value):
        raise Mistake(
            "begins with a word that only a list can begin with", "write [NONE], or [CMD, program, argument, ...]"
        )
    if isinstance(value, str):
        value = ("CMD-SHELL", value)
    test = listed(value)
    match test:
        case ("NONE",) | ("CMD-SHELL", _) | ("CMD", _, *_):
            return test
    raise Mistake("is not a test", "write a command as text, or [CMD, program, argument, ...], or [NONE]")


def _not_too_often(seconds: float) -> float:
    if seconds < CHECK_SECONDS_MIN:
        raise Mistake(f"{duration_text(seconds)} is too short", f"at least {duration_text(CHECK_SECONDS_MIN)}")
    return seconds


CheckDuration = Annotated[Duration, AfterValidator(_not_too_often), duration_schema(CHECK_SECONDS_MIN)]


def _can_be_disabled(schema: JsonDict) -> None:
    """`disable: true` stands alone; without it, there is a test."""
    properties = cast("JsonDict", schema["properties"])
    properties["disable"] = {"type": "boolean", "description": "`true` alone: not even the image's own check."}
    del schema["required"]
    schema["if"] = {"properties": {"disable": {"const": True}}, "required": ["disable"]}
    schema["then"] = {"maxProperties": 1}
    schema["else"] = {"required": ["test"]}


class Healthcheck(BaseModel):
    """How the engine finds out whether the sandbox is well."""

    model_config = STRICT | ConfigDict(json_schema_extra=_can_be_disabled)

    test: Annotated[
        tuple[Text, ...],
        BeforeValidator(_test),
        WithJsonSchema(
            {
                "type": ["string", "array"],
                "pattern": f"^(?!{_TEST_WORD})",
                "prefixItems": [{"enum": ["CMD", "CMD-SHELL", "NONE"]}],
                "items": TEXT_SCHEMA,
                "minItems": 1,
            }
        ),
    ] = Field(
        description="The command; text runs in the container's shell. `[NONE]`: not even the image's own.",
        examples=["curl -f localhost:3000"],
    )
    interval: CheckDuration = Field(30.0, description="Time between two checks, at least `1s`.")
    timeout: CheckDuration = Field(30.0, description="Time after which a check has failed, at least `1s`.")
    start_period: Duration = Field(0.0, description="Time in which failures do not count.")
    start_interval: CheckDuration | None = Field(
        None, description="Time between two checks in the start period, at least `1s`; needs an engine of API 1.44."
    )
    retries: int = Field(3, ge=1, le=100, description="Failures in a row that make a sandbox unhealthy.")

    @model_validator(mode="before")
    @classmethod
    def _disabled(cls, value: Any) -> Any:
        """Compose's `disable: true` is its other word for `test: [NONE]`."""
        if not isinstance(value, Mapping | Healthcheck):
            raise Mistake(f"must be a mapping, not {shown(value)}", "write such as {test: curl -f localhost:3000}")
        if not isinstance(value, Mapping) or "disable" not in value:
            return value
        match dict(value):
            case {"disable": True, **rest} if not rest:
                return {"test": ("NONE",)}
            case {"disable": False, **rest}:
                return rest
        raise Mistake("`disable: true` stands alone", "leave the other keys or `disable` out", at=("disable",))
