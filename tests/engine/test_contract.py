"""What the controller relies on, proved for the fake engine of the tests and for a real one alike."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.docker.encode import encode
from reconciler.model import labels
from reconciler.model.container import ContainerSpec, Logging, PublishedPort
from reconciler.model.errors import EngineRefused, EngineUnavailable, Refusal
from reconciler.model.output import Output
from reconciler.model.rendered import Rendered
from reconciler.model.world import Event, Happening, Health, State
from reconciler.planning.attest import attest
from reconciler.spec.mistake import Mistake
from tests.conftest import IMAGE
from tests.engine.conftest import Bench
from tests.private_engine import CGROUPS
from tests.waiting import eventually

GONE = "0" * 64

OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}


NO_OOM_KILL = set() if (CGROUPS / "cgroup.controllers").exists() else {"OomKillDisable"}
"""With version 2 of cgroups there is no such knob, and what asks for it is dropped."""


def refusal_of(call: Callable[[], object]) -> Refusal:
    with pytest.raises(EngineRefused) as refused:
        call()
    return refused.value.refusal


def state(bench: Bench, container: str) -> State:
    return bench.engine.inspect(container).state


def spec(bench: Bench, container: str) -> ContainerSpec:
    found = bench.engine.inspect(container).spec
    assert found is not None
    return found


def loosened(bench: Bench, rendered: Rendered, **host: Any) -> str:
    """The container as rendered, but for some knobs of HostConfig."""
    body = encode(rendered.spec)
    body["HostConfig"] |= host
    return str(bench.outside.create_foreign(rendered.name, body.pop("Image"), **body))


# What is there.


def test_facts(bench: Bench) -> None:
    """An engine says what it is, and that it has all that the security floor asks for."""
    facts = bench.engine.facts()
    assert facts.name in {"Docker", "Podman"}
    assert facts.version
    assert facts.api_version.startswith("1.")
    assert facts.lacking == ()


def test_nothing_is_there_at_first(bench: Bench) -> None:
    """An instance without containers has an empty list, not an error."""
    assert bench.engine.containers() == ()


def test_a_created_container_is_listed(bench: Bench) -> None:
    """The list holds the full id, the name without a slash, and the labels."""
    rendered = bench.rendered()
    container = bench.engine.create(rendered.name, rendered.spec)
    (summary,) = bench.engine.containers()
    assert summary.id == container
    assert len(summary.id) == 64
    assert summary.name == rendered.name
    assert summary.labels == rendered.spec.labels
    assert summary.state is State.CREATED
    assert summary.health is None
    assert summary.created_at > 0


def test_the_list_holds_any_state(bench: Bench) -> None:
    """Created, running, paused and exited containers are all listed."""
    bench.created("one")
    bench.started("two")
    bench.outside.pause(bench.started("three"))
    bench.engine.stop(bench.started("four"), 0)
    expected = {"one": State.CREATED, "two": State.RUNNING, "three": State.PAUSED, "four": State.EXITED}
    eventually(lambda: states(bench) == expected)  # a stop is answered before the list knows of it


def states(bench: Bench) -> dict[str, State]:
    return {summary.labels[labels.SANDBOX]: summary.state for summary in bench.engine.containers()}


def test_others_are_not_seen(bench: Bench) -> None:
    """Neither unlabelled containers nor those of another instance are listed."""
    bench.outside.run_foreign("stranger-1", IMAGE)
    bench.outside.run_foreign("stranger-2", IMAGE, Labels={labels.INSTANCE: "another"})
    ours = bench.outside.run_foreign("stranger-3", IMAGE, Labels={labels.INSTANCE: bench.instance})
    assert [summary.id for summary in bench.engine.containers()] == [ours]


def test_a_container_that_is_gone_is_not_found(bench: Bench) -> None:
    """To inspect, to start or to read what is not there is refused with a reason of its own."""
    assert refusal_of(lambda: bench.engine.inspect(GONE)) is Refusal.NOT_FOUND
    assert refusal_of(lambda: bench.engine.start(GONE)) is Refusal.NOT_FOUND
    assert refusal_of(lambda: bench.engine.unpause(GONE)) is Refusal.NOT_FOUND
    assert refusal_of(lambda: list(bench.engine.output(GONE, b""))) is Refusal.NOT_FOUND


# Create, and what it reads back as.

EVERYTHING: dict[str, Any] = {
    "environment": {"A": "b=c", "EMPTY": ""},
    "working_dir": "/tmp",
    "hostname": "web-1",
    "stop_signal": "SIGRTMIN+3",
    "ports": [3000, 8080],
    "mem_limit": "64m",
    "cpus": 0.5,
    "pids_limit": 20,
    "read_only": True,
    "tmpfs": ["/scratch:size=1m"],
    "volumes": [{"type": "bind", "source": "/srv", "target": "/data", "read_only": True}],
    "healthcheck": {
        "test": ["CMD", "true"],
        "interval": "30s",
        "timeout": "3s",
        "start_period": "5s",
        "start_interval": "2s",
        "retries": 2,
    },
    "labels": {"team": "blue"},
    "stop_grace_period": "3s",
}


@pytest.mark.parametrize("keys", [{}, {"network_mode": "none"}, EVERYTHING], ids=["plain", "no network", "everything"])
def test_a_container_reads_back_as_rendered(bench: Bench, keys: dict[str, Any]) -> None:
    """Before it starts, while it runs and after it was stopped, each knob is as it was asked for."""
    rendered = bench.rendered(**keys)
    container = bench.engine.create(rendered.name, rendered.spec)
    assert attest(rendered, bench.engine.inspect(container)) == ()
    bench.engine.start(container)
    assert attest(rendered, bench.engine.inspect(container)) == ()
    bench.engine.stop(container, 0)
    assert attest(rendered, bench.engine.inspect(container)) == ()
    assert bench.engine.inspect(container).notes == ()


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("mem_limit", 512 * 1024 * 1024),
        ("memswap_limit", 512 * 1024 * 1024),
        ("cpus", 1.0),
        ("pids_limit", 100),
        ("cap_add", ()),
        ("cap_drop", ("ALL",)),
        ("no_new_privileges", True),
        ("seccomp", "default"),
        ("privileged", False),
        ("publish_all", False),
        ("ipc", "private"),
        ("cgroup", "private"),
        ("pid", "private"),
        ("uts", "private"),
        ("init", True),
        ("read_only", False),
        ("shm_size", 64 * 1024 * 1024),
        ("runtime", "runc"),
        ("logging", Logging("json-file", (("max-file", "3"), ("max-size", "10m")))),
        ("restart_policy", "no"),
        ("auto_remove", False),
    ],
)
def test_a_knob_reads_back(bench: Bench, knob: str, value: object) -> None:
    """Each knob of the security policy is told back as it was set."""
    assert getattr(spec(bench, bench.created()), knob) == value


@pytest.mark.parametrize(
    ("knob", "value", "found"),
    [
        ("MemorySwap", 0, {"memswap_limit"}),
        ("CapDrop", [], {"cap_drop"}),
        ("CapAdd", ["NET_ADMIN"], {"cap_add"}),
        ("SecurityOpt", [], {"no_new_privileges"}),
        ("SecurityOpt", ["no-new-privileges:false"], {"no_new_privileges", "SecurityOpt"}),
        ("SecurityOpt", ["no-new-privileges:true", "seccomp=unconfined"], {"seccomp"}),
        ("Privileged", True, {"privileged", "SecurityOpt", "MaskedPaths", "ReadonlyPaths"}),
        ("IpcMode", "host", {"ipc", "SecurityOpt"}),
        ("PidMode", "host", {"pid", "SecurityOpt"}),
        ("UTSMode", "host", {"uts"}),
        ("Init", False, {"init"}),
        ("MaskedPaths", [], {"MaskedPaths"}),
        ("ReadonlyPaths", [], {"ReadonlyPaths"}),
        ("OomKillDisable", True, NO_OOM_KILL),
        ("Sysctls", {"net.ipv4.ip_forward": "1"}, {"Sysctls"}),
        ("Devices", [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}], {"Devices"}),
        ("RestartPolicy", {"Name": "always", "MaximumRetryCount": 0}, {"restart_policy"}),
    ],
)
def test_what_was_loosened_reads_back_as_loose(bench: Bench, knob: str, value: object, found: set[str]) -> None:
    """A container with one knob turned differs from the rendered one in it, and in what the engine turns with it."""
    rendered = bench.rendered()
    container = loosened(bench, rendered, **{knob: value})
    assert {mismatch.knob for mismatch in attest(rendered, bench.engine.inspect(container))} == found


def test_memory_without_swap_is_doubled(bench: Bench) -> None:
    """An engine that is told no limit of swap allows as much swap as memory."""
    container = bench.outside.create_foreign("swapping", IMAGE, HostConfig={"Memory": 64 << 20})
    assert spec(bench, container).memswap_limit == 128 << 20
    bench.outside.remove_by_force(container)


def test_labels_of_the_image_stand_beside_ours(bench: Bench) -> None:
    """An image can add labels to its containers, also under our prefix, and cannot change those that are set."""
    spoof = {labels.INSTANCE: "another", labels.PREFIX + "spoof": "yes", "vendor": "x"}
    bench.outside.add_image("labelled:test", Labels=spoof)
    rendered = bench.rendered(image="labelled:test")
    bench.engine.create(rendered.name, rendered.spec)
    (summary,) = bench.engine.containers()
    assert summary.labels == {**rendered.spec.labels, labels.PREFIX + "spoof": "yes", "vendor": "x"}


def test_environment_of_the_image_stands_beside_ours(bench: Bench) -> None:
    """What the image sets is there too, unless it is set here."""
    bench.outside.add_image("environment:test", Env=["A=image", "B=image"])
    container = bench.created(image="environment:test", environment={"A": "ours"})
    environment = dict(spec(bench, container).environment)
    environment.pop("PATH", None)
    assert environment == {"A": "ours", "B": "image"}


@pytest.mark.parametrize(
    "own",
    [
        {"command": None},
        {"command": None, "entrypoint": ["sh"]},
        {"command": ["sh"], "environment": {"B": "ours"}, "labels": {"maintainer": "ours"}},
        {"working_dir": "/tmp"},
        {"stop_signal": "INT", "hostname": "web"},
    ],
    ids=["nothing", "an entrypoint", "a command, a variable and a label", "a directory", "a signal and a name"],
)
def test_what_is_left_to_the_image_is_the_images(bench: Bench, own: dict[str, Any]) -> None:
    """Whatever part of it a file leaves out, it is compared with the image's, and does not differ."""
    brought = {"Env": ["A=image", "B=image"], "Labels": {"maintainer": "image"}, "WorkingDir": "/srv/x/"}
    bench.outside.add_image("whole:test", Entrypoint=["image-entry"], Cmd=["image-command"], **brought)
    rendered = bench.rendered(image="whole:test", **own)
    inspection = bench.engine.inspect(bench.engine.create(rendered.name, rendered.spec))
    image = bench.engine.image("whole:test")
    assert image is not None
    assert image.id == inspection.image_id
    assert attest(rendered, inspection, image) == ()
    assert attest(rendered, inspection, replace(image, environment={"A": "another"}))


