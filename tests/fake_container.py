"""What a Docker Engine makes of a create request: `GET /containers/ID/json` as Docker 20.10 answers it."""

from copy import deepcopy
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

NEVER = "0001-01-01T00:00:00Z"

CONFIG: dict[str, Any] = {
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Volumes": None,
    "WorkingDir": "",
    "OnBuild": None,
}

HOST_CONFIG: dict[str, Any] = {
    **dict.fromkeys(["Binds", "PortBindings", "VolumesFrom", "CapAdd", "CapDrop", "Dns", "DnsOptions", "DnsSearch"]),
    **dict.fromkeys(["ExtraHosts", "GroupAdd", "Links", "SecurityOpt", "BlkioWeightDevice", "BlkioDeviceReadBps"]),
    **dict.fromkeys(["BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps", "Devices", "Ulimits"]),
    **dict.fromkeys(["DeviceCgroupRules", "DeviceRequests", "MemorySwappiness", "PidsLimit"]),
    **dict.fromkeys(["ContainerIDFile", "VolumeDriver", "Cgroup", "PidMode", "UTSMode", "UsernsMode", "Isolation"], ""),
    **dict.fromkeys(["CgroupParent", "CpusetCpus", "CpusetMems"], ""),
    **dict.fromkeys(["AutoRemove", "Privileged", "PublishAllPorts", "ReadonlyRootfs", "OomKillDisable"], False),
    **dict.fromkeys(["OomScoreAdj", "CpuShares", "Memory", "NanoCpus", "BlkioWeight", "CpuPeriod", "CpuQuota"], 0),
    **dict.fromkeys(["CpuRealtimePeriod", "CpuRealtimeRuntime", "KernelMemory", "KernelMemoryTCP", "MemorySwap"], 0),
    **dict.fromkeys(["MemoryReservation", "CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth"], 0),
    "LogConfig": {"Type": "json-file", "Config": {}},
    "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
    "NetworkMode": "default",
    "CgroupnsMode": "host",
    "IpcMode": "private",
    "ShmSize": 64 * 1024 * 1024,
    "Runtime": "runc",
    "ConsoleSize": [0, 0],
    "MaskedPaths": ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
    "ReadonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
}

OMITTED_WHEN_EMPTY = ("Mounts", "Tmpfs", "Sysctls", "StorageOpt", "Annotations")


def full_id(kind: str, number: int) -> str:
    """64 hexadecimal digits, the same for the same number."""
    return sha256(f"{kind} {number}".encode()).hexdigest()


def time_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def inspected(container: str, name: str, body: dict[str, Any], image: dict[str, Any], now: float) -> dict[str, Any]:
    """A container that was just created from this image (`GET /images/NAME/json`)."""
    body = deepcopy(body)
    config, host = _config(container, body, image["Config"]), _host_config(body.get("HostConfig") or {})
    network = "bridge" if host["NetworkMode"] == "default" else host["NetworkMode"]
    return {
        "Id": container,
        "Created": time_text(now),
        "Name": f"/{name}",
        "Image": image["Id"],
        "State": {
            "Status": "created",
            "OOMKilled": False,
            "ExitCode": 0,
            "Error": "",
            "StartedAt": NEVER,
            "FinishedAt": NEVER,
        },
        "HostConfig": host,
        "Mounts": [*map(_bind, host.get("Mounts") or ()), *_anonymous(container, config["Volumes"] or {})],
        "Config": config,
        "NetworkSettings": {"Ports": {}, "Networks": {network: {"NetworkID": ""}}},
    }


def _config(container: str, body: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    """What the request leaves out is the image's; maps are merged, the request wins."""
    own = {key: value for key, value in body.items() if key not in {"HostConfig", "NetworkingConfig"}}
    config = {**CONFIG, "Hostname": container[:12], "Cmd": None, "Entrypoint": None, **own}
    if not own.get("Entrypoint"):
        config["Entrypoint"] = image.get("Entrypoint")
        config["Cmd"] = own.get("Cmd") or image.get("Cmd")
    for key in ("Healthcheck", "WorkingDir", "User", "StopSignal"):
        if image.get(key) and not own.get(key):
            config[key] = image[key]
    for key in ("Labels", "ExposedPorts", "Volumes"):
        merged = {**(image.get(key) or {}), **(own.get(key) or {})}
        config[key] = merged if merged or key == "Labels" else config.get(key)
    named = {entry.partition("=")[0] for entry in own.get("Env") or ()}
    others = [entry for entry in image.get("Env") or () if entry.partition("=")[0] not in named]
    config["Env"] = [*(own.get("Env") or ()), *others] or own.get("Env")
    if "Healthcheck" in config:
        asked = {key: one for key, one in config["Healthcheck"].items() if one}
        config["Healthcheck"] = {**(image.get("Healthcheck") or {}), **asked}
        config["Healthcheck"].pop("StartInterval", None)  # this engine's API is 1.41
    return config


def _host_config(asked: dict[str, Any]) -> dict[str, Any]:
    host = {**HOST_CONFIG, **asked}
    if host["Memory"] and not host["MemorySwap"]:
        host["MemorySwap"] = 2 * host["Memory"]
    if host["Privileged"] or "host" in (host["IpcMode"], host["PidMode"]):
        host["SecurityOpt"] = [*(host["SecurityOpt"] or ()), "label=disable"]
    if host["Privileged"]:
        host["MaskedPaths"] = host["ReadonlyPaths"] = None
    return {key: value for key, value in host.items() if value or key not in OMITTED_WHEN_EMPTY}


def _bind(mount: dict[str, Any]) -> dict[str, Any]:
    propagation = (mount.get("BindOptions") or {}).get("Propagation", "rprivate")
    return {
        "Type": mount["Type"],
        "Source": mount["Source"],
        "Destination": mount["Target"],
        "Mode": "",
        "RW": not mount.get("ReadOnly"),
        "Propagation": propagation,
    }


def _anonymous(container: str, volumes: dict[str, Any]) -> list[dict[str, Any]]:
    names = {target: sha256(f"{container} {target}".encode()).hexdigest() for target in volumes}
    return [
        {
            "Type": "volume",
            "Name": name,
            "Source": f"/var/lib/docker/volumes/{name}/_data",
            "Destination": target,
            "Driver": "local",
            "Mode": "",
            "RW": True,
            "Propagation": "",
        }
        for target, name in names.items()
    ]
