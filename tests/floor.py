"""The security floor, said once more in other words than the product's own."""

import re
from pathlib import Path
from typing import Any


def outside_the_floor(inspection: dict[str, Any], socket: Path = Path("/var/run/docker.sock")) -> list[str]:
    """What no running sandbox may have, of what an engine with that socket says it has."""
    config, host, mounts = inspection["Config"], inspection["HostConfig"], inspection["Mounts"]
    published = [host["PortBindings"] or {}, inspection["NetworkSettings"]["Ports"] or {}]
    addresses = {one["HostIp"] for ports in published for bound in ports.values() for one in bound or []}
    privileges = [host["CapDrop"], host["CapAdd"] or [], host["Privileged"], host["SecurityOpt"]]
    check = config.get("Healthcheck") or {}
    periods = {check.get(key) or 0 for key in ("Interval", "Timeout", "StartInterval")}
    labels = sum(len(key) + len(value) for key, value in config["Labels"].items())
    volumes = {mount["Destination"] for mount in mounts if mount["Type"] == "volume"} - (host.get("Tmpfs") or {}).keys()
    within = {
        f"{host['Memory']} bytes of memory": 0 < host["Memory"] <= 512 << 20,
        f"{host['MemorySwap']} bytes with swap": host["MemorySwap"] == host["Memory"],
        f"{host['NanoCpus']} billionths of a CPU": 0 < host["NanoCpus"] <= 1_000_000_000,
        f"{host['PidsLimit']} processes": 0 < (host["PidsLimit"] or 0) <= 100,
        f"privileges {privileges}": privileges == [["ALL"], [], False, ["no-new-privileges:true"]],
        f"the user {config['User']!r}": re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", config["User"]),
        f"ports at {addresses}": addresses <= {"127.0.0.1"},
        f"a check with periods of {periods} ns": not any(0 < period < 1_000_000_000 for period in periods),
        f"{labels} bytes of labels": labels < 80 << 10,
        f"volumes {volumes} under a read-only root": not (host["ReadonlyRootfs"] and volumes),
        f"the restart policy {host['RestartPolicy']}": host["RestartPolicy"]["Name"] == "no",
        f"the engine's socket in {mounts}": not any(_holds(mount["Source"], socket) for mount in mounts),
    }
    return [what for what, holds in within.items() if not holds]


def _holds(source: str, socket: Path) -> bool:
    return socket.resolve().is_relative_to(Path(source).resolve())