def test_an_entrypoint_drops_the_command_of_the_image(bench: Bench) -> None:
    """Who sets the entrypoint and no command gets no command; who sets neither gets the image's."""
    bench.outside.add_image("entry:test", Entrypoint=["image-entry"], Cmd=["image-command"])
    plain = spec(bench, bench.created("plain", image="entry:test", command=["sh"]))
    assert (plain.entrypoint, plain.command) == (("image-entry",), ("sh",))
    rendered = bench.rendered("own", image="entry:test", entrypoint=["sh"])
    without = replace(rendered, spec=replace(rendered.spec, command=None))
    own = spec(bench, bench.engine.create(without.name, without.spec))
    assert (own.entrypoint, own.command) == (("sh",), None)


def test_a_taken_name_is_refused(bench: Bench) -> None:
    """A second container of the same name is refused with a reason of its own."""
    bench.created()
    assert refusal_of(bench.created) is Refusal.NAME_TAKEN


def test_a_missing_image_is_refused(bench: Bench) -> None:
    """A container of an image that the engine does not have is refused with a reason of its own."""
    assert refusal_of(lambda: bench.created(image="missing:1")) is Refusal.IMAGE_MISSING
    assert bench.engine.containers() == ()


# Start and stop.


def test_start(bench: Bench) -> None:
    """A started container runs, and its start has a time; to start it again changes nothing."""
    container = bench.started()
    first = bench.engine.inspect(container)
    assert first.state is State.RUNNING
    assert first.started_at > 0
    assert first.finished_at == 0
    bench.engine.start(container)
    assert bench.engine.inspect(container).started_at == first.started_at


