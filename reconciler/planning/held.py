"""What is judged of a container as it is, whatever its file says: what is forbidden, changed, or used too much of.

The policy outranks the file, and nobody asked for what somebody changed behind everybody's back.
"""

from collections.abc import Iterator, Mapping

from reconciler.model.container import ContainerSpec
from reconciler.model.labels import Owner, network_name
from reconciler.model.plan import Reason
from reconciler.model.rendered import Mismatch
from reconciler.model.status import SandboxStatus
from reconciler.model.world import UP, Image, Inspection, Observed, Source
from reconciler.planning import images
from reconciler.planning.admission import image_refused, over_ceilings, user_refused, volume_refused
from reconciler.planning.describe import said
from reconciler.planning.floor import outside_floor
from reconciler.planning.kernel import unread
from reconciler.spec.image_reference import Reference
from reconciler.spec.mistake import Mistake
from reconciler.spec.policy import Policy
from reconciler.spec.units import MIB, size_text

UPDATABLE = ("mem_limit", "memswap_limit", "cpus", "pids_limit", "restart_policy")
"""Knobs that an engine changes of a container that is there."""


def forbidden(
    inspection: Inspection, policy: Policy, image: Image | None, sources: Mapping[str, Source]
) -> tuple[str, ...]:
    """What the policy in force does not allow of the container, whatever allowed it once; a sentence each.

    `image` is what its reference means now.
    """
    spec = inspection.spec
    if spec is None:
        return ()
    brought = images.forbidden(image, spec) if image and image.id == inspection.image_id else ()
    missing = map(str, unread(inspection)) if policy.require_kernel_facts and inspection.state in UP else ()
    return (*_forbidden(spec, policy, sources), *(message for _, message, _ in brought), *missing)


def _forbidden(spec: ContainerSpec, policy: Policy, sources: Mapping[str, Source]) -> Iterator[str]:
    if policy.images:  # the built-in list, which nobody chose, is about what is pulled from now on
        yield from _image_forbidden(spec.image, policy)
    yield from (message for _, message, _, _ in over_ceilings(spec, policy))
    yield from (message for _, message, _, _ in user_refused(spec.user, policy))
    if policy.runtime and spec.runtime != policy.runtime:
        yield f"runtime is {spec.runtime}, and the policy's is {policy.runtime}"
    for port in spec.ports:
        if port.published not in policy.published_ports:
            yield f"port {port.published} is outside of the policy's range"
    real = {mount.source: Source(mount.source) for mount in spec.volumes}
    for mount in spec.volumes:
        for _, why, _, _ in volume_refused(mount, policy, {**sources, **real}):
            yield f"volume {mount.source}: {why}"


def _image_forbidden(reference: str, policy: Policy) -> Iterator[str]:
    """Also for what is no reference, as a container's may be that is not of this version's making."""
    try:
        image = Reference.parse(reference)
    except Mistake as mistake:
        yield f"image {mistake.message}"
        return
    yield from (message for _, message, _, _ in image_refused(image, policy))


def drifted(inspection: Inspection, owner: Owner, made_from: Mapping[str, str]) -> tuple[Mismatch, ...]:
    """What somebody has changed since it was verified, as far as the floor, and what it was made from, tell."""
    spec = inspection.spec
    if spec is None:
        return ()
    found = {one.knob: one for one in outside_floor(inspection, network_name(owner.instance))}
    for knob in UPDATABLE:
        actual = said(knob, getattr(spec, knob))
        if made_from.get(knob, actual) != actual:
            found[knob] = Mismatch(knob, made_from[knob], actual)
    return tuple(found.values())


def over_disk(policy: Policy, container: Observed, status: SandboxStatus) -> bool:
    """Whether the container had written more than the policy allows when that was last measured."""
    return status.disk_bytes.get(container.id, 0) > policy.limits.disk


def excess(policy: Policy, container: Observed, status: SandboxStatus) -> tuple[Reason, str] | None:
    """Why a container must not run on, and a sentence for people; None when it may."""
    if over_disk(policy, container, status):
        limit, written = size_text(policy.limits.disk), status.disk_bytes[container.id] // MIB
        message = f"over disk {limit}: it has written {written}m; change its file for a new container"
        return Reason.DISK_EXCEEDED, message
    if container.id == status.over_log_rate:
        return Reason.LOG_RATE_EXCEEDED, f"over log_rate {size_text(policy.limits.log_rate)} a second"
    return None
