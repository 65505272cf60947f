"""From an inspected container back to its spec: `GET /containers/ID/json` of the Docker Engine API.

What the spec cannot hold becomes a deviation, so that nothing an engine says is lost silently.
"""

import re
from collections.abc import Iterator, Mapping
from posixpath import normpath
from typing import Any

from reconciler.engine.docker.encode import NANOSECONDS
from reconciler.model.container import (
    BindMount,
    ContainerSpec,
    Deviation,
    HealthcheckSpec,
    Logging,
    PublishedPort,
    TmpfsMount,
)
from reconciler.spec.text import printable

Answer = Mapping[str, Any]

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
    "StorageOpt",
    "Sysctls",
    "VolumeDriver",
    "VolumesFrom",
)
"""Knobs of HostConfig that are never set: each lets a container escape, harms the host or is somebody else's.

Not among them: `Ulimits`, where an engine writes the defaults that its owner configured.
"""

MUST_NOT_BE_EMPTY = ("MaskedPaths", "ReadonlyPaths")
"""What the engine hides of the host by itself, unless somebody asked it not to."""

KNOWN = {
    "HostConfig": {
        *("Memory", "MemorySwap", "NanoCpus", "PidsLimit", "CapAdd", "CapDrop", "SecurityOpt", "Privileged", "Runtime"),
        *("NetworkMode", "PortBindings", "PublishAllPorts", "IpcMode", "CgroupnsMode", "PidMode", "UTSMode", "Init"),
        *("UsernsMode", "ReadonlyRootfs", "ShmSize", "Tmpfs", "Mounts", "LogConfig", "RestartPolicy", "AutoRemove"),
        *("ConsoleSize", "ContainerIDFile", "KernelMemoryTCP", "MemorySwappiness", "OomScoreAdj", "Ulimits"),
        *("CpuCount", "CpuPercent", "IOMaximumBandwidth", "IOMaximumIOps", "Isolation"),  # of Windows
        *(*MUST_BE_EMPTY, *MUST_NOT_BE_EMPTY),
    },
    "Config": {
        *("Image", "User", "Cmd", "Entrypoint", "WorkingDir", "Env", "Labels", "Healthcheck", "StopTimeout", "Tty"),
        *("ArgsEscaped", "AttachStderr", "AttachStdin", "AttachStdout", "Domainname", "ExposedPorts", "Hostname"),
        *("MacAddress", "NetworkDisabled", "OnBuild", "OpenStdin", "Shell", "StdinOnce", "StopSignal", "Volumes"),
    },
}
"""What is decoded, what is compared, and what engines up to Docker 29 say besides, which loosens nothing."""

NOTE_MAX = 120
NOTHING = "nothing"


def decode(raw: Answer) -> tuple[ContainerSpec, tuple[Deviation, ...]]:
    """The spec of an inspected container, and what it cannot hold. Raises one of `MALFORMED` for half an answer."""
    config, host = raw.get("Config") or {}, raw.get("HostConfig") or {}
    security = list(map(str, host.get("SecurityOpt") or ()))
    spec = ContainerSpec(
        image=str(config.get("Image") or ""),
        user=str(config.get("User") or ""),
        command=words(config.get("Cmd")),
        entrypoint=words(config.get("Entrypoint")),
        working_dir=working_dir(config),
        hostname=_hostname(raw, config),
        stop_signal=stop_signal(config),
        environment=environment(config),
        labels=own_labels(config),
        healthcheck=healthcheck(config.get("Healthcheck") or {}),
        stop_grace_period=config.get("StopTimeout"),
        mem_limit=int(host.get("Memory") or 0),
        memswap_limit=int(host.get("MemorySwap") or 0),
        cpus=int(host.get("NanoCpus") or 0) / NANOSECONDS,
        pids_limit=int(host.get("PidsLimit") or 0),
        network_mode=str(host.get("NetworkMode") or ""),
        ports=published_ports(host.get("PortBindings")),
        read_only=bool(host.get("ReadonlyRootfs")),
        tmpfs=tuple(_tmpfs(*mount) for mount in sorted((host.get("Tmpfs") or {}).items())),
        volumes=tuple(filter(None, map(_bind_mount, host.get("Mounts") or ()))),
        runtime=host.get("Runtime") or None,
        cap_add=words(host.get("CapAdd")) or (),
        cap_drop=words(host.get("CapDrop")) or (),
        no_new_privileges=any(map(_is_no_new_privileges, security)),
        seccomp=next((option[8:] for option in security if option[:8] in {"seccomp=", "seccomp:"}), "default"),
        privileged=bool(host.get("Privileged")),
        ipc=str(host.get("IpcMode") or ""),
        cgroup=str(host.get("CgroupnsMode") or ""),
        pid=host.get("PidMode") or "private",
        uts=host.get("UTSMode") or "private",
        userns_mode=str(host.get("UsernsMode") or ""),
        init=bool(host.get("Init")),
        tty=bool(config.get("Tty")),
        stdin_open=bool(config.get("OpenStdin")),
        shm_size=int(host.get("ShmSize") or 0),
        logging=_logging(host.get("LogConfig") or {}),
        publish_all=bool(host.get("PublishAllPorts")),
        restart_policy=(host.get("RestartPolicy") or {}).get("Name") or "no",
        auto_remove=bool(host.get("AutoRemove")),
    )
    return spec, tuple(_deviations(spec, host, security, raw.get("Mounts") or ()))