def test_stop(bench: Bench) -> None:
    """A stopped container has exited of the stop signal; to stop it again changes nothing."""
    container = bench.started()
    eventually(lambda: begun(bench, container))
    bench.engine.stop(container, 10)
    bench.engine.stop(container, 10)
    stopped = bench.engine.inspect(container)
    assert stopped.state is State.EXITED
    assert stopped.exit_code == 143
    assert not stopped.oom_killed
    assert stopped.finished_at >= stopped.started_at


def begun(bench: Bench, container: str) -> bool:
    """Whether its own program runs: as long as the runtime's is in its place, a signal is lost."""
    name = Path(f"/proc/{bench.engine.inspect(container).pid}/comm")
    return not (name.exists() and name.read_text().startswith(("runc", "crun")))


def test_what_never_ran_is_stopped_already(bench: Bench) -> None:
    """To stop a created container, or one that is gone, is success."""
    container = bench.created()
    bench.engine.stop(container, 0)
    assert state(bench, container) is State.CREATED
    bench.engine.stop(GONE, 0)


def test_start_again(bench: Bench) -> None:
    """A stopped container can be started once more, and forgets how it ended."""
    container = bench.started()
    bench.engine.stop(container, 0)
    bench.engine.start(container)
    again = bench.engine.inspect(container)
    assert (again.state, again.exit_code) == (State.RUNNING, 0)


