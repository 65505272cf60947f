"""From a container spec to the request that creates it: `POST /containers/create` of the Docker Engine API.

Every knob is set, also those whose default would do: engines differ in their defaults.
"""

import re
from typing import Any

from reconciler.model.container import ContainerSpec, HealthcheckSpec, TmpfsMount

NANOSECONDS = 1_000_000_000
SHARED = {"private": ""}
"""Docker has no word for a namespace of its own of these kinds: nothing stands for it."""


START_INTERVAL_SINCE = "1.44"


def encode(spec: ContainerSpec, api_version: str = START_INTERVAL_SINCE) -> dict[str, Any]:
    """The body of the request, without what that version of the API does not have. It holds values of `environment`."""
    body: dict[str, Any] = {
        "Image": spec.image,
        "User": spec.user,
        "Env": [f"{key}={value}" for key, value in sorted(spec.environment.items())],
        "Labels": dict(spec.labels),
        "ExposedPorts": {f"{port.target}/{port.protocol}": {} for port in spec.ports},
        "StopTimeout": spec.stop_grace_period,
        "Tty": spec.tty,
        "OpenStdin": spec.stdin_open,
        "HostConfig": _host_config(spec),
    }
    if spec.command is not None:
        body["Cmd"] = list(spec.command)
    if spec.entrypoint is not None:
        body["Entrypoint"] = list(spec.entrypoint)
    if spec.working_dir is not None:
        body["WorkingDir"] = spec.working_dir
    if spec.hostname is not None:
        body["Hostname"] = spec.hostname
    if spec.stop_signal is not None:
        body["StopSignal"] = spec.stop_signal
    if spec.healthcheck is not None:
        body["Healthcheck"] = _healthcheck(spec.healthcheck, api_version)
    return body


def _host_config(spec: ContainerSpec) -> dict[str, Any]:
    host: dict[str, Any] = {
        "Memory": spec.mem_limit,
        "MemorySwap": spec.memswap_limit,
        "NanoCpus": round(spec.cpus * NANOSECONDS),
        "PidsLimit": spec.pids_limit,
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "SecurityOpt": _security_opt(spec),
        "Privileged": spec.privileged,
        "NetworkMode": spec.network_mode,
        "PortBindings": _port_bindings(spec),
        "PublishAllPorts": spec.publish_all,
        "IpcMode": spec.ipc,
        "CgroupnsMode": spec.cgroup,
        "PidMode": SHARED.get(spec.pid, spec.pid),
        "UTSMode": SHARED.get(spec.uts, spec.uts),
        "UsernsMode": spec.userns_mode,
        "Init": spec.init,
        "ReadonlyRootfs": spec.read_only,
        "ShmSize": spec.shm_size,
        "Tmpfs": {mount.target: _tmpfs(mount) for mount in spec.tmpfs},
        "Mounts": [_mount(mount.source, mount.target, read_only=mount.read_only) for mount in spec.volumes],
        "LogConfig": {"Type": spec.logging.driver, "Config": dict(spec.logging.options)},
        "RestartPolicy": {"Name": spec.restart_policy, "MaximumRetryCount": 0},
        "AutoRemove": spec.auto_remove,
    }
    if spec.runtime is not None:
        host["Runtime"] = spec.runtime
    return host


def _security_opt(spec: ContainerSpec) -> list[str]:
    """The engine's own seccomp profile is on where none is named."""
    privileges = ["no-new-privileges:true"] if spec.no_new_privileges else []
    return privileges + ([] if spec.seccomp == "default" else [f"seccomp={spec.seccomp}"])


def _port_bindings(spec: ContainerSpec) -> dict[str, Any]:
    bindings: dict[str, Any] = {}
    for port in spec.ports:
        bound = {"HostIp": port.host_ip, "HostPort": str(port.published)}
        bindings.setdefault(f"{port.target}/{port.protocol}", []).append(bound)
    return bindings


def _tmpfs(mount: TmpfsMount) -> str:
    return ",".join([*mount.options, f"size={mount.size}"])


def _mount(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    """`Mounts`, not `Binds`, which creates a source that is missing, as root."""
    options = {"Propagation": "rprivate", "NonRecursive": True}
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only, "BindOptions": options}


def _healthcheck(check: HealthcheckSpec, api_version: str) -> dict[str, Any]:
    has_start_interval = check.start_interval and number(api_version) >= number(START_INTERVAL_SINCE)
    return {
        "Test": list(check.test),
        "Interval": round(check.interval * NANOSECONDS),
        "Timeout": round(check.timeout * NANOSECONDS),
        "StartPeriod": round(check.start_period * NANOSECONDS),
        "Retries": check.retries,
        **({"StartInterval": round(check.start_interval * NANOSECONDS)} if has_start_interval else {}),
    }


def number(version: str) -> list[int]:
    """To compare it with others; what is no version is older than all."""
    return [int(part) for part in re.findall(r"\d+", version)]
