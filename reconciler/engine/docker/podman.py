"""Podman, which speaks Docker's API with words of its own: here they become Docker's, so that all else sees one API.

What that API leaves out is asked of Podman's own, or of the kernel. Podman knows no network in which neighbours are
kept apart, only networks that are: so each container has one to itself, in the place of the instance's network.
"""

import json
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from requests import HTTPError

from reconciler.engine.docker.api import Client
from reconciler.engine.docker.decode import BRIDGE, NO_TRAFFIC_BETWEEN
from reconciler.engine.docker.encode import NANOSECONDS
from reconciler.engine.host import Mount, mounts
from reconciler.model import labels
from reconciler.spec.image_reference import Reference
from reconciler.spec.mistake import Mistake

Answer = Mapping[str, Any]

OWN_API = "/v4.0.0/libpod"

ISOLATED = {"isolate": "strict"}
"""No traffic with any other network of Podman's."""

ASKED = "reconciler.asked"
"""The annotation in which a container carries what it was asked to be, where Podman fills in what was left out."""
INERT = re.compile(
    r"io\.container\.manager|io\.podman\.annotations\.(init|pids-limit|seccomp|privileged|label|apparmor)|org\.opencontainers\.image\..*"
    r"|org\.systemd\.property\.(KillSignal|TimeoutStopUSec)"
)
"""Annotations that repeat what Podman tells elsewhere, or describe an image."""

ADDED = {"HOME", "HOSTNAME", "PATH", "TERM", "container"}
"""Variables that Podman sets where nobody does."""
CHECK_DEFAULTS = {"Interval": 30 * NANOSECONDS, "Timeout": 30 * NANOSECONDS, "Retries": 3}

PARENTS = {"", "machine.slice", "user.slice"}
"""Where containers go that were given no place of their own; the slices are of systemd, root's and a user's."""

SHARED = " (others can be reached)"
"""After the name of a network in which a container is not by itself."""

CONTROLLERS = {"MemoryLimit": "memory", "SwapLimit": "memory", "CpuCfsQuota": "cpu", "PidsLimit": "pids"}
"""The controller of cgroups that each limit needs."""