def test_a_program_that_is_missing(bench: Bench) -> None:
    """With an init process a program that is missing does not fail the start: it exits at once, with 127."""
    container = bench.started(command=["/missing/program"])
    eventually(lambda: state(bench, container) is State.EXITED)
    assert bench.engine.inspect(container).exit_code == 127


def test_a_start_that_fails(bench: Bench) -> None:
    """A failed start is refused, says why, and leaves the container created."""
    rendered = bench.rendered(command=["/missing/program"])
    container = bench.engine.create(rendered.name, replace(rendered.spec, init=False))
    with pytest.raises(EngineRefused, match="/missing/program") as refused:
        bench.engine.start(container)
    assert refused.value.refusal is Refusal.OTHER
    failed = bench.engine.inspect(container)
    assert (failed.state, failed.exit_code) == (State.CREATED, 127)
    assert "/missing/program" in failed.error


def test_a_network_that_is_missing(empty_bench: Bench) -> None:
    """A container is created without its network being there, and is refused its start, though it is itself found."""
    container = empty_bench.created()
    assert refusal_of(lambda: empty_bench.engine.start(container)) is Refusal.OTHER
    assert state(empty_bench, container) is State.CREATED


def test_a_taken_port_is_refused(bench: Bench) -> None:
    """Of two containers with one host port only one starts; the other does so when the first is gone."""
    first = bench.started("first", host_port=40999)
    second = bench.created("second", host_port=40999)
    assert refusal_of(lambda: bench.engine.start(second)) is Refusal.PORT_TAKEN
    assert state(bench, second) is State.CREATED
    bench.engine.stop(first, 0)
    bench.engine.start(second)
    assert state(bench, second) is State.RUNNING


def test_ports_are_published_while_it_runs(bench: Bench) -> None:
    """The published ports read back, on 127.0.0.1 only, and vanish with the stop."""
    container = bench.started(host_port=40998)
    assert bench.engine.inspect(container).published == (PublishedPort(3000, 40998, "127.0.0.1"),)
    bench.engine.stop(container, 0)
    assert not bench.engine.inspect(container).published


