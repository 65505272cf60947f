"""A Docker Engine in memory. `tests/engine` holds it to the same contract as a real one.

What is there is kept in the shape of the Engine API and read by the same functions as a real engine's answers.
"""

import itertools
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

from reconciler.engine.docker import decode
from reconciler.engine.docker.causes import refused
from reconciler.engine.docker.encode import encode
from reconciler.engine.docker.refusals import WANTS_LOGIN, not_pulled
from reconciler.engine.protocol import SUBSCRIBED, PullProgressed
from reconciler.model import labels
from reconciler.model.capabilities import ALL
from reconciler.model.container import ContainerSpec
from reconciler.model.errors import EngineRefused, EngineUnavailable, Refusal
from reconciler.model.output import Output
from reconciler.model.world import UP, EngineFacts, Event, Image, Inspection, Network, Summary, Written
from reconciler.spec.image_reference import Reference
from tests.fake_container import full_id, inspected, time_text

MISSING_PROGRAM = "/missing"
"""A command that starts with it is in no image: it fails to start, or under an init process exits at once."""

TERMINATED = 143
KILLED = 137
NOT_FOUND = 127


class FakeEngine:
    """The `Engine` of one instance, and with it the rest of the machine: images, networks, strangers.

    Each call of the contract is noted in `calls`, as its name and what it is about. `before_call` and `after_call` are
    told too, before and after its effect, and may raise. While `down` holds a reason, every call raises
    `EngineUnavailable`.
    """

    def __init__(self, instance: str = "default", clock: Callable[[], float] = time.time) -> None:
        self.instance = instance
        self.clock = clock
        self.calls: list[str] = []
        self.before_call: Callable[[str], None] = lambda _: None
        self.after_call: Callable[[str], None] = lambda _: None
        self.about = EngineFacts("Docker", "20.10.24", "1.41", ALL)
        self.registry: dict[str, dict[str, Any]] = {}
        self.closed: set[str] = set()
        """What the registry shows to nobody with our credentials."""
        self._networks: dict[str, dict[str, Any]] = {}
        self._down: str | None = None
        self._images: dict[str, dict[str, Any]] = {}
        self._containers: dict[str, dict[str, Any]] = {}
        self._written: dict[str, int] = {}
        self._outputs: dict[str, list[Output]] = {}
        self._subscribers: list[SimpleQueue[dict[str, Any] | None]] = []
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    # The contract.

    def facts(self) -> EngineFacts:
        with self._call("facts"):
            return self.about

    def identity(self) -> str:
        with self._call("identity"):
            return "the one engine"

    def containers(self) -> tuple[Summary, ...]:
        with self._call("containers"):
            rows = map(self._row, reversed(self._containers.values()))
            return tuple(decode.summary(row) for row in rows if row["Labels"].get(labels.INSTANCE) == self.instance)

    def writable(self) -> Mapping[str, str]:
        with self._call("writable"):
            return decode.writable({**self._row(raw), "Mounts": raw["Mounts"]} for raw in self._containers.values())

    def inspect(self, container: str) -> Inspection:
        with self._call("inspect", container):
            raw = pickle.loads(pickle.dumps(self._get(container)))  # noqa: S301 - our own; deepcopy takes five times as long
            return decode.inspection(raw)

    def network(self) -> Network | None:
        with self._call("network"):
            return decode.network(list(self._networks.values()), self.instance)

    def image(self, reference: str) -> Image | None:
        with self._call("image", reference):
            return self.known_image(reference)

    def output(self, container: str, since: bytes) -> Iterator[list[Output]]:
        with self._call("output", container):
            self._get(container)
            said = [output for output in self._outputs.get(container, ()) if output.at >= since]
        yield from ([output] for output in said)

    def written(self) -> tuple[Written, ...]:
        with self._call("written"):
            ours = (
                raw
                for raw in self._containers.values()
                if raw["Config"]["Labels"].get(labels.INSTANCE) == self.instance
            )
            sizes = ({"Id": raw["Id"], "SizeRw": self.size_of(raw["Id"]), "Mounts": raw["Mounts"]} for raw in ours)
            return tuple(map(decode.written, sizes))

    def volume_sizes(self) -> Mapping[str, int]:
        with self._call("volume_sizes"):
            sizes = [{"Name": name, "UsageData": {"Size": self.size_of(name)}} for name in self.volumes]
            return decode.volume_sizes({"Volumes": sizes})

    def events(self) -> Iterator[Event]:
        queue: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        with self._call("events"):
            self._subscribers.append(queue)
        yield SUBSCRIBED
        while (item := queue.get()) is not None:
            if event := decode.event(item, self.instance):
                yield event

    def create_network(self) -> None:
        with self._call("create_network"):
            if labels.network_name(self.instance) not in self._network_names():
                self.add_network(
                    labels.network_name(self.instance),
                    options=dict(decode.NO_TRAFFIC_BETWEEN),
                    own_labels={labels.INSTANCE: self.instance},
                )

    def remove_network(self, network: str) -> None:
        with self._call("remove_network", network):
            self._networks.pop(network, None)

    def pull(self, reference: str, progress: PullProgressed) -> None:
        with self._call("pull", reference):
            if reference in self.closed:
                raise EngineRefused(Refusal.UNAUTHORIZED, f"{WANTS_LOGIN}: {reference}")
            if reference not in self.registry:
                raise EngineRefused(Refusal.OTHER, f"{not_pulled('manifest unknown')}: {reference}")
            progress("1 of 1 layers, 100 %", 1.0)
            self.add_image(reference, digest="sha256:" + full_id(reference, 0), **self.registry[reference])

    def create(self, name: str, spec: ContainerSpec) -> str:
        with self._call("create", name):
            return self._create(name, encode(spec))

    def start(self, container: str) -> None:
        with self._call("start", container):
            self._start(container)

    def stop(self, container: str, grace_seconds: int) -> None:  # noqa: ARG002
        with self._call("stop", container):
            if container in self._containers and self._is_up(container):
                self._die(container, TERMINATED)
                self._tell("stop", container)

    def rename(self, container: str, name: str) -> None:
        with self._call("rename", container):
            self.give_name(container, name)

    def unpause(self, container: str) -> None:
        with self._call("unpause", container):
            state = self._get(container)["State"]
            if state["Status"] == "paused":
                state["Status"] = "running"
                self._tell("unpause", container)

    def remove(self, container: str) -> None:
        with self._call("remove", container):
            if container not in self._containers:
                return
            if self._is_up(container):
                raise refused(409, f"You cannot remove a running container {container}. Stop the container before")
            self._tell("destroy", container)
            del self._containers[container]

    # What strangers do, and what happens by itself.

    @property
    def down(self) -> str | None:
        return self._down

    @down.setter
    def down(self, reason: str | None) -> None:
        self._down = reason
        if reason is not None:
            self.cut_events()

    def cut_events(self) -> None:
        """Ends all event streams, silently."""
        subscribers, self._subscribers = self._subscribers, []
        for queue in subscribers:
            queue.put(None)

    def add_image(self, reference: str, *, digest: str = "", **config: Any) -> str:
        """`config` in the words of the Engine API: `Env`, `Labels`, `Volumes`. Returns the id."""
        image = f"sha256:{full_id('image', next(self._numbers))}"
        named = Reference.parse(reference)
        short = named.repository.removeprefix("docker.io/").removeprefix("library/")
        answer = {"Id": image, "RepoDigests": [f"{short}@{digest}"] if digest else [], "Config": config}
        self._images[image] = self._images[str(named)] = self._images[f"{named.repository}@{digest}"] = answer
        return image

    def add_network(
        self, name: str, driver: str = "bridge", options: Mapping[str, str] = {}, own_labels: Mapping[str, str] = {}
    ) -> None:
        network = full_id("network", next(self._numbers))
        self._networks[network] = {
            "Name": name,
            "Id": network,
            "Created": time_text(self.clock()),
            "Driver": driver,
            "Options": dict(options),
            "Labels": dict(own_labels),
        }

    def create_foreign(self, name: str, image: str, **body: Any) -> str:
        """A container that is not of our making; `body` in the words of the Engine API."""
        with self._lock:
            return self._create(name, {"Image": image, **body})

    def known_image(self, reference: str) -> Image | None:
        found = self._find_image(reference)
        return decode.image(reference, found) if found else None

    def run_foreign(self, name: str, image: str, **body: Any) -> str:
        """The same, started."""
        with self._lock:
            container = self.create_foreign(name, image, **body)
            self._start(container)
            return container

    def exit(self, container: str, code: int, *, oom: bool = False) -> None:
        with self._lock:
            if oom:
                self._tell("oom", container)
            self._die(container, code, oom=oom)

    def kill(self, container: str) -> None:
        self.exit(container, KILLED)

    def pause(self, container: str) -> None:
        with self._lock:
            self._get(container)["State"]["Status"] = "paused"
            self._tell("pause", container)

    def update(self, container: str, **host_config: Any) -> None:
        with self._lock:
            self._get(container)["HostConfig"].update(host_config)
            self._tell("update", container)

    def give_name(self, container: str, name: str) -> None:
        with self._lock:
            if any(other["Name"] == f"/{name}" for other in self._containers.values()):
                raise refused(409, f'The container name "/{name}" is already in use')
            self._get(container)["Name"] = f"/{name}"
            self._tell("rename", container)

    def connect(self, container: str, network: str) -> None:
        with self._lock:
            self._get(container)["NetworkSettings"]["Networks"][network] = {"NetworkID": full_id(network, 0)}
            self._tell_network("connect", container, network)

    def fill(self, container: str, size_bytes: int, volume: str = "") -> None:
        """So much is written to the container's own file system, or to the volume that it has at a path."""
        names = {mount["Destination"]: mount["Name"] for mount in self._containers[container]["Mounts"] if volume}
        self._written[names.get(volume, container)] = size_bytes

    def size_of(self, what: str) -> int:
        return self._written.get(what, 0)

    def set_health(self, container: str, health: str, output: str = "") -> None:
        with self._lock:
            self._get(container)["State"]["Health"] = {"Status": health, "Log": [{"Output": output}]}
            self._tell(f"health_status: {health}", container)

    def write(self, container: str, text: bytes) -> None:
        """The container says something, for `output`."""
        at = f"{datetime.fromtimestamp(self.clock(), UTC):%Y-%m-%dT%H:%M:%S.%f}000Z".encode()
        said = self._outputs.setdefault(container, [])
        said.extend(Output(at, b"stdout", line) for line in text.splitlines(keepends=True))

    def remove_by_force(self, container: str) -> None:
        with self._lock:
            if self._is_up(container):
                self._die(container, KILLED)
            self._tell("destroy", container)
            del self._containers[container]

    @property
    def raw_containers(self) -> dict[str, dict[str, Any]]:
        """What is inspected, by id, without a call of the contract."""
        return self._containers

    @property
    def raw_networks(self) -> dict[str, dict[str, Any]]:
        """The same of networks."""
        return self._networks

    @property
    def volumes(self) -> set[str]:
        """The anonymous volumes that are there."""
        mounts = itertools.chain.from_iterable(raw["Mounts"] for raw in self._containers.values())
        return {mount["Name"] for mount in mounts if mount["Type"] == "volume"}

    # How it works.

    @contextmanager
    def _call(self, name: str, about: str = "") -> Iterator[None]:
        about = self._containers[about]["Name"][1:] if about in self._containers else about
        call = f"{name} {about}".rstrip()
        self.calls.append(call)
        self.before_call(call)
        if self._down is not None:
            raise EngineUnavailable(f"{self._down}: cannot {call}")
        with self._lock:
            yield
        self.after_call(call)

    def _get(self, container: str) -> dict[str, Any]:
        if container not in self._containers:
            raise refused(404, f"No such container: {container}")
        return self._containers[container]

    def _network_names(self) -> list[str]:
        return [network["Name"] for network in self._networks.values()]

    def _find_image(self, reference: str) -> dict[str, Any] | None:
        return self._images.get(decode.unmistakable(reference))

    def _is_up(self, container: str) -> bool:
        return self._get(container)["State"]["Status"] in UP

    def _create(self, name: str, body: dict[str, Any]) -> str:
        image = self._find_image(body["Image"])
        if image is None:
            raise refused(404, f"No such image: {body['Image']}")
        for other in self._containers.values():
            if other["Name"] == f"/{name}":
                raise refused(409, f'The container name "/{name}" is already in use by container "{other["Id"]}"')
        container = full_id("container", next(self._numbers))
        self._containers[container] = inspected(container, name, body, image, self.clock())
        self._tell("create", container)
        return container

    def _start(self, container: str) -> None:
        raw = self._get(container)
        if raw["State"]["Status"] == "paused":
            raise refused(409, "cannot start a paused container, try unpause instead")
        if self._is_up(container):
            return
        if why := self._why_not_startable(raw):
            raw["State"] |= {"Error": why, "ExitCode": NOT_FOUND if MISSING_PROGRAM in why else 128}
            raise refused(500, why)
        raw["State"] |= {"Status": "running", "ExitCode": 0, "OOMKilled": False, "Error": ""}
        raw["State"]["StartedAt"] = time_text(self.clock())
        raw["NetworkSettings"]["Ports"] = deepcopy(_published(raw))
        if (raw["Config"].get("Healthcheck") or {}).get("Test", ["NONE"]) != ["NONE"]:
            raw["State"]["Health"] = {"Status": "starting", "Log": []}
        self._tell("start", container)
        if _lacks_its_program(raw):
            self._die(container, NOT_FOUND)

    def _why_not_startable(self, raw: dict[str, Any]) -> str:
        for network in raw["NetworkSettings"]["Networks"]:
            found = [*self._network_names(), "bridge", "none", "host"].count(network)
            if found == 0:
                return f"network {network} not found"
            if found > 1:
                return f"network {network} is ambiguous ({found} matches found on name)"
        if _lacks_its_program(raw) and not raw["HostConfig"].get("Init"):
            return f'OCI runtime create failed: exec: "{_command(raw)[0]}": no such file or directory: unknown'
        others = [other for other in self._containers.values() if other["State"]["Status"] in UP]
        taken = {address for other in others for address in _addresses(other)}
        for ip, port in sorted(_addresses(raw) & taken):
            return f"Bind for {ip}:{port} failed: port is already allocated"
        return ""

    def _die(self, container: str, code: int, *, oom: bool = False) -> None:
        raw = self._get(container)
        raw["State"] |= {"Status": "exited", "ExitCode": code, "OOMKilled": oom}
        raw["State"]["FinishedAt"] = time_text(self.clock())
        raw["NetworkSettings"]["Ports"] = {}
        self._tell("die", container)

    def _row(self, raw: dict[str, Any]) -> dict[str, Any]:
        health = raw["State"].get("Health", {}).get("Status", "")
        sign = {"": "", "starting": " (health: starting)"}.get(health, f" ({health})")
        return {
            "Id": raw["Id"],
            "Names": [raw["Name"]],
            "Labels": dict(raw["Config"]["Labels"]),
            "State": raw["State"]["Status"],
            "Status": f"Up 1 second{sign}" if raw["State"]["Status"] in UP else raw["State"]["Status"],
            "Created": int(decode.epoch(raw["Created"])),
        }

    def _tell(self, action: str, container: str) -> None:
        raw = self._get(container)
        attributes = {**raw["Config"]["Labels"], "name": raw["Name"][1:], "image": raw["Config"]["Image"]}
        self._publish({"Type": "container", "Action": action, "Actor": {"ID": container, "Attributes": attributes}})

    def _tell_network(self, action: str, container: str, network: str) -> None:
        attributes = {"container": container, "name": network, "type": "bridge"}
        self._publish({"Type": "network", "Action": action, "Actor": {"ID": "", "Attributes": attributes}})

    def _publish(self, item: dict[str, Any]) -> None:
        for queue in self._subscribers:
            queue.put(item)


def _command(raw: dict[str, Any]) -> list[str]:
    return [*(raw["Config"]["Entrypoint"] or ()), *(raw["Config"]["Cmd"] or ())]


def _lacks_its_program(raw: dict[str, Any]) -> bool:
    return any(word.startswith(MISSING_PROGRAM) for word in _command(raw)[:1])


def _published(raw: dict[str, Any]) -> dict[str, Any]:
    """Only what is exposed is published."""
    exposed = raw["Config"].get("ExposedPorts") or {}
    return {port: bound for port, bound in (raw["HostConfig"]["PortBindings"] or {}).items() if port in exposed}


def _addresses(raw: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["HostIp"], one["HostPort"]) for bound in _published(raw).values() for one in bound}
