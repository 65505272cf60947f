"""What a Docker Engine's answers mean: plain functions from the JSON of the Docker Engine API to our own words.

Where a field that matters is missing or misshapen, they raise one of `MALFORMED`: half an answer is none.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from reconciler.engine.docker.decode_spec import (
    decode,
    environment,
    healthcheck,
    own_labels,
    published_ports,
    stop_signal,
    unknown,
    words,
    working_dir,
)
from reconciler.engine.docker.encode import number
from reconciler.model import labels
from reconciler.model.capabilities import ALL, Knob, SetBy
from reconciler.model.world import (
    EngineFacts,
    EngineHealth,
    Event,
    Happening,
    Health,
    Image,
    Inspection,
    Network,
    State,
    Summary,
    Written,
)
from reconciler.spec.image_reference import Reference
from reconciler.spec.mistake import Mistake
from reconciler.spec.text import printable

Answer = Mapping[str, Any]

MALFORMED = (LookupError, TypeError, ValueError, AttributeError)

FULL_ID = re.compile(r"[0-9a-f]{64}")
IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")

LIMITS = {
    Knob.MEMORY: "MemoryLimit",
    Knob.SWAP: "SwapLimit",
    Knob.CPU: "CpuCfsQuota",
    Knob.PIDS: "PidsLimit",
}
"""Where an engine says whether its kernel can set them."""
CGROUP_NAMESPACE_SINCE = "1.41"
"""The first version of the API that can give a container a cgroup namespace of its own."""

BRIDGE = "com.docker.network.bridge.name"
NO_TRAFFIC_BETWEEN = {"com.docker.network.bridge.enable_icc": "false"}

PODMAN_STATES = {
    "configured": State.CREATED,
    "initialized": State.CREATED,
    "stopping": State.RUNNING,
    "stopped": State.EXITED,
}

"""Engines cut lines into pieces of 16 KiB."""

HEALTH_IN_STATUS = {
    "(health: starting)": Health.STARTING,
    "(starting)": Health.STARTING,
    "(healthy)": Health.HEALTHY,
    "(unhealthy)": Health.UNHEALTHY,
}
"""How the status text of a list ends, the only place there where the health is told."""

EVENTS = {
    **dict.fromkeys(("create", "start", "die", "died", "oom", "kill", "stop", "pause", "unpause"), Happening.CHANGED),
    **dict.fromkeys(("update", "rename", "health_status", "connect", "disconnect"), Happening.CHANGED),
    **dict.fromkeys(("destroy", "remove"), Happening.REMOVED),
}
"""Events that may change a decision, as Docker and Podman name them; not the many `exec_*` of health checks."""


def full_id(text: str) -> str:
    """The id itself. An engine takes the beginning of an id, or a path, for an id too: nothing else may be sent."""
    if not FULL_ID.fullmatch(text):
        raise ValueError(f"{printable(text)!r} is not a full id")
    return text


def summary(row: Answer) -> Summary:
    """One row of the list of containers. A malformed row is marked as such, and spoils no other."""
    container = full_id(row["Id"])
    try:
        return _summary(container, row)
    except MALFORMED:
        own = row.get("Labels")
        known = {str(key): str(value) for key, value in own.items()} if isinstance(own, Mapping) else {}
        return Summary(container, "", known, State.RUNNING, None, 0.0, "its row in the engine's list is not known")


def _summary(container: str, row: Answer) -> Summary:
    return Summary(
        id=container,
        name=_name(row["Names"] or []),
        labels={str(key): str(value) for key, value in (row["Labels"] or {}).items()},
        state=_state(row["State"]),
        health=next((health for sign, health in HEALTH_IN_STATUS.items() if sign in row["Status"]), None),
        created_at=float(row["Created"]),
    )


def written(row: Answer) -> Written:
    """One row of the list of containers with their sizes; of one that has written nothing there is none."""
    volumes = tuple(str(mount["Name"]) for mount in row.get("Mounts") or () if mount["Type"] == "volume")
    return Written(full_id(row["Id"]), int(row.get("SizeRw") or 0), volumes)


def writable(rows: Iterable[Answer]) -> Mapping[str, str]:
    """The paths of the host that the containers of a list, whoever's they are, can write, each with who that is."""
    return {
        str(mount.get("Source")): f"container {_name(row.get('Names') or [])}"
        for row in rows
        for mount in row.get("Mounts") or ()
        if isinstance(mount, Mapping) and mount.get("Type") == "bind" and mount.get("RW")
    }


