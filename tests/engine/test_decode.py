"""How the words of engines, of several kinds and versions, are read."""

from typing import Any

import pytest

from reconciler.engine.docker import decode_spec
from reconciler.engine.docker.decode import (
    MALFORMED,
    epoch,
    event,
    facts,
    health,
    image,
    inspection,
    network,
    summary,
    writable,
)
from reconciler.engine.docker.encode import encode
from reconciler.engine.docker.pulling import PullProgress
from reconciler.engine.docker.refusals import not_pulled, refusal
from reconciler.model.capabilities import Knob, SetBy
from reconciler.model.errors import Refusal
from reconciler.model.world import Event, Happening, Health, State
from tests.scene import Scene

ID = "ab" * 32

ROW: dict[str, Any] = {
    "Id": ID,
    "Names": ["/web"],
    "Labels": {"a": "b"},
    "State": "running",
    "Status": "Up 2 hours",
    "Created": 7,
}


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "No such container: abc", Refusal.NOT_FOUND),
        (404, 'no container with name or ID "abc" found: no such container', Refusal.NOT_FOUND),
        (404, "No such image: nope:1", Refusal.IMAGE_MISSING),
        (404, "nope:1: image not known", Refusal.IMAGE_MISSING),
        (404, "network reconciler.default not found", Refusal.OTHER),
        (409, 'Conflict. The container name "/web" is already in use by container "abc".', Refusal.NAME_TAKEN),
        (500, 'the container name "web" is already in use by abc: that name is already in use', Refusal.NAME_TAKEN),
        (409, "network with name reconciler.default already exists", Refusal.NAME_TAKEN),
        (500, "Bind for 127.0.0.1:3000 failed: port is already allocated", Refusal.PORT_TAKEN),
        (500, "listen tcp4 127.0.0.1:3000: bind: address already in use", Refusal.PORT_TAKEN),
        (500, 'exec: "port is already allocated": executable file not found in $PATH', Refusal.OTHER),
        (409, "removal of container abc is already in progress", Refusal.BUSY),
        (409, "You cannot remove a running container abc. Stop the container before", Refusal.BUSY),
        (500, "cannot remove container abc as it is running: container state improper", Refusal.BUSY),
        (400, "", Refusal.OTHER),
    ],
)
def test_refusals(status: int, message: str, kind: Refusal) -> None:
    """The reason of a refusal is found in what the engine says, as its status does not tell."""
    assert refusal(status, message) is kind


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("manifest for nope:1 not found: manifest unknown: manifest unknown", "the registry has no such image"),
        ("failed to resolve reference ghcr.io/a/b:1: ghcr.io/a/b:1: not found", "the registry has no such image"),
        (
            "pull access denied for x, repository does not exist or may require 'docker login': denied: requested",
            "the registry has no such image, or wants a login",
        ),
        (
            "Head https://x/v2/: no basic auth credentials",
            "the registry has no such image, or wants a login",
        ),
        (
            "unexpected status from HEAD request to https://x/v2/a/manifests/1: 401 Unauthorized",
            "the registry has no such image, or wants a login",
        ),
        (
            "unexpected status from HEAD: 429 Too Many Requests",
            "the registry allows no more pulls for now",
        ),
        ("toomanyrequests: You have reached your pull rate limit.", "the registry allows no more pulls for now"),
        (
            "Get https://x: tls: failed to verify certificate: x509: unknown authority",
            "the registry's certificate is not trusted",
        ),
        ("no matching manifest for linux/arm64/v8 in the manifest list", "the image is for other platforms only"),
        ("failed to register layer: write /a: no space left on device", "no space left to store the image"),
        ("filesystem layer verification failed for digest sha256:0", "the engine's log says why it cannot be pulled"),
        ("", "the engine's log says why it cannot be pulled"),
        ("manifest for a/denied/x509:1 not found", "the registry has no such image"),
        *(
            (said, "no usable answer from the registry")
            for said in (
                "Get http://10.0.0.1/v2/: dial tcp 10.0.0.1:80: connect: connection refused",
                "Get https://registry: dial tcp: lookup registry: no such host",
                "Get https://x/v2/: dial tcp 10.0.0.1:443: connect: no route to host",
                "Get https://x/v2/: net/http: TLS handshake timeout",
                "Get https://x/v2/: net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
                "Get https://x/v2/: context deadline exceeded",
                "Get https://x/v2/: EOF",
                "Get https://x/v2/: read tcp 10.0.0.2:4->10.0.0.1:443: read: connection reset by peer",
                "Get https://x/v2/: http: server gave HTTP response to HTTPS client",
                "Get https://x/v2/: tls: first record does not look like a TLS handshake",
                'Get http://x/v2/: net/http: HTTP/1.x transport connection broken: malformed HTTP response "SSH-2.0"',
                "error parsing HTTP 404 response body: invalid character 'p' looking for beginning: \"page not found\"",
                "unknown: 404 page not found",
                "unexpected media type text/html for sha256:5cfc: not found",
                "EOF",
                "received unexpected HTTP status: 500 Internal Server Error",
                "unexpected status from HEAD request to http://x/v2/a/manifests/1: 404 Not Found",
                'pinging container registry 127.0.0.1:9: Get "https://127.0.0.1:9/v2/": connect: connection refused',
            )
        ),
    ],
)
def test_pulls_that_are_refused(said: str, told: str) -> None:
    """A pull fails for one of a few reasons of our own, whatever the engine says and whomever it quotes."""
    assert not_pulled(said) == told