def test_calls_from_many_threads(bench: Bench) -> None:
    """An engine may be asked by several threads at once."""
    with ThreadPoolExecutor(8) as threads:
        containers = list(threads.map(lambda number: bench.started(f"web-{number}"), range(8)))
    assert {summary.id for summary in bench.engine.containers()} == set(containers)
    assert all(summary.state is State.RUNNING for summary in bench.engine.containers())


# Remove.


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_what_runs_is_not_removed(bench: Bench, *, paused: bool) -> None:
    """To remove a container that runs is refused, and it runs on."""
    container = bench.started()
    if paused:
        bench.outside.pause(container)
    assert refusal_of(lambda: bench.engine.remove(container)) is Refusal.BUSY
    assert state(bench, container) is (State.PAUSED if paused else State.RUNNING)


def test_remove(bench: Bench) -> None:
    """A created or stopped container is removed; to remove it again, or to stop it, changes nothing."""
    created, stopped = bench.created("created"), bench.started("stopped")
    bench.engine.stop(stopped, 0)
    for container in (created, stopped, created, stopped):
        bench.engine.remove(container)
    bench.engine.stop(stopped, 0)
    assert bench.engine.containers() == ()


def test_what_containers_have_written_is_measured(bench: Bench) -> None:
    """Running or not, each container of the instance is told with the bytes that are not its image's."""
    bench.outside.run_foreign("stranger-1", IMAGE)
    empty, filled = bench.started("empty"), bench.started("filled")
    bench.outside.fill(filled, 300_000)
    bench.engine.stop(filled, 0)
    written = {one.id: one for one in bench.engine.written()}
    assert written.keys() == {empty, filled}
    assert written[empty].bytes < 100_000
    assert 300_000 <= written[filled].bytes < 400_000
    assert written[filled].volumes == ()


def test_volumes_are_measured(bench: Bench) -> None:
    """What is in a volume of the image is not the container's own, and is told beside it."""
    bench.outside.add_image("volume:test", Volumes={"/data": {}})
    container = bench.started(image="volume:test")
    bench.outside.fill(container, 300_000, volume="/data")
    (written,) = bench.engine.written()
    (volume,) = written.volumes
    assert written.bytes < 100_000
    assert 300_000 <= bench.engine.volume_sizes()[volume] < 400_000


def test_anonymous_volumes_go_with_the_container(bench: Bench) -> None:
    """A volume that the image asked for is made with the container and is removed with it."""
    bench.outside.add_image("volume:test", Volumes={"/data": {}})
    before = bench.outside.volumes
    rendered = bench.rendered(image="volume:test")
    container = bench.engine.create(rendered.name, rendered.spec)
    assert len(bench.outside.volumes - before) == 1
    assert attest(rendered, bench.engine.inspect(container)) == ()
    bench.engine.remove(container)
    assert bench.outside.volumes == before


# What happens to a container.


def test_an_exit_code(bench: Bench) -> None:
    """A program that ends leaves its exit code, and no sign of trouble with memory."""
    container = bench.started()
    bench.outside.exit(container, 7)
    ended = bench.engine.inspect(container)
    assert (ended.state, ended.exit_code, ended.oom_killed) == (State.EXITED, 7, False)
    assert ended.finished_at >= ended.started_at


def test_a_kill_for_memory(bench: Bench) -> None:
    """A program that wants more memory than it may have is killed, and the engine says that this was why."""
    container = bench.started(mem_limit="16m")
    bench.outside.exit(container, 137, oom=True)
    ended = bench.engine.inspect(container)
    assert (ended.state, ended.exit_code, ended.oom_killed) == (State.EXITED, 137, True)


def test_a_kill_by_hand(bench: Bench) -> None:
    """A container killed by somebody is told apart from one killed for memory."""
    container = bench.started()
    bench.outside.kill(container)
    ended = bench.engine.inspect(container)
    assert (ended.state, ended.exit_code, ended.oom_killed) == (State.EXITED, 137, False)


def test_a_removal_by_hand(bench: Bench) -> None:
    """A container that somebody removed is gone from the list."""
    bench.outside.remove_by_force(bench.started())
    assert bench.engine.containers() == ()