def volume_sizes(usage: Answer) -> Mapping[str, int]:
    """From `GET /system/df`; of a volume that is elsewhere the engine says -1."""
    return {str(one["Name"]): max(0, int(one["UsageData"]["Size"])) for one in usage["Volumes"] or ()}


def _name(names: list[str]) -> str:
    """Among `/name` and `/neighbour/alias`, the container's own; empty while it is being removed."""
    return next((name[1:] for name in names if name.count("/") == 1), "")


def _state(word: str) -> State:
    return PODMAN_STATES.get(word) or State(word)


def about(container: str, raw: Answer) -> Answer:
    """The same answer; an engine that answers about another container cannot be trusted in anything."""
    if raw["Id"] != container:
        raise ValueError(f"asked for {container}, answered {printable(raw['Id'])}")
    return raw


def inspection(raw: Answer) -> Inspection:
    """A container, inspected."""
    state, health = raw["State"], raw["State"].get("Health") or {}
    settings = raw.get("NetworkSettings") or {}
    spec, deviations = decode(raw)
    return Inspection(
        state=_state(state["Status"]),
        health=_health(health.get("Status")),
        health_output=printable(((health.get("Log") or [{}])[-1].get("Output") or "").strip()),
        exit_code=int(state["ExitCode"]),
        oom_killed=state["OOMKilled"] is True,
        error=printable((state.get("Error") or "").strip()),
        started_at=epoch(state["StartedAt"]),
        finished_at=epoch(state["FinishedAt"]),
        image_id=str(raw["Image"]),
        spec=spec,
        deviations=deviations,
        networks={
            name: str((joined or {}).get("NetworkID") or "")
            for name, joined in (settings.get("Networks") or {}).items()
        },
        published=published_ports(settings.get("Ports")),
        pid=int(state.get("Pid") or 0),
        notes=unknown(raw),
    )


def _health(word: str | None) -> Health | None:
    return None if word in (None, "", "none") else Health(word)


def epoch(time: str) -> float:
    """Go's zero time, in the year 1, is never: 0."""
    return max(0.0, datetime.fromisoformat(time).timestamp())


def network(rows: list[Answer], instance: str) -> Network | None:
    """The instance's network among `rows`, which may hold others with names alike."""
    name = labels.network_name(instance)
    named = sorted((row for row in rows if row["Name"] == name), key=lambda row: str(row.get("Created")))
    if not named:
        return None
    ours = all((row["Labels"] or {}).get(labels.INSTANCE) == instance for row in named)
    surplus = tuple(str(row["Id"]) for row in named[1:] if ours)
    id_, options = str(named[0]["Id"]), named[0]["Options"] or {}
    return Network(
        name,
        id_,
        "; ".join(_unfit(named, instance)) or None,
        surplus,
        bridge=printable(options.get(BRIDGE) or f"br-{id_[:12]}"),
        subnets=tuple(printable(one["Subnet"]) for one in (named[0].get("IPAM") or {}).get("Config") or ()),
    )


def _unfit(named: list[Answer], instance: str) -> Iterator[str]:
    row = named[0]
    if len(named) > 1:
        yield f"{len(named)} networks have this name"
    if row["Driver"] != "bridge":
        yield f"its driver is {printable(row['Driver'])}, not bridge"
    if not NO_TRAFFIC_BETWEEN.items() <= (row["Options"] or {}).items():
        yield "traffic between its containers is not off"
    if row.get("EnableIPv6"):
        yield "it has IPv6, over which neighbours may reach one another"
    if row.get("Internal"):
        yield "it is internal, so no port can be published"
    if (row["Labels"] or {}).get(labels.INSTANCE) != instance:
        yield f"it lacks the label {labels.INSTANCE}={instance}"


def image(reference: str, raw: Answer) -> Image:
    """An image, inspected under this reference."""
    digests: list[str] = raw.get("RepoDigests") or []
    config = raw.get("Config") or {}
    return Image(
        reference,
        str(raw["Id"]),
        max(digests, key=lambda one: _likeness(reference, one), default=""),
        own_labels(config),
        healthcheck(config.get("Healthcheck") or {}),
        tuple(sorted(map(str, config.get("Volumes") or {}))),
        words(config.get("Cmd")),
        words(config.get("Entrypoint")),
        working_dir(config),
        stop_signal(config),
        environment(config),
    )


