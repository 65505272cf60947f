"""From an accepted sandbox to the whole container: the security policy, as it is handed to the engine.

Every knob that keeps the host safe is set here and nowhere else, and `attest` compares every one of them. Nothing from
YAML is passed through: what is not named here cannot be said.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from reconciler.model import labels
from reconciler.model.policy import Policy
from reconciler.model.rendered import Rendered
from reconciler.model.sandbox import Healthcheck, Sandbox
from reconciler.model.world import Source

EPOCH = 1
"""Raised when this file changes what it renders, so that running sandboxes are replaced by what is meant now."""

LOOPBACK = "127.0.0.1"
"""The only literal that an engine publishes on this host alone; a name or nothing opens the port to the world."""

TMPFS_OPTIONS = "rw,nosuid,nodev,noexec"
SHM_BYTES = 64 * 1024 * 1024
NANOSECONDS = 1_000_000_000


def render(
    name: str,
    sandbox: Sandbox,
    policy: Policy,
    instance: str,
    ports: Mapping[int, int],
    sources: Mapping[str, Source],
) -> Rendered:
    """The container for an effective sandbox; `ports` maps container ports to host ports.

    The fingerprint covers all of it but what may differ between two containers that are equally right: randomly chosen
    host ports.
    """
    fixed = {port.target: port.published or 0 for port in sandbox.ports}
    config = {**_process(sandbox), "HostConfig": _host_config(sandbox, policy, instance, fixed, sources)}
    named = {**sandbox.labels, **policy.labels, labels.INSTANCE: instance, labels.SANDBOX: name}
    fingerprint = _hash({"epoch": EPOCH, "labels": named, "config": config})
    own = {
        labels.FINGERPRINT: fingerprint,
        labels.PORTS: labels.ports_label(ports),
    }
    config["Labels"] = {**named, **own}
    config["HostConfig"] = {**config["HostConfig"], "PortBindings": _port_bindings(ports)}
    return Rendered(
        sandbox=name,
        name=labels.container_name(instance, name, fingerprint),
        fingerprint=fingerprint,
        image=sandbox.image,
        ports=dict(ports),
        grace_seconds=sandbox.stop_grace_period,
        policy=policy.fingerprint,
        body=config,
    )


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _process(sandbox: Sandbox) -> dict[str, Any]:
    process: dict[str, Any] = {
        "Image": sandbox.image,
        "User": sandbox.user,
        "Env": [f"{key}={value}" for key, value in sorted(sandbox.environment.items())],
        "ExposedPorts": {f"{port.target}/tcp": {} for port in sandbox.ports},
        "StopTimeout": sandbox.stop_grace_period,
        "Tty": False,
        "OpenStdin": False,
    }
    if sandbox.command is not None:
        process["Cmd"] = list(sandbox.command)
    if sandbox.entrypoint is not None:
        process["Entrypoint"] = list(sandbox.entrypoint)
    if sandbox.working_dir is not None:
        process["WorkingDir"] = sandbox.working_dir
    if sandbox.healthcheck is not None:
        process["Healthcheck"] = _healthcheck(sandbox.healthcheck)
    return process


def _healthcheck(check: Healthcheck) -> dict[str, Any]:
    return {
        "Test": list(check.test),
        "Interval": int(check.interval * NANOSECONDS),
        "Timeout": int(check.timeout * NANOSECONDS),
        "StartPeriod": int(check.start_period * NANOSECONDS),
        "Retries": check.retries,
    }


def _host_config(
    sandbox: Sandbox, policy: Policy, instance: str, ports: Mapping[int, int], sources: Mapping[str, Source]
) -> dict[str, Any]:
    host: dict[str, Any] = {
        "Memory": sandbox.mem_limit,
        "MemorySwap": sandbox.mem_limit,  # the sum of memory and swap: no swap
        "NanoCpus": int(sandbox.cpus * NANOSECONDS),
        "PidsLimit": sandbox.pids_limit,
        "CapAdd": [],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],  # with the engine's own seccomp profile, which this leaves on
        "Privileged": False,
        "NetworkMode": sandbox.network_mode or labels.network_name(instance),
        "PortBindings": _port_bindings(ports),
        "PublishAllPorts": False,
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "UsernsMode": "",
        "Init": True,  # reaps zombies, which count as processes, and passes the stop signal on
        "ReadonlyRootfs": sandbox.read_only,
        "ShmSize": SHM_BYTES,
        "Tmpfs": {mount.target: f"{TMPFS_OPTIONS},size={mount.size}" for mount in sandbox.tmpfs},
        "Mounts": _mounts(sandbox, sources),
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},  # nothing runs that was not verified just before
        "AutoRemove": False,
    }
    if policy.runtime is not None:
        host["Runtime"] = policy.runtime
    return host


def _port_bindings(ports: Mapping[int, int]) -> dict[str, Any]:
    return {f"{target}/tcp": [{"HostIp": LOOPBACK, "HostPort": str(port)}] for target, port in sorted(ports.items())}


def _mounts(sandbox: Sandbox, sources: Mapping[str, Source]) -> list[dict[str, Any]]:
    """Of the real paths, and without what is mounted below them: neither was judged."""
    return [
        {
            "Type": "bind",
            "Source": sources[volume.source].real,
            "Target": volume.target,
            "ReadOnly": volume.read_only,
            "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
        }
        for volume in sandbox.volumes
    ]
