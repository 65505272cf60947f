"""`docker compose`, on the same engine, with the same images and limits."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from reconciler.engine.docker.decode import NO_TRAFFIC_BETWEEN
from reconciler.engine.docker.encode import NANOSECONDS, encode
from reconciler.model.rendered import Rendered
from tests.bench.measure import process

MAJOR_MIN = 2
"""Version 1 was another program, in Python."""


def find() -> tuple[list[str], str] | None:
    """The command and its version: what COMPOSE names, else what is installed. None where there is none."""
    named = os.environ.get("COMPOSE")
    for command in [named.split()] if named else [["docker", "compose"], ["docker-compose"]]:
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            version = done.stdout.strip().removeprefix("v")
            major = version.partition(".")[0]
            if done.returncode == 0 and major.isdigit() and int(major) >= MAJOR_MIN:
                return command, version
    if named:
        raise RuntimeError(f"COMPOSE names {named}, which is no Compose of version {MAJOR_MIN} or later")
    return None


class Compose:
    """One project after another."""

    def __init__(self, command: list[str], version: str, host: str, file: Path) -> None:
        self.version = version
        self._command, self._file = command, file
        self._environment = {"DOCKER_HOST": host}

    def declare(self, wanted: list[Rendered]) -> None:
        """The project is what these would be."""
        project = {
            "services": {one.sandbox: _service(one) for one in wanted},
            "networks": {"default": {"driver_opts": NO_TRAFFIC_BETWEEN}},
        }
        self._file.write_text(json.dumps(project))

    def run(self, *arguments: str) -> float:
        """The seconds of the whole process."""
        return process([*self._command, "-p", "bench", "-f", str(self._file), *arguments], self._environment)


def _service(one: Rendered) -> dict[str, Any]:
    body = encode(one.spec)
    host = body["HostConfig"]
    service: dict[str, Any] = {
        "image": body["Image"],
        "user": body["User"],
        "environment": body["Env"],
        "labels": body["Labels"],
        "stop_grace_period": f"{body['StopTimeout']}s",
        "mem_limit": host["Memory"],
        "memswap_limit": host["MemorySwap"],
        "cpus": host["NanoCpus"] / NANOSECONDS,
        "pids_limit": host["PidsLimit"],
        "cap_drop": host["CapDrop"],
        "security_opt": host["SecurityOpt"],
        "ipc": host["IpcMode"],
        "cgroup": host["CgroupnsMode"],
        "init": host["Init"],
        "read_only": host["ReadonlyRootfs"],
        "shm_size": host["ShmSize"],
        "logging": {"driver": host["LogConfig"]["Type"], "options": host["LogConfig"]["Config"]},
        "restart": host["RestartPolicy"]["Name"],
    }
    if "Cmd" in body:
        service["command"] = body["Cmd"]
    if host["NetworkMode"] == "none":
        service["network_mode"] = "none"
    else:
        service["ports"] = [
            f"{bound['HostIp']}:{bound['HostPort']}:{target}"
            for target, bounds in host["PortBindings"].items()
            for bound in bounds
        ]
    return service