NOT_FOUND = 404
CPU_PERIOD = 100_000
HIDDEN = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware")
READ_ONLY = ("/proc/bus", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
NOT_TOLD = ["not told"]


class PodmanClient(Client):
    """Asks Podman, and answers as Docker does."""

    def info(self) -> dict[str, Any]:
        """What Podman says of itself, with the limits that it can set on cgroups of version 2."""
        answer: dict[str, Any] = super().info()
        if answer["CgroupVersion"] == "2":
            answer |= limits(self._own("GET", "/info")["host"]["cgroupControllers"])
        return answer

    def inspect_container(self, container: str) -> dict[str, Any]:
        """The container, as Docker would tell of it."""
        answer: dict[str, Any] = super().inspect_container(container)
        own = self._own("GET", f"/containers/{answer['Id']}/json")
        networks = [self._network(name) for name in answer["NetworkSettings"]["Networks"] or () if name != "none"]
        digests = self._digests(answer["Image"]) if "@" in said_of(own).get("image", "") else []
        return as_docker(answer, own, networks, mounts_of(container, answer["State"]["Pid"]), digests)

    def inspect_image(self, image: str) -> dict[str, Any]:
        """The image, with the times that Podman adds to its health check."""
        answer: dict[str, Any] = super().inspect_image(image)
        if check := answer["Config"].get("Healthcheck"):
            answer["Config"]["Healthcheck"] = check | {
                key: check.get(key) or CHECK_DEFAULTS[key] for key in CHECK_DEFAULTS
            }
        return answer

    def create_container_from_config(self, config: Answer, name: str) -> dict[str, Any]:
        """Creates the container, and before it the network that it has to itself."""
        body = asked(config, super().inspect_image(config["Image"])["Config"])
        if config["HostConfig"]["NetworkMode"] == "none":
            return dict(super().create_container_from_config(body, name))
        own = {key: config["Labels"][key] for key in (labels.INSTANCE, labels.SANDBOX)}
        with suppress(HTTPError):  # one that is left over is judged as it is
            self.create_network(name, labels=own)
        body["HostConfig"]["NetworkMode"] = name
        try:
            return dict(super().create_container_from_config(body, name))
        except HTTPError:
            self._remove_own_network(name)
            raise

    def remove_container(self, container: str, **options: Any) -> None:
        """Removes the container, and after it the network that it has had to itself."""
        networks = super().inspect_container(container)["NetworkSettings"]["Networks"] or ()
        super().remove_container(container, **options)
        for name in networks:
            self._remove_own_network(name)

    def stop(self, container: str, timeout: int) -> None:
        """Stops the container, also one that is paused."""
        if super().inspect_container(container)["State"]["Paused"]:
            self.unpause(container)
        super().stop(container, timeout)

    def networks(self, names: list[str]) -> list[dict[str, Any]]:
        """The networks, with the options that Podman tells in its own API alone."""
        own = {row["id"]: row for row in self._own("GET", "/networks/json")}
        rows: list[dict[str, Any]] = super().networks(names)
        return [row | {"Options": network_options(own[row["Id"]])} for row in rows if row["Id"] in own]

    def create_network(self, name: str, **options: Any) -> dict[str, str]:
        """Creates an isolated bridge network, whatever else is asked for."""
        body = {"name": name, "driver": "bridge", "options": ISOLATED, "labels": options["labels"]}
        return {"Id": self._own("POST", "/networks/create", json=body)["id"]}

    def _digests(self, image: str) -> list[str]:
        """The references by digest that an image was pulled as; none of one that is gone."""
        with suppress(HTTPError):
            return list(super().inspect_image(image)["RepoDigests"] or ())
        return []

    def _network(self, name: str) -> Answer:
        """As Podman's own API tells of it; of one that is gone, no more than its name."""
        try:
            return dict(self._own("GET", f"/networks/{name}/json"))
        except HTTPError as error:
            if error.response.status_code != NOT_FOUND:
                raise
            return {"name": name, "id": ""}

    def _remove_own_network(self, name: str) -> None:
        """Which is harmless when it stays: it has no interface without a container."""
        with suppress(HTTPError):
            if labels.SANDBOX in (self._network(name).get("labels") or {}):
                self.remove_network(name)

    def _own(self, method: str, path: str, **options: Any) -> Any:
        response = self.request(method, f"{self.base_url}{OWN_API}{path}", **options)
        response.raise_for_status()
        return response.json()


def limits(controllers: list[str]) -> dict[str, bool]:
    """Which limits there are; Podman denies those that have no file at the root of cgroups of version 2."""
    return {limit: controller in controllers for limit, controller in CONTROLLERS.items()}


def asked(config: Answer, image: Answer) -> dict[str, Any]:
    """A request for a container of an image, as Podman wants it. It carries along what its answers will not tell."""
    host = config["HostConfig"]
    tmpfs = {
        path: f"{options.replace(_owner(config['User']), 'U')},notmpcopyup" for path, options in host["Tmpfs"].items()
    }
    said = {
        "image": config["Image"],
        "environment": sorted({entry.partition("=")[0] for entry in (*config["Env"], *(image.get("Env") or ()))}),
        "stop_signal": config.get("StopSignal") or image.get("StopSignal") or "",
        "targets": [mount["Target"] for mount in host["Mounts"]],
    }
    annotations = {ASKED: json.dumps(said)}
    return {**config, "HostConfig": {**host, "Tmpfs": tmpfs, "Annotations": annotations}}


def said_of(own: Answer) -> Answer:
    """What the container carries along."""
    return dict(json.loads((own["HostConfig"].get("Annotations") or {}).get(ASKED) or "{}"))


def as_docker(
    answer: Answer, own: Answer, networks: list[Answer], inside: tuple[Mount, ...] | None, digests: list[str]
) -> dict[str, Any]:
    """What Docker would say of a container.

    `answer` is Podman's of Docker's API, `own` that of its own API, `networks` are those that it is in, of that API
    too, `inside` its mounts, None where nobody knows them, and `digests` the references by digest of its image.
    """
    said = said_of(own)
    host = {**answer["HostConfig"], **_resources(answer["HostConfig"]), **_confinement(own, inside)}
    config = {
        **answer["Config"],
        "Image": _image(answer, said.get("image", ""), digests),
        "StopSignal": _stop_signal(answer["Config"]["StopSignal"], said.get("stop_signal", "")),
        "Env": [entry for entry in answer["Config"]["Env"] or () if not _is_added(entry, said.get("environment"))],
    }
    host["Tmpfs"] = {path: _tmpfs(options, config["User"]) for path, options in (host.get("Tmpfs") or {}).items()}
    host["Binds"], host["Mounts"] = None, _binds(own["Mounts"], said.get("targets", []))
    joined: dict[str, Any] = {_network_name(network, own): {} for network in networks}
    if host["NetworkMode"] == "bridge":
        host["NetworkMode"] = next((name for name in joined if SHARED not in name), "bridge")
    settings = {**answer["NetworkSettings"], "Networks": joined or answer["NetworkSettings"]["Networks"]}
    if not answer["State"]["Pid"]:  # what is being stopped is not `Running`, and is still up
        settings["Ports"] = {}
    return {**answer, "Config": config, "HostConfig": host, "NetworkSettings": settings}


def network_options(own: Answer) -> dict[str, str]:
    """Docker's options for what Podman's own API says of the instance's network, in which no container is."""
    apart = NO_TRAFFIC_BETWEEN if (own.get("options") or {}).items() >= ISOLATED.items() else {}
    return {**apart, BRIDGE: str(own.get("network_interface") or "")}


def mounts_of(container: str, pid: int) -> tuple[Mount, ...] | None:
    """The mounts of a container of this host that runs, None of any other."""
    process = Path("/proc") / str(pid)
    try:
        found = mounts(process / "mountinfo") if pid else None
        return found if container in (process / "cgroup").read_text() else None
    except OSError:
        return None


def _resources(host: Answer) -> dict[str, Any]:
    """Podman tells a share of CPUs in two ways, and the size of its one log file in a place of its own."""
    quota = round(host["NanoCpus"] / NANOSECONDS * CPU_PERIOD)
    is_twice = (host["CpuPeriod"], host["CpuQuota"]) == (CPU_PERIOD, quota)
    return {"CpuPeriod": 0, "CpuQuota": 0} if is_twice else {}


def _confinement(own: Answer, inside: tuple[Mount, ...] | None) -> dict[str, Any]:
    host = own["HostConfig"]
    size = re.fullmatch(r"(\d+)MB", host["LogConfig"].get("Size") or "")
    annotations = {key: value for key, value in (host.get("Annotations") or {}).items() if not INERT.fullmatch(key)}
    annotations.pop(ASKED, None)
    if own["Config"].get("SystemdMode"):
        annotations["systemd"] = "always"
    masked, read_only = ([], []) if host["Privileged"] else _hidden(inside)
    return {
        "Annotations": annotations,
        "CgroupParent": "" if host["CgroupParent"] in PARENTS else host["CgroupParent"],
        "CapDrop": ["ALL"] if set(own["BoundingCaps"] or ()) <= set(host["CapAdd"] or ()) else _dropped(host),
        "CgroupnsMode": host.get("CgroupMode") or "",
        "LogConfig": {"Type": host["LogConfig"]["Type"], "Config": _log_options(size and size[1])},
        "MaskedPaths": masked,
        "ReadonlyPaths": read_only,
        "Runtime": own["OCIRuntime"],
    }


def _dropped(host: Answer) -> list[str]:
    return [name.removeprefix("CAP_") for name in host["CapDrop"] or ()]


def _log_options(megabytes: str | None) -> dict[str, str]:
    """Podman keeps one file, which is less than the three that are allowed."""
    return {"max-size": f"{megabytes}m", "max-file": "3"} if megabytes else {}


def _hidden(inside: tuple[Mount, ...] | None) -> tuple[list[str], list[str]]:
    """What of the kernel is hidden from a container, and what is read-only; nothing of either unless all is."""
    if inside is None:
        return NOT_TOLD, NOT_TOLD
    points = {str(mount.point): mount.read_only for mount in inside}
    masked, read_only = ([path for path in paths if Path(path).exists()] for paths in (HIDDEN, READ_ONLY))
    return masked * all(path in points for path in masked), read_only * all(points.get(path) for path in read_only)


def _image(answer: Answer, said: str, digests: list[str]) -> str:
    """By the name that was asked for, if that is one for the same image; Podman prefers a tag to a digest."""
    found = re.sub("^docker.io/(library/)?", "", str(answer["Config"]["Image"]))
    names = [_content(name) for name in (found, *digests)]
    return said if said and (said == answer["Image"] or _content(said) in names) else found


def _content(name: str) -> Reference | str:
    """What decides which image a name is for: of tag and digest, the digest."""
    with suppress(Mistake):
        parsed = Reference.parse(name)
        return parsed._replace(tag="") if parsed.digest else parsed
    return name


def _stop_signal(number: str, said: str) -> str:
    """By the name that was asked for, if it is that number; where none was, Podman has a default."""
    return said if _signal_number(said or "SIGTERM") == number else number


def _signal_number(name: str) -> str:
    if real_time := re.fullmatch(r"SIG(RTMIN|RTMAX)([+-][0-9]+)?", name):
        return str(signal.Signals[f"SIG{real_time[1]}"] + int(real_time[2] or 0))
    return name if name.isdigit() else str(int(getattr(signal.Signals, name, 0)))


def _is_added(entry: str, said: list[str] | None) -> bool:
    name = entry.partition("=")[0]
    return said is not None and name in ADDED and name not in said


def _owner(user: str) -> str:
    return re.sub(r"^(\d+):(\d+)$", r"uid=\1,gid=\2", user)


def _tmpfs(options: str, user: str) -> str:
    """Before the first start, it is only said that it belongs to the container's user."""
    return re.sub(r"\bU\b", _owner(user), options).removesuffix(",rprivate").removesuffix(",notmpcopyup")


def _binds(mounts: list[Answer], said: list[str]) -> list[dict[str, Any]]:
    """In the order that was asked for: Podman tells them in any."""
    binds = [_bind(mount) for mount in mounts if mount["Type"] == "bind"]
    order = {target: number for number, target in enumerate(said)}
    return sorted(binds, key=lambda bind: order.get(bind["Target"], len(order)))


def _bind(mount: Answer) -> dict[str, Any]:
    options = {"Propagation": mount["Propagation"], "NonRecursive": mount["Options"] == ["bind"]}
    source, target = mount["Source"], mount["Destination"]
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": not mount["RW"], "BindOptions": options}


def _network_name(network: Answer, own: Answer) -> str:
    """A network of the instance's in which a container is by itself, and apart from others, is the instance's to it."""
    theirs, ours = network.get("labels") or {}, own["Config"].get("Labels") or {}
    instance = str(ours.get(labels.INSTANCE))
    is_own = theirs.get(labels.INSTANCE) == instance
    is_alone = set(network.get("containers") or {}) <= {own["Id"]}
    is_apart = network.get("driver") == "bridge" and (network.get("options") or {}).items() >= ISOLATED.items()
    usable = not network.get("internal") and not network.get("ipv6_enabled")
    return (
        labels.network_name(instance) if is_own and is_alone and is_apart and usable else f"{network['name']}{SHARED}"
    )