def test_pause(bench: Bench) -> None:
    """A paused container says so, cannot be started, and runs on when it is unpaused."""
    container = bench.started()
    bench.outside.pause(container)
    assert state(bench, container) is State.PAUSED
    assert refusal_of(lambda: bench.engine.start(container)) is Refusal.BUSY
    bench.engine.unpause(container)
    assert state(bench, container) is State.RUNNING


def test_a_name_is_given_back(bench: Bench) -> None:
    """A container that somebody renamed is listed under its new name, and can be renamed, unless the name is taken."""
    rendered = bench.rendered()
    container = bench.engine.create(rendered.name, rendered.spec)
    bench.outside.give_name(container, f"{bench.instance}-renamed")
    assert [one.name for one in bench.engine.containers()] == [f"{bench.instance}-renamed"]
    bench.engine.rename(container, rendered.name)
    assert [one.name for one in bench.engine.containers()] == [rendered.name]
    other = bench.created("other")
    assert refusal_of(lambda: bench.engine.rename(other, rendered.name)) is Refusal.NAME_TAKEN


def test_what_is_not_paused_is_unpaused_already(bench: Bench) -> None:
    """To unpause a container that runs, or that never ran, is success."""
    bench.engine.unpause(bench.started("running"))
    bench.engine.unpause(bench.created("created"))


def test_a_paused_container_can_be_stopped(bench: Bench) -> None:
    """A stop does not need the container to be unpaused first."""
    container = bench.started()
    bench.outside.pause(container)
    bench.engine.stop(container, 1)
    assert state(bench, container) is State.EXITED


def test_drift_by_update(bench: Bench) -> None:
    """What somebody changes in a running container can be read."""
    rendered = bench.rendered()
    container = bench.engine.create(rendered.name, rendered.spec)
    bench.engine.start(container)
    bench.outside.update(container, Memory=256 << 20, MemorySwap=256 << 20)
    mismatches = [mismatch.knob for mismatch in attest(rendered, bench.engine.inspect(container))]
    assert mismatches == ["mem_limit", "memswap_limit"]


def test_drift_by_another_network(bench: Bench) -> None:
    """A network that somebody connects can be read."""
    rendered = bench.rendered()
    container = bench.engine.create(rendered.name, rendered.spec)
    bench.engine.start(container)
    bench.outside.connect(container, "bridge")
    mismatches = [mismatch.knob for mismatch in attest(rendered, bench.engine.inspect(container))]
    assert mismatches == ["networks"]


def test_health(bench: Bench) -> None:
    """A health check starts undecided, and its verdict and last output are told, in the list and when inspected."""
    container = bench.checked()
    assert bench.engine.inspect(container).health is Health.STARTING
    for health, output in ((Health.HEALTHY, "fine"), (Health.UNHEALTHY, "not so well")):
        bench.outside.set_health(container, health.value, output)
        seen = bench.engine.inspect(container)
        assert (seen.health, seen.health_output) == (health, output)
        assert [summary.health for summary in bench.engine.containers()] == [health]


def test_no_health(bench: Bench) -> None:
    """A container without a health check has no health."""
    seen = bench.engine.inspect(bench.started())
    assert (seen.health, seen.health_output) == (None, "")


# What it says.


def said(bench: Bench, container: str, since: bytes = b"") -> list[Output]:
    """What a container that has stopped has said."""
    return [output for some in bench.engine.output(container, since) for output in some]


def stopped_after(bench: Bench, *texts: bytes) -> str:
    container = bench.started()
    for text in texts:
        bench.outside.write(container, text)
        time.sleep(0.01)
    bench.outside.write(container, b"end\n")
    eventually(lambda: b"end\n" in (output.text for output in first(bench, container)))
    bench.engine.stop(container, 0)
    return container


def first(bench: Bench, container: str) -> list[Output]:
    """What it has said until now: whoever follows a container that runs waits for more."""
    found: list[Output] = []
    for some in bench.engine.output(container, b""):
        found += some
        if found[-1].text == b"end\n":
            break
    return found


def test_output(bench: Bench) -> None:
    """The output is read line by line as it was written, with the time of each line; it ends with the container."""
    container = stopped_after(bench, b"one\ntwo\n", b"three\n")
    outputs = said(bench, container)
    assert [output.text for output in outputs] == [b"one\n", b"two\n", b"three\n", b"end\n"]
    assert {output.stream for output in outputs} == {b"stdout"}
    times = [output.at for output in outputs]
    assert times == sorted(times)
    assert all(len(at) == 30 for at in times)