@pytest.mark.parametrize(
    ("state", "status", "seen"),
    [
        ("running", "Up 2 hours", (State.RUNNING, None)),
        ("running", "Up 1 second (health: starting)", (State.RUNNING, Health.STARTING)),
        ("running", "Up 2 hours (healthy)", (State.RUNNING, Health.HEALTHY)),
        ("running", "Up 2 hours (unhealthy)", (State.RUNNING, Health.UNHEALTHY)),
        ("paused", "Up 2 hours (Paused)", (State.PAUSED, None)),
        ("exited", "Exited (137) 2 days ago", (State.EXITED, None)),
        ("stopping", "", (State.RUNNING, None)),
        ("stopped", "", (State.EXITED, None)),
        ("initialized", "", (State.CREATED, None)),
    ],
)
def test_states_in_a_list(state: str, status: str, seen: tuple[State, Health | None]) -> None:
    """The list tells the state in a word and the health in the text of the status; Podman has words of its own."""
    row = summary({**ROW, "State": state, "Status": status})
    assert (row.state, row.health) == seen


@pytest.mark.parametrize(
    ("names", "name"),
    [(["/web"], "web"), (["/other/alias", "/web"], "web"), ([], ""), (None, "")],
)
def test_names_in_a_list(names: list[str] | None, name: str) -> None:
    """A container's own name is told from its aliases; one that is being removed may have none."""
    assert summary({**ROW, "Names": names}).name == name


@pytest.mark.parametrize("key", [key for key in ROW if key != "Id"])
def test_a_row_with_a_gap(key: str) -> None:
    """A row of the list that lacks anything is that container's trouble; it counts as running."""
    row = summary({other: value for other, value in ROW.items() if other != key})
    assert (row.id, row.state, bool(row.why_unreadable)) == (ID, State.RUNNING, True)
    assert row.labels == ({} if key == "Labels" else ROW["Labels"])


def test_a_row_without_an_id() -> None:
    """Nobody knows which container it is about: the list is malformed."""
    with pytest.raises(MALFORMED):
        summary({key: value for key, value in ROW.items() if key != "Id"})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0001-01-01T00:00:00Z", 0.0),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00.123456789Z", 60.123456),
        ("1970-01-01T01:01:00.5+01:00", 60.5),
    ],
)
def test_times(text: str, seconds: float) -> None:
    """Times have nanoseconds and any zone; the year 1 is never."""
    assert epoch(text) == pytest.approx(seconds)


