"""What an image brings along, held to what a file could ask for."""

from collections.abc import Iterator
from dataclasses import replace
from posixpath import normpath

from reconciler.model.container import ContainerSpec, HealthcheckSpec
from reconciler.model.parts import CHECK_SECONDS_MIN
from reconciler.model.quantities import KIB
from reconciler.model.rendered import Rendered
from reconciler.model.sandbox import Sandbox
from reconciler.model.text import printable
from reconciler.model.world import Image

LABELS_BYTES_MAX = 64 * KIB
"""Those of an image are in each of its containers, and in each list of them."""

PATH_MAX = 200


def forbidden(image: Image, wanted: Sandbox | ContainerSpec) -> Iterator[tuple[str, str, str]]:
    """Why nothing is made from the image: the key that it concerns, what is wrong and how to mend it."""
    size = sum(len(f"{key}{value}".encode(errors="backslashreplace")) for key, value in image.labels.items())
    if size > LABELS_BYTES_MAX:
        yield "image", f"its image has {size // KIB}k of labels", f"at most {LABELS_BYTES_MAX // KIB}k"
    if wanted.read_only:
        mounted = {mount.target for mount in wanted.tmpfs} | {mount.target for mount in wanted.volumes}
        for volume in sorted({normpath(volume) for volume in image.volumes} - mounted):
            path = printable(volume, PATH_MAX)
            yield "read_only", f"its image would write to a volume on {path}", f"mount a tmpfs on {path}"


def calmed(check: HealthcheckSpec) -> HealthcheckSpec:
    """The same check, no more often than a file could ask for; 0 is the engine's own default, which is seldom."""

    def least(seconds: float) -> float:
        return max(seconds, CHECK_SECONDS_MIN) if seconds else 0

    return replace(check, interval=least(check.interval), timeout=least(check.timeout))


def fitted(rendered: Rendered, image: Image | None) -> Rendered:
    """The rendered container as it is made from this image: its health check, where it is the image's, calmed.

    The fingerprint stays, so that a tag which comes to mean another image replaces no container.
    """
    if image is None or image.healthcheck is None or rendered.spec.healthcheck is not None:
        return rendered
    check = calmed(image.healthcheck)
    return replace(rendered, spec=replace(rendered.spec, healthcheck=check)) if check != image.healthcheck else rendered