def unknown(raw: Answer) -> tuple[str, ...]:
    """Non-empty fields that this version does not know, as of a newer engine: shown, and no reason to stop anything."""
    return tuple(
        printable(f"{key} {value}", NOTE_MAX)
        for part, known in KNOWN.items()
        for key, value in sorted((raw.get(part) or {}).items())
        if value and key not in known
    )


def published_ports(bindings: Answer | None) -> tuple[PublishedPort, ...]:
    """`{"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "61000"}]}`, sorted."""
    return tuple(sorted(_published(port, one) for port, bound in (bindings or {}).items() for one in bound or ()))


def _published(port: str, bound: Answer) -> PublishedPort:
    target, _, protocol = port.partition("/")
    return PublishedPort(int(target), int(bound.get("HostPort") or 0), bound.get("HostIp") or "", protocol)


def words(value: list[str] | None) -> tuple[str, ...] | None:
    """None also for an empty list."""
    return tuple(map(str, value)) if value else None


def working_dir(config: Answer) -> str:
    """Some engines normalise it, and some leave out what is the default."""
    return "/" + normpath(config.get("WorkingDir") or "/").lstrip("/")


def _hostname(raw: Answer, config: Answer) -> str | None:
    """None where the engine chose it: the beginning of the container's id."""
    name = str(config.get("Hostname") or "")
    return None if name in {"", str(raw.get("Id"))[:12]} else name


def stop_signal(config: Answer) -> str | None:
    """Of a container, or of an image."""
    return config.get("StopSignal") or None


def environment(config: Answer) -> dict[str, str]:
    """Of a container, or of an image; of two variables with one name the last."""
    pairs = (entry.partition("=") for entry in config.get("Env") or ())
    return {key: value for key, _, value in pairs}


def own_labels(config: Answer) -> dict[str, str]:
    """Of a container, or of an image."""
    return {str(key): str(value) for key, value in (config.get("Labels") or {}).items()}


def _is_no_new_privileges(option: str) -> bool:
    return option in {"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"}


def healthcheck(check: Answer) -> HealthcheckSpec | None:
    """None where there is none, or nothing is tested."""
    if not check.get("Test"):
        return None
    times = ("Interval", "Timeout", "StartPeriod", "StartInterval")
    interval, timeout, start_period, start_interval = (int(check.get(time) or 0) / NANOSECONDS for time in times)
    retries = int(check.get("Retries") or 0)
    return HealthcheckSpec(tuple(check["Test"]), interval, timeout, start_period, retries, start_interval)


def _tmpfs(target: str, options: str) -> TmpfsMount:
    words = options.split(",")
    sizes = [word.removeprefix("size=") for word in words if re.fullmatch(r"size=[0-9]+", word)]
    others = tuple(word for word in words if not re.fullmatch(r"size=[0-9]+", word))
    return TmpfsMount(target, int(sizes[-1]) if sizes else 0, others)


def _bind_mount(mount: Answer) -> BindMount | None:
    options = mount.get("BindOptions") or {}
    if mount.get("Type") != "bind" or options != {"Propagation": "rprivate", "NonRecursive": True}:
        return None
    return BindMount(str(mount.get("Source")), str(mount.get("Target")), bool(mount.get("ReadOnly")))


def _logging(log: Answer) -> Logging:
    return Logging(str(log.get("Type") or ""), tuple(sorted((log.get("Config") or {}).items())))


def _deviations(
    spec: ContainerSpec, host: Answer, security: list[str], mounts: tuple[Answer, ...] | list[Answer]
) -> Iterator[Deviation]:
    """A rootless engine passes its own OOM score on, under systemd 200: who dies first harms nobody."""
    for knob in MUST_BE_EMPTY:
        if host.get(knob):
            yield Deviation(knob, printable(host[knob]))
    if int(host.get("OomScoreAdj") or 0) < 0:
        yield Deviation("OomScoreAdj", printable(host["OomScoreAdj"]))
    for knob in MUST_NOT_BE_EMPTY:
        if not host.get(knob):
            yield Deviation(knob, NOTHING)
    for option in security:
        if not (_is_no_new_privileges(option) or option[:8] in {"seccomp=", "seccomp:"}):
            yield Deviation("SecurityOpt", printable(option))
    for mount in host.get("Mounts") or ():
        if _bind_mount(mount) is None:
            yield Deviation("Mounts", printable(f"{mount.get('Type')} {mount.get('Source')} on {mount.get('Target')}"))
    asked = {(mount.source, mount.target, mount.read_only) for mount in spec.volumes}
    there = {
        (mount.get("Source"), mount.get("Destination"), not mount.get("RW"))
        for mount in mounts
        if not _anonymous(mount) and mount.get("Type") != "tmpfs"
    }
    if asked != there:
        found = "; ".join(sorted(f"{source} on {target}" for source, target, _ in there))
        yield Deviation("Mounts", printable(found or NOTHING))


def _anonymous(mount: Answer) -> bool:
    """A volume that the image brings along."""
    is_hash = re.fullmatch(r"[0-9a-f]{64}", str(mount.get("Name", "")))
    return mount.get("Type") == "volume" and mount.get("Driver") == "local" and is_hash is not None