def test_health_without_a_check() -> None:
    """`none`, an empty word and no word at all all mean that there is no health check."""
    state = {"Status": "running", "OOMKilled": False, "ExitCode": 0, "StartedAt": "1970-01-01T00:00:01Z"}
    for none in ({}, {"Health": None}, {"Health": {"Status": "none"}}, {"Health": {"Status": "", "Log": None}}):
        raw = {"Id": ID, "Image": "x", "State": {**state, "FinishedAt": "0001-01-01T00:00:00Z", **none}}
        assert inspection(raw).health is None


@pytest.mark.parametrize(
    ("item", "heard"),
    [
        ({"Type": "container", "Action": "die"}, Event(ID, Happening.CHANGED)),
        ({"Type": "container", "Action": "health_status: healthy"}, Event(ID, Happening.CHANGED)),
        ({"Type": "container", "Action": "destroy"}, Event(ID, Happening.REMOVED)),
        ({"Type": "container", "Action": "remove"}, Event(ID, Happening.REMOVED)),
        ({"Type": "container", "Action": "exec_die"}, None),
        ({"Type": "container", "Action": "die", "of": "another"}, None),
        ({"Type": "network", "Action": "connect", "container": "c1", "name": "bridge"}, Event("c1", Happening.CHANGED)),
        ({"Type": "network", "Action": "disconnect", "name": "of the container"}, Event(ID, Happening.CHANGED)),
        ({"Type": "network", "Action": "destroy", "name": "reconciler.default"}, Event("", Happening.REMOVED)),
        ({"Type": "network", "Action": "destroy", "name": "bridge"}, None),
    ],
)
def test_events(item: dict[str, str], heard: Event | None) -> None:
    """Events of our containers, of anybody's networks, and of our own network are heard, in no engine's own words."""
    attributes = {"reconciler.instance": item.get("of", "default"), **item}
    if item["Type"] == "network":
        del attributes["reconciler.instance"]
    answer = {"Type": item["Type"], "Action": item["Action"], "Actor": {"ID": ID, "Attributes": attributes}}
    assert event(answer, "default") == heard


def test_an_unfit_network_names_all_that_is_wrong() -> None:
    """Several faults of a network are all told."""
    row = {
        "Name": "reconciler.default",
        "Id": ID,
        "Driver": "macvlan",
        "Options": None,
        "Labels": None,
        "Internal": True,
        "EnableIPv6": True,
    }
    found = network([row, row], "default")
    assert found is not None
    assert found.why_unfit == (
        "2 networks have this name; its driver is macvlan, not bridge; traffic between its containers is not off; "
        "it has IPv6, over which neighbours may reach one another; "
        "it is internal, so no port can be published; it lacks the label reconciler.instance=default"
    )


def test_odd_rows_hide_no_other_container_that_can_write() -> None:
    """Named volumes and what is read-only do not count; what is not known in a stranger's row is passed over."""
    bind = {"Type": "bind", "Source": "/srv/a", "RW": True}
    rows: list[dict[str, Any]] = [
        {"Names": ["/one"], "Mounts": [bind, {**bind, "Source": "/srv/b", "RW": False}]},
        {"Names": ["/two"], "Mounts": [{**bind, "Type": "volume", "Source": "/srv/c"}, "/srv/d"]},
        {"Names": None, "Mounts": None},
        {"Mounts": [{**bind, "Source": "/srv/e"}]},
    ]
    found = writable(rows)
    assert list(found) == ["/srv/a", "/srv/e"]
    assert found["/srv/a"] == "container one"


LIMITED = {"MemoryLimit": True, "SwapLimit": True, "CpuCfsQuota": True, "PidsLimit": True}
FIT = {"SecurityOptions": ["name=seccomp,profile=default"], **LIMITED}


