"""What the host's owner allows."""

import hashlib
import json
import re
from enum import StrEnum
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from reconciler.spec.fields import (
    BELOW_ROOT,
    STRICT,
    Cpus,
    Duration,
    GracePeriod,
    Labels,
    Memory,
    Path,
    Pids,
    Size,
    at_least,
    listed,
    matching,
    size_schema,
)
from reconciler.spec.image_reference import PUBLIC_REGISTRIES, ImagePattern, Pattern
from reconciler.spec.mistake import Mistake, shown
from reconciler.spec.parts import PORT_MAX, PUBLISHED_MIN, TmpfsSize
from reconciler.spec.sandbox import ID_MAX, Sandbox
from reconciler.spec.units import GIB, KIB, MIB

SANDBOXES_MAX = 10_000
OWN_TO_SANDBOXES = ("state", "suspend")
"""Keys that can only be said of one sandbox."""

_PORTS = re.compile(r"([1-9][0-9]{3,4})-([1-9][0-9]{3,4})")
_RUNTIME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


LogRate = Annotated[Size, at_least(KIB), size_schema(KIB)]
DiskSize = Annotated[Size, at_least(MIB), size_schema(MIB)]


class OnViolation(StrEnum):
    """What happens to a running sandbox that the policy has come to reject."""

    STOP = "stop"
    REPORT = "report"


class Limits(BaseModel):
    """The most that a sandbox may ask for."""

    model_config = STRICT

    mem_limit: Memory = Field(512 * MIB, description="Bytes of memory of a sandbox.")
    cpus: Cpus = Field(1.0, description="CPUs of a sandbox.")
    pids_limit: Pids = Field(100, description="Processes and threads of a sandbox.")
    tmpfs: TmpfsSize = Field(64 * MIB, description="Bytes of each tmpfs.")
    disk: DiskSize = Field(2 * GIB, description="Bytes that its containers may write; no file can ask for more.")
    log_rate: LogRate = Field(
        MIB, description="Bytes a second that it may say, over half a minute; each line counts 256 more."
    )
    stop_grace_period: GracePeriod = Field(120, description="Time between asking to stop and killing.")


def _not_all(root: str) -> str:
    if root == "/":
        raise Mistake("is the whole host", "allow a directory")
    return root


class VolumeRoot(BaseModel):
    """A directory of the host, from which sandboxes may mount."""

    model_config = STRICT

    root: Annotated[Path, AfterValidator(_not_all), matching(BELOW_ROOT)] = Field(description="Path on the host.")
    read_only: bool = Field(True, description="Whether sandboxes can only read what is in it.")


class Removals(BaseModel):
    """More than `max`, and more than `share` of what ran when the window began: so many removals wait for approval."""

    model_config = STRICT

    max: int = Field(3, ge=0, description="So many sandboxes are removed within the window without approval.")
    share: float = Field(0.5, ge=0, le=1, description="Or so large a share of those that ran when the window began.")
    window: Duration = Field(600.0, description="For how long a removal counts, such as `10m`.")


def _published(ports: object) -> object:
    match = _PORTS.fullmatch(ports) if isinstance(ports, str) else None
    if match is None:
        raise Mistake(f"{shown(ports)} is not a range of ports", "write such as 8000-9999")
    first, last = map(int, match.groups())
    if not PUBLISHED_MIN <= first <= last <= PORT_MAX:
        raise Mistake(f"{shown(ports)} is out of range", f"the lower first, {PUBLISHED_MIN} to {PORT_MAX}")
    return ports


class Replacements(BaseModel):
    """How what runs is replaced when files or the policy change."""

    model_config = STRICT

    max_parallel: int = Field(2, ge=1, description="So many sandboxes are replaced at the same time.")


def _runtime(name: str) -> str:
    if not _RUNTIME.fullmatch(name):
        raise Mistake(f"{shown(name)} is not a runtime name", "write such as runsc")
    return name


def _for_all(defaults: Sandbox) -> Sandbox:
    for key in OWN_TO_SANDBOXES:
        if key in defaults.model_fields_set:
            raise Mistake("cannot be a default", "say it in the file of one sandbox", at=(key,))
    return defaults


class Policy(BaseModel):
    """The policy; without a file, this one."""

    model_config = STRICT

    sandboxes_max: int = Field(5, ge=0, le=SANDBOXES_MAX, description="The most that run at any moment.")
    limits: Limits = Field(Limits(), description="The most that a sandbox may ask for.")
    images: Annotated[tuple[Pattern, ...], BeforeValidator(listed)] = Field(
        (),
        description=f"Patterns of the images that are allowed. Empty: all of {', '.join(PUBLIC_REGISTRIES)}.",
        examples=[["docker.io/library/*", "ghcr.io/owner/**", "registry.example:5000/team/app:1.*"]],
    )
    uid_min: int = Field(1000, ge=1, le=ID_MAX, description="The least user id and group id.")
    volumes: Annotated[tuple[VolumeRoot, ...], BeforeValidator(listed)] = Field(
        (),
        description="The directories of the host, from which sandboxes may mount. Empty: none.",
        examples=[[{"root": "/srv/sandboxes", "read_only": True}]],
    )
    published: Annotated[str, BeforeValidator(_published), matching(_PORTS.pattern)] = Field(
        f"{PUBLISHED_MIN}-{PORT_MAX}",
        description="The ports of this host that sandboxes may publish. Those that nobody has chosen are from 61000 on "
        "where the range has such.",
        examples=["8000-9999"],
    )
    runtime: Annotated[str, AfterValidator(_runtime), matching(_RUNTIME.pattern)] | None = Field(
        None, description="The engine's runtime of all sandboxes, such as `runsc`. Left out: the engine's default."
    )
    labels: Labels = Field({}, description="Labels that are put on all containers.")
    removals: Removals = Field(Removals(), description="How many removals at once need no approval.")
    replacements: Replacements = Field(
        Replacements(), description="How what runs is replaced when files or the policy change."
    )
    require_kernel_facts: bool = Field(
        False,
        description="Whether a sandbox may run only where the kernel itself can be asked for its limits and rights.",
    )
    on_violation: Annotated[OnViolation, Field(strict=False)] = Field(
        OnViolation.STOP,
        description="Whether what runs and comes to be forbidden is stopped: `stop`, or only told: `report`.",
    )
    defaults: Annotated[Sandbox, AfterValidator(_for_all)] = Field(
        Sandbox(),
        description="Keys of a sandbox, for all that do not say otherwise; `state` and `suspend` cannot be.",
        json_schema_extra={"properties": dict.fromkeys(OWN_TO_SANDBOXES, False)},
    )

    @cached_property
    def published_ports(self) -> range:
        """The host ports that sandboxes may take."""
        first, last = map(int, self.published.split("-"))
        return range(first, last + 1)

    @cached_property
    def image_patterns(self) -> tuple[ImagePattern, ...]:
        """The owner's own, or those of the built-in registries."""
        return tuple(map(ImagePattern.parse, self.images or [f"{registry}/**" for registry in PUBLIC_REGISTRIES]))

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits: equal for policies that say the same, whatever values of `environment` they give."""
        said = self.model_dump(mode="json", exclude={"defaults"})
        defaults = self.defaults.model_dump(mode="json", exclude_unset=True)
        said["defaults"] = {**defaults, "environment": sorted(self.defaults.environment)}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
