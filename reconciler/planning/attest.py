"""Whether a container is what was rendered, by the engine's own word and by the kernel's."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.model import labels
from reconciler.model.container import ContainerSpec
from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.world import UP, Image, Inspection, Network
from reconciler.planning.describe import KNOBS, NOTHING, TEXT_MAX, said
from reconciler.planning.floor import beside_the_spec
from reconciler.planning.images import filled, is_too_frequent, slowed
from reconciler.planning.kernel import unread
from reconciler.spec.text import printable

OPEN = frozenset({"command", "entrypoint", "working_dir", "stop_signal", "healthcheck", "runtime"})
"""Knobs that are the image's, or the engine's own, where the spec does not say them."""


def attest(rendered: Rendered, inspection: Inspection, image: Image | None = None) -> tuple[Mismatch, ...]:
    """Every knob of the container that differs from what was rendered; empty when none does.

    `image` is the one that it was made from: where that is not known, what the spec leaves to it is not compared. No
    value of `environment` is in a mismatch.
    """
    missing = unread(inspection) if rendered.require_kernel_facts else ()
    return (*_mismatches(rendered.spec, inspection, image), *missing)


def start_blockers(
    rendered: Rendered, inspection: Inspection, image: Image | None, network: Network | None
) -> tuple[Mismatch, ...]:
    """Why a container that claims to be what is rendered must not be started, or run on; empty when it may."""
    return attest(rendered, inspection, image) + _stranded(rendered.spec, inspection, network)


def _stranded(spec: ContainerSpec, inspection: Inspection, network: Network | None) -> tuple[Mismatch, ...]:
    """Whether a container that does not run was in a network that is gone: the engine would never start it again."""
    was = inspection.networks.get(spec.network_mode, "")
    there = network.id if network else "no network"
    if inspection.state in UP or not was or spec.network_mode == "none" or was == there:
        return ()
    return (Mismatch("network", there[:12], f"{was[:12]}, which is gone"),)


def _mismatches(spec: ContainerSpec, inspection: Inspection, image: Image | None) -> Iterator[Mismatch]:
    actual = inspection.spec
    if actual is None:
        yield Mismatch("container", "known", "unknown")
        return
    declared, unknown = spec.environment, OPEN
    if image:
        spec, unknown = filled(spec, image), frozenset({"runtime"})
    for knob in KNOBS:
        expected, found = getattr(spec, knob), getattr(actual, knob)
        if knob == "healthcheck" and expected and found:  # an engine takes what is left out from the image
            expected = replace(expected, start_period=expected.start_period or found.start_period)
        if knob == "environment":
            yield from _environment(expected, found, declared, complete=image is not None)
        elif knob == "labels":
            yield from _labels(expected, found)
        elif expected != found and not (knob in unknown and expected is None):
            yield Mismatch(knob, said(knob, expected), said(knob, found))
    if actual.healthcheck and is_too_frequent(actual.healthcheck):
        usual = slowed(actual.healthcheck)
        yield Mismatch("healthcheck", said("healthcheck", usual), said("healthcheck", actual.healthcheck))
    yield from beside_the_spec(inspection, spec.network_mode)
    if inspection.state in UP and inspection.published != spec.ports:
        yield Mismatch("ports", said("ports", spec.ports), said("ports", inspection.published))


def _environment(
    expected: Mapping[str, str], actual: Mapping[str, str], declared: Mapping[str, str], *, complete: bool
) -> Iterator[Mismatch]:
    """The image's own variables stand beside ours; where nobody knows them, others may."""
    for key, value in expected.items():
        if actual.get(key) != value:
            whose = "declared" if key in declared else "of the image"
            yield Mismatch(printable(f"environment.{key}", TEXT_MAX), f"the value {whose}", "another or none")
    for key in sorted(actual.keys() - expected.keys() if complete else ()):
        yield Mismatch(printable(f"environment.{key}", TEXT_MAX), NOTHING, "a value")


def _labels(expected: Mapping[str, str], actual: Mapping[str, str]) -> Iterator[Mismatch]:
    """The image's own labels may stand beside ours, but not under our prefix."""
    ours = {key for key in actual if key.startswith(labels.PREFIX)}
    for key in sorted(ours | expected.keys()):
        if key == labels.SALT and expected.get(key) != actual.get(key):
            yield Mismatch(f"labels.{key}", "the sandbox's own", "another or none")
        elif expected.get(key) != actual.get(key):
            yield Mismatch(printable(f"labels.{key}", TEXT_MAX), said("", expected.get(key)), said("", actual.get(key)))
