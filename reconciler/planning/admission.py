"""Whether the policy allows what a sandbox asks for."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.model.container import BindMount, ContainerSpec
from reconciler.model.desired import Declaration
from reconciler.model.errors import Problem
from reconciler.model.world import Image, Source
from reconciler.planning.images import forbidden
from reconciler.spec.image_reference import Reference
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox, Volume
from reconciler.spec.text import printable
from reconciler.spec.units import duration_text, size_text

SHOWN_MAX = 200


def effective(sandbox: Sandbox, policy: Policy) -> Sandbox:
    """What the sandbox says, over the policy's defaults, over the built-in ones.

    A built-in default never exceeds the policy's ceiling; what somebody wrote is left for `violations` to refuse.
    """
    said = sandbox.over(policy.defaults)
    lowered = {
        key: ceiling
        for key in ("mem_limit", "cpus", "pids_limit", "stop_grace_period")
        if key not in said.model_fields_set and (ceiling := getattr(policy.limits, key)) < getattr(said, key)
    }
    return said.model_copy(update=lowered) if lowered else said


def violations(
    declaration: Declaration, policy: Policy, sources: Mapping[str, Source], image: Image | None = None
) -> tuple[Problem, ...]:
    """All that the policy forbids in a declaration; empty when it is accepted.

    `sources` says what the paths of its volumes are on the host. Nothing is said of an `image` that is not known.
    """
    sandbox = effective(declaration.sandbox, policy)
    brought = forbidden(image, sandbox) if image else ()
    violations = (*_violations_of(sandbox, policy, sources), *((*one, "") for one in brought))
    return tuple(declaration.problem(*one) for one in violations)


_Violation = tuple[str, str, str, str]
"""The full name of a value, such as `volumes[1].source`; what is wrong; how to correct it; the policy's rule."""


def _violations_of(sandbox: Sandbox, policy: Policy, sources: Mapping[str, Source]) -> Iterator[_Violation]:
    if not sandbox.image:
        yield "image", "no image is given", "say `image:`, or give one in the policy's defaults", ""
    else:
        yield from image_refused(Reference.parse(sandbox.image), policy)
    yield from over_ceilings(sandbox, policy)
    yield from user_refused(sandbox.user, policy)
    for index, port in enumerate(sandbox.ports):
        if port.published is not None and port.published not in policy.published_ports:
            message = f"port {port.published} is outside of the policy's range"
            yield f"ports[{index}].published", message, f"one of {policy.published}", "published"
    for index, volume in enumerate(sandbox.volumes):
        for key, why, hint, rule in volume_refused(volume, policy, sources):
            yield f"volumes[{index}].{key}", f"volume {printable(volume.source, SHOWN_MAX)}: {why}", hint, rule


def image_refused(image: Reference, policy: Policy) -> Iterator[_Violation]:
    """When no pattern of the policy allows the image."""
    if not any(pattern.allows(image) for pattern in policy.image_patterns):
        allowed = ", ".join(policy.images) or "well-known public registries"
        hint = f"allowed: {allowed}; the policy's owner can list {image.repository}"
        yield "image", f"the policy does not allow the image {printable(image, SHOWN_MAX)}", hint, "images"


def user_refused(user: str, policy: Policy) -> Iterator[_Violation]:
    """Also of what is no pair of numbers, as a container's may be that is not of our making."""
    ids = [int(one) if one.isdecimal() else 0 for one in user.split(":")]
    if len(ids) != 2 or min(ids) < policy.uid_min:
        message = f"user {user} is below the policy's minimum"
        yield "user", message, f"both ids at least {policy.uid_min}", "uid_min"


def over_ceilings(sandbox: Sandbox | ContainerSpec, policy: Policy) -> Iterator[_Violation]:
    """One for each limit that is more than the policy's."""
    ceilings = policy.limits
    sizes = [mount.size for mount in sandbox.tmpfs]
    asked: list[tuple[str, float, float, Callable[[Any], str]]] = [
        ("mem_limit", sandbox.mem_limit, ceilings.mem_limit, size_text),
        ("cpus", sandbox.cpus, ceilings.cpus, "{:g}".format),
        ("pids_limit", sandbox.pids_limit, ceilings.pids_limit, str),
        ("stop_grace_period", sandbox.stop_grace_period or 0, ceilings.stop_grace_period, duration_text),
        *((f"tmpfs[{i}].size", size, ceilings.tmpfs, size_text) for i, size in enumerate(sizes)),
    ]
    for name, value, ceiling, text in asked:
        if value > ceiling:
            key = name.partition("[")[0]
            message = f"{key} {text(value)} is over the policy's ceiling"
            yield name, message, f"at most {text(ceiling)}", f"limits.{key}"


def volume_refused(volume: Volume | BindMount, policy: Policy, sources: Mapping[str, Source]) -> Iterator[_Violation]:
    """Why it cannot be mounted, if it cannot. Of what is outside the policy's roots, nothing else is told."""
    source = sources.get(volume.source, Source(volume.source, "it was not examined"))
    allowed = ", ".join(root.root for root in policy.volumes) or "none"
    roots = [root for root in policy.volumes if _is_below(source.real, sources.get(root.root, Source(root.root)).real)]
    if not roots:
        yield "source", "the policy allows no mount from there", f"allowed roots: {allowed}", "volumes"
    elif source.why_unfit:
        hint = source.hint or f"mount an existing directory or file; allowed roots: {allowed}"
        yield "source", source.why_unfit, hint, ""
    elif not volume.read_only and all(root.read_only for root in roots):
        yield "read_only", "the policy allows it read-only", "say `read_only: true`, or `:ro`", "volumes"


def _is_below(path: str, root: str) -> bool:
    return f"{path}/".startswith(f"{root}/")