@pytest.mark.parametrize(
    ("api_version", "info", "lacking"),
    [
        ("1.41", {}, ()),
        ("1.100", {}, ()),
        ("1.40", {}, (Knob.CGROUP_NAMESPACE,)),
        ("unknown", {}, (Knob.CGROUP_NAMESPACE,)),
        ("1.41", {"MemoryLimit": False}, (Knob.MEMORY,)),
        ("1.41", {"SwapLimit": False}, (Knob.SWAP,)),
        ("1.41", {"CpuCfsQuota": None}, (Knob.CPU,)),
        ("1.41", {"PidsLimit": False}, (Knob.PIDS,)),
        ("1.41", {"SecurityOptions": []}, (Knob.SECCOMP,)),
    ],
)
def test_capabilities(api_version: str, info: dict[str, Any], lacking: tuple[Knob, ...]) -> None:
    """A knob is set by the spec, seccomp by the node, unless the engine does not say that it can."""
    seen = facts({"ApiVersion": api_version}, FIT | info)
    assert seen.lacking == lacking
    assert {seen.capabilities[knob] for knob in lacking} <= {SetBy.NOBODY}
    assert seen.capabilities[Knob.SECCOMP] is (SetBy.NOBODY if Knob.SECCOMP in lacking else SetBy.NODE)


@pytest.mark.parametrize(
    ("options", "is_on"),
    [
        (["name=apparmor", "name=seccomp,profile=default"], True),
        (["name=seccomp,profile=builtin", "name=rootless"], True),
        (["name=seccomp,profile=unconfined"], False),
        (["name=apparmor"], False),
        (None, False),
    ],
)
def test_seccomp(options: list[str] | None, *, is_on: bool) -> None:
    """Only an engine that says that it filters system calls is believed to do so."""
    assert (Knob.SECCOMP not in facts({}, {"SecurityOptions": options}).lacking) is is_on


def test_facts_of_podman() -> None:
    """Podman is known by the name of its component; what an engine leaves out is unknown."""
    seen = facts({"Components": [{"Name": "Podman Engine"}], "Version": "4.3.1"}, {})
    assert (seen.name, seen.version, seen.api_version) == ("Podman", "4.3.1", "unknown")


def test_health() -> None:
    """What an engine says of its host is told in our own words, on one line each."""
    info = {
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=apparmor", "name=userns"],
        **LIMITED,
        "CgroupVersion": "2",
        "LiveRestoreEnabled": True,
        "DockerRootDir": "/var/lib/docker",
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "xfs"], ["Supports d_type", "true"]],
        "SystemTime": "1970-01-01T00:01:00.123456789Z",
        "Warnings": ["WARNING: one\n         and the same\x1b"],
    }
    found = health({"Version": "28.5.2", "ApiVersion": "1.51"}, info)
    assert (found.facts.version, found.facts.lacking) == ("28.5.2", ())
    assert found.security == {"seccomp", "apparmor", "userns"}
    assert (found.cgroup_version, found.live_restore, found.facts.data) == ("2", True, "/var/lib/docker")
    assert (found.storage_driver, found.file_system, found.containerd_store) == ("overlay2", "xfs", False)
    assert found.clock == pytest.approx(60.123456)
    assert found.warnings == ("WARNING: one and the same\\x1b",)


