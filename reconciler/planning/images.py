"""What an image brings along, held to what a file could ask for."""

from collections.abc import Iterator
from dataclasses import replace
from posixpath import normpath

from reconciler.model import labels
from reconciler.model.container import ContainerSpec, HealthcheckSpec
from reconciler.model.rendered import Rendered
from reconciler.model.world import Image
from reconciler.spec.parts import CHECK_SECONDS_MIN
from reconciler.spec.sandbox import Sandbox
from reconciler.spec.text import printable
from reconciler.spec.units import KIB

LABELS_BYTES_MAX = 64 * KIB
"""Those of an image are in each of its containers, and in each list of them."""

PATH_MAX = 200


def forbidden(image: Image, wanted: Sandbox | ContainerSpec) -> Iterator[tuple[str, str, str]]:
    """Why nothing is made from the image: the key that it concerns, what is wrong and how to correct it."""
    size = sum(len(f"{key}{value}".encode(errors="backslashreplace")) for key, value in image.labels.items())
    if size > LABELS_BYTES_MAX:
        yield "image", f"its image has {size // KIB}k of labels", f"at most {LABELS_BYTES_MAX // KIB}k"
    if wanted.read_only:
        mounted = {mount.target for mount in wanted.tmpfs} | {mount.target for mount in wanted.volumes}
        for volume in sorted({normpath(volume) for volume in image.volumes} - mounted):
            path = printable(volume, PATH_MAX)
            yield "read_only", f"its image would write to a volume on {path}", f"mount a tmpfs on {path}"


def is_too_frequent(check: HealthcheckSpec) -> bool:
    """Whether it is run more often than a file could ask for; 0 is the engine's own default, which is seldom."""
    return any(0 < seconds < CHECK_SECONDS_MIN for seconds in (check.interval, check.timeout, check.start_interval))


def slowed(check: HealthcheckSpec) -> HealthcheckSpec:
    """The same check, as often as a file could ask for."""
    times = ((key, getattr(check, key)) for key in ("interval", "timeout", "start_interval"))
    return replace(check, **{key: max(seconds, CHECK_SECONDS_MIN) for key, seconds in times if seconds})


def filled(spec: ContainerSpec, image: Image) -> ContainerSpec:
    """The spec with what it leaves to its image, as an engine fills it in; never labels under our prefix."""
    own, brought = spec.healthcheck, image.healthcheck and slowed(image.healthcheck)
    if own and brought:
        own = replace(own, start_period=own.start_period or brought.start_period)
    other_labels = {key: value for key, value in image.labels.items() if not key.startswith(labels.PREFIX)}
    return replace(
        spec,
        command=spec.command or (None if spec.entrypoint else image.command),
        entrypoint=spec.entrypoint or image.entrypoint,
        working_dir=spec.working_dir or image.working_dir,
        stop_signal=spec.stop_signal or image.stop_signal,
        healthcheck=own or brought,
        environment={**image.environment, **spec.environment},
        labels={**other_labels, **spec.labels},
    )


def fitted(rendered: Rendered, image: Image | None) -> Rendered:
    """The rendered container as it is made from this image, which may leave the engine no rest with its health check.

    A check of the file's own has a `start_interval` from the image where it does not say one. The fingerprint stays, so
    that a tag which comes to mean another image replaces no container.
    """
    own, brought = rendered.spec.healthcheck, image.healthcheck if image else None
    if brought is None or not is_too_frequent(brought):
        return rendered
    check = slowed(brought)
    if own is not None:
        check = replace(own, start_interval=own.start_interval or check.start_interval)
    return replace(rendered, spec=replace(rendered.spec, healthcheck=check))