def _likeness(reference: str, digest: str) -> tuple[bool, bool]:
    """How well one of an image's repository digests fits what was asked for."""
    try:
        wanted, found = Reference.parse(reference), Reference.parse(digest)
    except Mistake:  # it was asked for by its id, or has none: `<none>@<none>`
        return False, False
    return found.repository == wanted.repository, found.digest == wanted.digest


def unmistakable(reference: str) -> str:
    """An image's full id, or a reference in full. Raises `Mistake` for what an engine may take for part of an id."""
    return reference if IMAGE_ID.fullmatch(reference) else str(Reference.parse(reference))


def facts(version: Answer, info: Answer) -> EngineFacts:
    """From two answers, of which engines leave out one thing or another: what is missing reads `unknown` or false."""
    components = [str(component.get("Name")) for component in version.get("Components") or ()]
    api_version = printable(version.get("ApiVersion") or "unknown")
    return EngineFacts(
        name="Podman" if any("Podman" in name for name in components) else "Docker",
        version=printable(version.get("Version") or "unknown"),
        api_version=api_version,
        capabilities=ALL | {Knob.SECCOMP: SetBy.NODE} | dict.fromkeys(_lacking(api_version, info), SetBy.NOBODY),
        data=str(info.get("DockerRootDir") or ""),
        id=_id(info),
        host=printable(info.get("Name") or ""),
    )


def identity(info: Answer) -> str:
    """Engines on one host may share an id, but never a data directory."""
    return printable(f"{_id(info)} {info.get('DockerRootDir') or ''}".strip())


def _id(info: Answer) -> str:
    """Podman draws another one for each answer: the name of its host stands for it."""
    return str(info.get("Name" if "BuildahVersion" in info else "ID") or "")


def _lacking(api_version: str, info: Answer) -> Iterator[Knob]:
    """A limit that its kernel cannot set, an engine drops without a word, or refuses the container."""
    yield from (knob for knob, key in LIMITS.items() if info.get(key) is not True)
    if not any(map(_is_seccomp, info.get("SecurityOptions") or ())):
        yield Knob.SECCOMP
    if number(api_version) < number(CGROUP_NAMESPACE_SINCE):
        yield Knob.CGROUP_NAMESPACE


def health(version: Answer, info: Answer) -> EngineHealth:
    """From the same two answers. Podman's engine knows no warnings, and has `v2` for `2`."""
    options = info.get("SecurityOptions") or ()
    status = {str(row[0]): str(row[1]) for row in info.get("DriverStatus") or ()}
    return EngineHealth(
        facts=facts(version, info),
        security=frozenset(part.removeprefix("name=") for option in options for part in option.split(",")[:1]),
        cgroup_version=printable(info.get("CgroupVersion") or "").removeprefix("v"),
        live_restore=info.get("LiveRestoreEnabled") is True,
        storage_driver=printable(info.get("Driver") or ""),
        containerd_store=status.get("driver-type", "").startswith("io.containerd.snapshotter"),
        file_system=printable(status.get("Backing Filesystem") or ""),
        clock=epoch(info["SystemTime"]),
        warnings=tuple(printable(" ".join(str(warning).split())) for warning in info.get("Warnings") or ()),
    )


def _is_seccomp(option: str) -> bool:
    """`name=seccomp,profile=default`; an engine whose own profile is `unconfined` filters nothing."""
    parts = option.split(",")
    return "name=seccomp" in parts and "profile=unconfined" not in parts


def event(item: Answer, instance: str) -> Event | None:
    """None for what is not of this instance, or changes no decision.

    That a container joins or leaves a network is told of every container, as such an event carries no label. Podman has
    the container where Docker has the network.
    """
    what = EVENTS.get(item["Action"].partition(":")[0])  # `health_status: healthy`
    if what is None:
        return None
    attributes = item["Actor"].get("Attributes") or {}
    if item["Type"] == "container":
        return Event(item["Actor"]["ID"], what) if attributes.get(labels.INSTANCE) == instance else None
    if item["Action"] in {"connect", "disconnect"}:
        return Event(attributes.get("container") or item["Actor"]["ID"], what)
    return Event("", what) if attributes.get("name") == labels.network_name(instance) else None
