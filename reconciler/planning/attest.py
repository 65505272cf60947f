"""Whether a container is what was rendered, by the engine's own word."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.model import labels
from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.world import UP, Inspection, Network
from reconciler.planning.words import NOTHING, field, said

MUST_BE_EMPTY = (
    "Annotations",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeight",
    "BlkioWeightDevice",
    "Cgroup",
    "CgroupParent",
    "CpuPeriod",
    "CpuQuota",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpuShares",
    "CpusetCpus",
    "CpusetMems",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "KernelMemory",
    "Links",
    "MemoryReservation",
    "OomKillDisable",
    "OomScoreAdj",
    "StorageOpt",
    "Sysctls",
    "VolumeDriver",
    "VolumesFrom",
)
"""Knobs of HostConfig that reconciler never sets, each an escape, a way to harm the host or a sign of a stranger.

Not among them: `Ulimits`, where an engine writes the defaults that its owner configured.
"""

MUST_NOT_BE_EMPTY = ("MaskedPaths", "ReadonlyPaths")
"""What the engine hides of the host by itself, unless somebody asked it not to."""


def attest(rendered: Rendered, inspection: Inspection) -> tuple[Mismatch, ...]:
    """Every knob of the container that is not as rendered; empty when all of them are.

    No value of `environment` is in a mismatch.
    """
    return tuple(_mismatches(rendered, inspection))


def unfit(rendered: Rendered, inspection: Inspection, network: Network | None) -> tuple[Mismatch, ...]:
    """Why a container that claims to be as rendered must not be started, or run on; empty when it may."""
    return attest(rendered, inspection) + _stranded(rendered, inspection, network)


def _stranded(rendered: Rendered, inspection: Inspection, network: Network | None) -> tuple[Mismatch, ...]:
    """Whether a container that does not run was in a network that is gone: the engine would never start it again."""
    joined = (inspection.raw.get("NetworkSettings") or {}).get("Networks") or {}
    was = str((joined.get(rendered.body["HostConfig"]["NetworkMode"]) or {}).get("NetworkID") or "")
    there = network.id if network else "no network"
    if inspection.state in UP or not was or rendered.body["HostConfig"]["NetworkMode"] == "none" or was == there:
        return ()
    return (Mismatch("network", there[:12], f"{was[:12]}, which is gone"),)


def _mismatches(rendered: Rendered, inspection: Inspection) -> Iterator[Mismatch]:
    body, raw = rendered.body, inspection.raw
    config, host = raw.get("Config") or {}, raw.get("HostConfig") or {}
    yield from _environment(body["Env"], config.get("Env") or [])
    yield from _labels(body["Labels"], config.get("Labels") or {})
    for key, expected in body.items():
        if key not in {"Env", "Labels", "HostConfig", "ExposedPorts"} and not _equal(expected, config.get(key)):
            yield _mismatch(key, expected, config.get(key))
    for key, expected in body["HostConfig"].items():
        if not _equal(expected, host.get(key)):
            yield _mismatch(f"HostConfig.{key}", expected, host.get(key))
    for key in MUST_BE_EMPTY:
        if host.get(key):
            yield _mismatch(f"HostConfig.{key}", None, host[key])
    for key in MUST_NOT_BE_EMPTY:
        if not host.get(key):
            yield Mismatch(f"HostConfig.{key}", "the engine's own", NOTHING)
    yield from _networks(body, raw.get("NetworkSettings") or {}, published=inspection.state in UP)
    yield from _mounts(body, raw.get("Mounts") or [])


def _environment(expected: list[str], actual: list[str]) -> Iterator[Mismatch]:
    """The image's own variables may stand beside ours."""
    for entry in expected:
        if entry not in actual:
            yield Mismatch(f"environment.{entry.partition('=')[0]}", "the value declared", "another or none")


def _labels(expected: Mapping[str, str], actual: Mapping[str, str]) -> Iterator[Mismatch]:
    """The image's own labels may stand beside ours, but not under our prefix."""
    ours = {key for key in actual if key.startswith(labels.PREFIX)}
    for key in sorted(ours | expected.keys()):
        if expected.get(key) != actual.get(key):
            yield _mismatch(f"labels.{key}", expected.get(key), actual.get(key))


def _networks(body: Mapping[str, Any], settings: Mapping[str, Any], *, published: bool) -> Iterator[Mismatch]:
    mode = body["HostConfig"]["NetworkMode"]
    joined = sorted(settings.get("Networks") or {})
    if joined != [mode]:
        yield _mismatch("networks", [mode], joined)
    open_ports = {port: bindings for port, bindings in (settings.get("Ports") or {}).items() if bindings}
    if published and open_ports != body["HostConfig"]["PortBindings"]:
        yield _mismatch("HostConfig.PortBindings", body["HostConfig"]["PortBindings"], open_ports)


def _mounts(body: Mapping[str, Any], mounts: list[Mapping[str, Any]]) -> Iterator[Mismatch]:
    """Besides what was rendered there may be the image's anonymous volumes, and nothing else."""
    rendered = {
        ("bind", mount["Source"], mount["Target"], not mount["ReadOnly"]) for mount in body["HostConfig"]["Mounts"]
    }
    actual = {
        (mount.get("Type"), mount.get("Source"), mount.get("Destination"), mount.get("RW"))
        for mount in mounts
        if not _anonymous(mount) and mount.get("Type") != "tmpfs"
    }
    if actual != rendered:
        yield _mismatch("mounts", sorted(map(str, rendered)), sorted(map(str, actual)))


def _anonymous(mount: Mapping[str, Any]) -> bool:
    name = str(mount.get("Name", ""))
    is_hash = len(name) == 64 and set(name) <= set("0123456789abcdef")
    return mount.get("Type") == "volume" and mount.get("Driver") == "local" and is_hash


def _equal(expected: object, actual: object) -> bool:
    """An engine reads nothing back as null, "", [] or {}."""
    if expected == actual:
        return True
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return all(_equal(expected.get(key), actual.get(key)) for key in expected.keys() | actual.keys())
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(_equal, expected, actual))
    return not expected and not actual


def _mismatch(knob: str, expected: object, actual: object) -> Mismatch:
    return Mismatch(field(knob), said(knob, expected), said(knob, actual))
