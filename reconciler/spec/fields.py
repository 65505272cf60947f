"""The types of values that people write, shared by sandboxes and the policy.

Each takes what YAML gives or the value that it becomes, and raises `Mistake` for everything else. Its JSON Schema
accepts all that it takes, and refuses what a schema can. Where it lists several types, each of its keywords speaks of
one: `minimum` of numbers, `pattern` of text, `items` of lists, `additionalProperties` of mappings.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

from reconciler.spec.mistake import Mistake, shown
from reconciler.spec.units import DURATION, MIB, SIZE, duration_text, parse_duration, parse_size, size_text

STRICT = ConfigDict(
    frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
)
"""Of every model that a file is read into."""

TEXT_BYTES_MAX = 16 * 1024
PATH_BYTES_MAX = 4095
MEMORY_BYTES_MIN = 6 * MIB
"""An engine refuses less."""
CPUS_MIN, CPUS_MAX = 0.05, 100_000
PIDS_MAX = 2**22
"""No Linux kernel counts further."""
DURATION_SECONDS_MAX = 24 * 60 * 60
OWN_LABELS = "reconciler."
"""The prefix of the labels by which reconciler knows its containers."""

RESERVED_LABELS = (OWN_LABELS, "com.docker.")

Seconds = TypeVar("Seconds", int, float)

_CPUS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LABEL = re.compile(r"[!-<>-~]{1,255}")


def bounded(value: str) -> str:
    """The text; raises `Mistake` for one that is too long to send to an engine."""
    if len(value.encode(errors="surrogatepass")) > TEXT_BYTES_MAX:
        raise Mistake("is too long", f"at most {size_text(TEXT_BYTES_MAX)}")
    return value


def _text(value: object) -> str:
    """Numbers keep the form in which they were written: `1.10` is not `1.1`."""
    if isinstance(value, bool):
        raise Mistake("is a boolean where text is expected", "quote it")
    if value is None:
        raise Mistake("has no value", 'write "" for an empty one')
    if not isinstance(value, str | int | float):
        raise Mistake(f"must be text, not {shown(value)}")
    return bounded(str(value))


def _variable_value(value: object) -> str:
    if value is None:
        raise Mistake("has no value", 'the host\'s environment is never read; write "" for an empty one')
    return _text(value)


def _variable_name(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise Mistake("is not a variable name", "letters, digits, '_', '.' and '-', a letter or '_' first")
    return name


def _label_name(name: str) -> str:
    if not _LABEL.fullmatch(name):
        raise Mistake("is not a label name", "1 to 255 ASCII characters without spaces and '='")
    if name.startswith(RESERVED_LABELS):
        raise Mistake("is a reserved label", f"do not begin with {' or '.join(RESERVED_LABELS)}")
    return name


def _pair(entry: object) -> tuple[str, str]:
    name, equals, value = entry.partition("=") if isinstance(entry, str) else ("", "", "")
    if not equals:
        raise Mistake("must be KEY=VALUE", "a name alone has no value: the host's environment is never read")
    return name, value


_PAIRS: TypeAdapter[list[tuple[str, str]]] = TypeAdapter(
    list[Annotated[tuple[str, str], BeforeValidator(_pair)]], config=ConfigDict(hide_input_in_errors=True)
)


def _mapping(value: object) -> object:
    """A mapping, also from Compose's list of `KEY=VALUE`."""
    if value is None:
        raise Mistake("is empty", "leave the key out")
    if not isinstance(value, list):
        return value
    pairs: dict[str, str] = {}
    for index, (name, text) in enumerate(_PAIRS.validate_python(value)):
        if name in pairs:
            raise Mistake(f"{shown(name)} is given twice", at=(index,))
        pairs[name] = text
    return pairs


def _path(value: str) -> str:
    segments = value.split("/")
    normal = value == "/" or not any(segment in ("", ".", "..") for segment in segments[1:])
    if segments[0] or not normal or len(segments) < 2:
        raise Mistake(
            f"{shown(value)} is not an absolute, normalised path", "begin with '/', without '.', '..', '//' or '/' last"
        )
    if len(value.encode(errors="surrogatepass")) > PATH_BYTES_MAX:
        raise Mistake("is too long", f"at most {PATH_BYTES_MAX} bytes")
    return value


