"""Whether a container is within the security floor, whoever made it: what no sandbox can choose."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields

from reconciler.model.container import LOOPBACK, TMPFS_OPTIONS, ContainerSpec
from reconciler.model.rendered import Mismatch
from reconciler.model.world import UP, Inspection
from reconciler.planning.describe import NOTHING, said
from reconciler.planning.kernel import beside_the_engine

CHOSEN = frozenset(
    {
        *("command", "entrypoint", "working_dir", "hostname", "stop_signal", "healthcheck", "ports", "read_only"),
        *("tmpfs", "volumes"),
    }
)
"""Knobs with a default that a sandbox can choose all the same; `runtime` is the policy's."""

FIXED: Mapping[str, object] = {
    one.name: one.default
    for one in fields(ContainerSpec)
    if one.default is not MISSING and one.name not in CHOSEN | {"runtime"}
}

USER = re.compile(r"[1-9][0-9]*:[1-9][0-9]*")


def outside_floor(inspection: Inspection, network: str) -> tuple[Mismatch, ...]:
    """What no container of an instance with this network may have; empty when it is within the floor."""
    spec = inspection.spec
    if spec is None:
        return (Mismatch("container", "known", "unknown"),)
    beside = beside_the_spec(inspection, spec.network_mode)
    return (*_knobs(spec, network), *_ports(spec, inspection), *beside)


def _knobs(spec: ContainerSpec, network: str) -> Iterator[Mismatch]:
    for knob, expected in FIXED.items():
        if getattr(spec, knob) != expected:
            yield Mismatch(knob, said(knob, expected), said(knob, getattr(spec, knob)))
    for knob in ("mem_limit", "cpus", "pids_limit"):
        if getattr(spec, knob) <= 0:
            yield Mismatch(knob, "limited", said(knob, getattr(spec, knob)))
    if spec.memswap_limit != spec.mem_limit:
        yield Mismatch("memswap_limit", said("mem_limit", spec.mem_limit), said("mem_limit", spec.memswap_limit))
    if not USER.fullmatch(spec.user):
        yield Mismatch("user", "not root", said("user", spec.user))
    for mount in spec.tmpfs:
        if not mount.size or not set(TMPFS_OPTIONS) <= set(mount.options):
            yield Mismatch("tmpfs", "limited, nosuid, nodev, noexec", said("tmpfs", (mount,)))
    if spec.network_mode not in {"none", network}:
        yield Mismatch("network_mode", network, said("network_mode", spec.network_mode))


def _ports(spec: ContainerSpec, inspection: Inspection) -> Iterator[Mismatch]:
    for ports in (spec.ports, inspection.published if inspection.state in UP else ()):
        if any(port.host_ip != LOOPBACK for port in ports):
            yield Mismatch("ports", f"on {LOOPBACK}", said("ports", ports))


def beside_the_spec(inspection: Inspection, network_mode: str) -> Iterator[Mismatch]:
    """What is not right of it and no `ContainerSpec` holds: other networks, deviations, and what the kernel says."""
    if list(inspection.networks) != [network_mode]:
        yield Mismatch("networks", network_mode, said("", ", ".join(sorted(inspection.networks))))
    yield from (Mismatch(deviation.knob, NOTHING, deviation.value) for deviation in inspection.deviations)
    yield from beside_the_engine(inspection)