def test_output_since(bench: Bench) -> None:
    """Output can be asked for from a moment on, which is part of it, to the nanosecond."""
    container = stopped_after(bench, b"one\n", b"two\n")
    _, two, end = said(bench, container)
    assert said(bench, container, two.at) == [two, end]
    assert said(bench, container, end.at) == [end]


# Events.


class Listener:
    """Collects events from another thread, as the controller does."""

    def __init__(self, bench: Bench) -> None:
        self.heard: list[Event] = []
        self._thread = threading.Thread(target=self._listen, args=(bench,), daemon=True)
        self._thread.start()
        eventually(lambda: self.heard)

    def _listen(self, bench: Bench) -> None:
        with suppress(EngineUnavailable):
            for event in bench.engine.events():
                self.heard.append(event)

    def of(self, container: str) -> list[Happening]:
        return [event.what for event in self.heard if event.container == container]

    def hears(self, container: str, what: Happening = Happening.CHANGED) -> None:
        """Of something that has happened since the last time; what else the engine tells of it comes along."""
        eventually(lambda: what in self.of(container))
        settled = -1
        while settled != (settled := len(self.heard)):
            time.sleep(0.1)
        self.heard.clear()


def test_the_first_event_says_that_the_engine_listens(bench: Bench) -> None:
    """A listener knows from when on it hears everything, before anything happens."""
    assert Listener(bench).heard == [Event("", Happening.SUBSCRIBED)]


def test_events_of_a_life(bench: Bench) -> None:
    """Create, start, pause, update, stop and removal of a container are all told, with its full id."""
    listener = Listener(bench)
    container = bench.created()
    listener.hears(container)
    bench.engine.start(container)
    listener.hears(container)
    bench.outside.update(container, PidsLimit=50)
    listener.hears(container)
    bench.outside.pause(container)
    listener.hears(container)
    bench.engine.unpause(container)
    listener.hears(container)
    bench.engine.stop(container, 0)
    listener.hears(container)
    bench.engine.remove(container)
    listener.hears(container, Happening.REMOVED)


def test_events_of_health(bench: Bench) -> None:
    """A verdict on health is told."""
    listener = Listener(bench)
    container = bench.checked()
    listener.hears(container)
    bench.outside.set_health(container, "healthy")
    listener.hears(container)


def test_events_of_memory_and_networks(bench: Bench) -> None:
    """A container's new network and a kill for memory are told."""
    listener = Listener(bench)
    container = bench.started()
    listener.hears(container)
    bench.outside.connect(container, "bridge")
    listener.hears(container)
    small = bench.started("small", mem_limit="16m")
    listener.hears(small)
    bench.outside.exit(small, 137, oom=True)
    listener.hears(small)


def test_events_of_strangers_are_not_told(bench: Bench) -> None:
    """What happens to the containers of others is not told, but for their networks, which carry no label."""
    listener = Listener(bench)
    stranger = bench.outside.run_foreign("stranger", IMAGE)
    bench.outside.kill(stranger)
    ours = bench.started()
    eventually(lambda: len(listener.of(ours)) > 1)
    assert len(listener.of(stranger)) <= len(["connect", "disconnect"])


def test_what_containers_can_write(bench: Bench) -> None:
    """Whosever they are; not what is mounted read-only."""
    mounts = [
        {"Type": "bind", "Source": "/srv", "Target": "/a"},
        {"Type": "bind", "Source": "/usr", "Target": "/b", "ReadOnly": True},
    ]
    bench.outside.run_foreign("stranger", IMAGE, HostConfig={"Mounts": mounts})
    assert bench.engine.writable() == {"/srv": "container stranger"}


# Networks and images.


def test_the_network(empty_bench: Bench) -> None:
    """There is none until it is created; it is fit for use then, and to create it again changes nothing."""
    assert empty_bench.engine.network() is None
    empty_bench.engine.create_network()
    created = empty_bench.engine.network()
    assert created is not None
    assert created.name == labels.network_name(empty_bench.instance)
    assert created.why_unfit is None
    empty_bench.engine.create_network()
    assert empty_bench.engine.network() == created