def _cpus(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Mistake(f"{shown(value)} is not a number of CPUs", "write such as 0.5")
    if isinstance(value, str) and not _CPUS.fullmatch(value):
        raise Mistake(f"{shown(value)} is not a number of CPUs", "write such as 0.5")
    cpus = float(value)
    if not CPUS_MIN <= cpus <= CPUS_MAX:
        raise Mistake(f"{shown(value)} is out of range", f"{CPUS_MIN} to {CPUS_MAX}; 0 is not unlimited")
    return cpus


def _pids(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Mistake(f"{shown(value)} is not a number of processes", "write such as 100")
    if not 1 <= value <= PIDS_MAX:
        raise Mistake(f"{value} is out of range", f"1 to {PIDS_MAX}; -1 and 0 are not unlimited")
    return int(value)


def _whole_seconds(value: object) -> int:
    return math.ceil(parse_duration(value))


def _bounded_duration(seconds: Seconds) -> Seconds:
    if seconds > DURATION_SECONDS_MAX:
        raise Mistake(f"{duration_text(seconds)} is too long", f"at most {duration_text(DURATION_SECONDS_MAX)}")
    return seconds


def listed(value: object) -> object:
    """YAML's list becomes the tuple that a frozen model holds."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, tuple):
        return value
    raise Mistake(f"must be a list, not {shown(value)}")


def at_least(minimum: int) -> AfterValidator:
    """Checks a size against a minimum; an engine takes 0 for unlimited."""

    def check(size: int) -> int:
        if size < minimum:
            raise Mistake(f"{size_text(size)} is too little", f"at least {size_text(minimum)}; 0 is not unlimited")
        return size

    return AfterValidator(check)


def whole(pattern: str) -> str:
    """The pattern, anchored, so that in JSON Schema the whole text must match."""
    return f"^(?:{pattern})$"


def matching(pattern: str) -> WithJsonSchema:
    """The schema of a text that is all of a pattern."""
    return WithJsonSchema({"type": "string", "pattern": whole(pattern)})


def size_schema(minimum: int) -> WithJsonSchema:
    """Of bytes, as a number or such as `64m`."""
    pattern = whole(SIZE.pattern)
    return WithJsonSchema({"type": ["string", "integer"], "minimum": minimum, "pattern": pattern, "examples": ["64m"]})


def duration_schema(minimum: float) -> WithJsonSchema:
    """Of seconds, as a number or such as `1m30s`."""
    bounds = {"minimum": minimum, "maximum": DURATION_SECONDS_MAX}
    pattern = whole(DURATION.pattern)
    return WithJsonSchema({"type": ["string", "number"], **bounds, "pattern": pattern, "examples": ["1m30s"]})


def default_as(text: Callable[[Any], str]) -> FieldInfo:
    """Shows the default in a schema as people write it: `512m`."""

    def rewrite(schema: JsonDict) -> None:
        if "default" in schema:
            schema["default"] = text(schema["default"])

    return Field(json_schema_extra=rewrite)  # type: ignore[no-any-return]


def _pairs_schema(name: str, example: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": ["object", "array"],
            "propertyNames": {"pattern": whole(name)},
            "additionalProperties": TEXT_SCHEMA,
            "items": {"type": "string", "pattern": f"^{name}="},
            "examples": [{example: "text"}],
        }
    )


TEXT_SCHEMA: JsonDict = {"type": ["string", "number"]}
BELOW_ROOT = r"(?:/(?!\.{1,2}(?:/|$))[^/]+)+"
"""The pattern of a path, but for `/` itself."""

Text = Annotated[str, BeforeValidator(_text), WithJsonSchema(TEXT_SCHEMA)]
"""A string, or a number as it was written."""
Path = Annotated[str, AfterValidator(_path), matching(f"/|{BELOW_ROOT}")]
"""Absolute and normalised; not looked up anywhere."""
Size = Annotated[int, BeforeValidator(parse_size), size_schema(0), default_as(size_text)]
"""Bytes."""
Memory = Annotated[Size, at_least(MEMORY_BYTES_MIN), size_schema(MEMORY_BYTES_MIN)]
"""Bytes, at least what an engine accepts."""
Cpus = Annotated[
    float,
    BeforeValidator(_cpus),
    WithJsonSchema(
        {
            "type": ["number", "string"],
            "minimum": CPUS_MIN,
            "maximum": CPUS_MAX,
            "pattern": whole(_CPUS.pattern),
            "examples": [0.5],
        }
    ),
]
Pids = Annotated[int, BeforeValidator(_pids), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": PIDS_MAX})]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    AfterValidator(_bounded_duration),
    duration_schema(0),
    default_as(duration_text),
]
"""Seconds, at most a day."""
GracePeriod = Annotated[
    int,
    BeforeValidator(_whole_seconds),
    AfterValidator(_bounded_duration),
    duration_schema(0),
    default_as(duration_text),
]
"""Whole seconds, rounded up, at most a day."""
Environment = Annotated[
    Mapping[Annotated[str, AfterValidator(_variable_name)], Annotated[str, BeforeValidator(_variable_value)]],
    BeforeValidator(_mapping),
    _pairs_schema(_VARIABLE.pattern, "GREETER"),
]
Labels = Annotated[
    Mapping[Annotated[str, AfterValidator(_label_name)], Text],
    BeforeValidator(_mapping),
    _pairs_schema(rf"(?!{'|'.join(map(re.escape, RESERVED_LABELS))}){_LABEL.pattern}", "tier"),
]