def test_health_with_the_store_of_containerd() -> None:
    """Its driver's name is much like that of the engine's own, and its type tells them apart."""
    info = {"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
    found = health({}, {**info, "SystemTime": "1970-01-01T00:00:01Z"})
    assert (found.storage_driver, found.file_system, found.containerd_store) == ("overlayfs", "", True)


def test_health_of_podman() -> None:
    """An engine that leaves out most things promises none of them; without its time it is none."""
    found = health({}, {"CgroupVersion": "v2", "SystemTime": "1970-01-01T00:00:01Z", "Warnings": None})
    assert (found.cgroup_version, found.live_restore, found.facts.data, found.warnings) == ("2", False, "", ())
    assert {Knob.MEMORY, Knob.SWAP, Knob.CPU, Knob.PIDS, Knob.SECCOMP} <= set(found.facts.lacking)
    with pytest.raises(MALFORMED):
        health({}, {})


@pytest.mark.parametrize(
    ("options", "bridge"),
    [({}, "br-" + ID[:12]), ({"com.docker.network.bridge.name": "sandboxes0"}, "sandboxes0")],
)
def test_the_bridge_of_a_network(options: dict[str, str], bridge: str) -> None:
    """The host's interface has the name that was asked for, or else one from the network's id."""
    row = {"Name": "reconciler.default", "Id": ID, "Driver": "bridge", "Options": options, "Labels": None}
    found = network([{**row, "IPAM": {"Config": [{"Subnet": "172.18.0.0/16"}]}}], "default")
    assert found is not None
    assert (found.bridge, found.subnets) == (bridge, ("172.18.0.0/16",))


@pytest.mark.parametrize(
    ("reference", "digest"),
    [
        ("docker.io/library/busybox:1.36", f"busybox@sha256:{'1' * 64}"),
        ("mirror/busybox", f"mirror/busybox@sha256:{'2' * 64}"),
        (f"mirror/busybox@sha256:{'3' * 64}", f"docker.io/mirror/busybox@sha256:{'3' * 64}"),
        ("elsewhere/busybox", "<none>@<none>"),
    ],
)
def test_digests(reference: str, digest: str) -> None:
    """Of an image that was pulled from several places, the digest of the place that was named is told."""
    digests = ["<none>@<none>", f"busybox@sha256:{'1' * 64}", f"mirror/busybox@sha256:{'2' * 64}"]
    digests.append(f"docker.io/mirror/busybox@sha256:{'3' * 64}")
    assert image(reference, {"Id": "1", "RepoDigests": digests}).digest == digest
    assert image(reference, {"Id": "1", "RepoDigests": None}).digest == ""
    assert image(f"sha256:{'0' * 64}", {"Id": "1", "RepoDigests": digests}).digest in digests


def test_progress_of_a_pull() -> None:
    """A pull tells how many layers are there, and how much of all of them."""
    progress = PullProgress()
    assert (str(progress), progress.share) == ("asking the registry", None)
    progress.hear({"status": "Pulling from library/busybox", "id": "1.36"})
    for layer in "abcd":
        progress.hear({"status": "Pulling fs layer", "id": layer})
    progress.hear({"status": "Already exists", "id": "a"})
    progress.hear({"status": "Downloading", "id": "b", "progressDetail": {"current": 50, "total": 100}})
    progress.hear({"status": "Downloading", "id": "c", "progressDetail": {}})
    progress.hear({"status": "Status: Downloaded"})
    assert (str(progress), progress.share) == ("1 of 4 layers, 38 %", 0.375)


@pytest.mark.parametrize(("api_version", "nanoseconds"), [("1.41", None), ("1.9", None), ("1.44", 2e9), ("1.100", 2e9)])
def test_a_start_interval_is_for_engines_that_have_it(api_version: str, nanoseconds: float | None) -> None:
    """An older one is not asked for it, and a container without it is right; but another file is another container."""
    check = {"test": "true", "start_period": "10s"}
    with_it, without = (
        Scene().rendered("web", 61000, healthcheck=check | more) for more in ({"start_interval": "2s"}, {})
    )
    body = encode(with_it.spec, api_version)
    assert body["Healthcheck"].get("StartInterval") == nanoseconds
    assert "StartInterval" not in encode(without.spec)["Healthcheck"]
    read, _ = decode_spec.decode({"Config": body, "HostConfig": body["HostConfig"]})
    assert read.healthcheck == with_it.spec.healthcheck
    assert with_it.fingerprint != without.fingerprint