@pytest.mark.parametrize(
    ("options", "is_labelled", "why"),
    [
        ({}, True, "traffic between its containers is not off"),
        ({"com.docker.network.bridge.enable_icc": "true"}, True, "traffic between its containers is not off"),
        (OPTIONS, False, "it lacks the label reconciler.instance="),
    ],
)
def test_an_unfit_network(empty_bench: Bench, options: dict[str, str], *, is_labelled: bool, why: str) -> None:
    """A network of our name that is not as we create it says why it cannot be used."""
    name = labels.network_name(empty_bench.instance)
    own_labels = {labels.INSTANCE: empty_bench.instance} if is_labelled else {}
    empty_bench.outside.add_network(name, options=options, own_labels=own_labels)
    found = empty_bench.engine.network()
    assert found is not None
    assert why in str(found.why_unfit)


def makes_another_network(bench: Bench, name: str) -> bool:
    """False for an engine that refuses it, as Docker does since version 25."""
    try:
        bench.outside.add_network(name, options=OPTIONS, own_labels={labels.INSTANCE: bench.instance})
    except RuntimeError as refused:
        if "already exists" in str(refused):
            return False
        raise
    return True


def test_a_second_network_of_the_same_name(bench: Bench) -> None:
    """It is refused, or nothing is started while there are two; the younger one is named, and can be removed."""
    name = labels.network_name(bench.instance)
    before = bench.engine.network()
    container = bench.created()
    if not makes_another_network(bench, name):
        return
    found = bench.engine.network()
    assert before is not None
    assert found is not None
    assert (found.id, found.why_unfit) == (before.id, "2 networks have this name")
    with pytest.raises(EngineRefused, match="two networks have one name"):
        bench.engine.start(container)
    (surplus,) = found.surplus
    bench.engine.remove_network(surplus)
    bench.engine.remove_network(surplus)
    assert bench.engine.network() == before
    bench.engine.start(container)


def test_a_network_with_a_longer_name_is_another(empty_bench: Bench) -> None:
    """Names that begin alike are not mixed up."""
    name = labels.network_name(empty_bench.instance)
    empty_bench.outside.add_network(f"{name}-2", options=OPTIONS)
    assert empty_bench.engine.network() is None


def test_an_image(bench: Bench) -> None:
    """An image has an id, and no registry's digest before it was pulled; one that is missing is None."""
    found = bench.engine.image(IMAGE)
    assert found is not None
    assert found.reference == IMAGE
    assert found.id.startswith("sha256:")
    assert found.digest.partition("@")[0] in {
        "",
        "sandbox",
        "docker.io/library/sandbox",
    }  # containerd's store gives even an import a digest
    assert bench.engine.inspect(bench.created()).image_id == found.id
    assert bench.engine.image(found.id) == replace(found, reference=found.id)
    assert bench.engine.image("missing:1") is None


def test_an_image_without_a_tag_is_the_latest(bench: Bench) -> None:
    """A reference without a tag means `latest`, and the long form of a name of Docker Hub means the short one."""
    bench.outside.add_image("untagged:latest")
    short, long = bench.engine.image("untagged"), bench.engine.image("docker.io/library/untagged")
    assert short is not None
    assert long is not None
    assert short.id == long.id


def test_the_beginning_of_an_id_is_no_image(bench: Bench) -> None:
    """What an image's id begins with is not sent to an engine, which would take it for that image; the id itself is."""
    found = bench.engine.image(IMAGE)
    assert found is not None
    by_id = bench.engine.image(found.id)
    assert by_id is not None
    assert by_id.id == found.id
    for text in (found.id[:-1], found.id[:19], found.id[7:19]):
        with pytest.raises(Mistake, match="image"):
            bench.engine.image(text)


def test_a_pull_that_fails(bench: Bench) -> None:
    """A pull from nowhere is refused, and leaves no image."""
    with pytest.raises(EngineRefused):
        bench.engine.pull("127.0.0.1:9/nowhere:1", lambda *_: None)
    assert bench.engine.image("127.0.0.1:9/nowhere:1") is None
