"""What Podman says and Docker would say otherwise: the same container, read to the same end."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.docker import decode
from reconciler.engine.docker.encode import encode
from reconciler.engine.docker.podman import HIDDEN, READ_ONLY, as_docker, asked, limits, network_options
from reconciler.engine.host import Mount
from reconciler.model.container import ContainerSpec
from reconciler.model.labels import Owner
from reconciler.model.rendered import Rendered
from reconciler.model.world import Source
from reconciler.planning.admission import effective
from reconciler.planning.attest import attest
from reconciler.planning.render import render
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox

ID = "e1" * 32
IMAGE_ID = f"sha256:{'f5' * 32}"
CAPABILITIES = ["CAP_CHOWN", "CAP_KILL"]

KEYS: dict[str, Any] = {
    "image": "sandbox:test",
    "environment": {"A": "b"},
    "tmpfs": ["/scratch:size=1m"],
    "volumes": [
        {"type": "bind", "source": "/srv", "target": "/data", "read_only": True},
        {"type": "bind", "source": "/srv", "target": "/also", "read_only": True},
    ],
    "healthcheck": {"test": ["CMD", "true"], "interval": "20s"},
}


def rendered() -> Rendered:
    chosen = effective(Sandbox.model_validate(KEYS), Policy())
    return render("web", chosen, Policy(), Owner("t1"), {3000: 41001}, {"/srv": Source("/srv")}, "5a17" * 8)


def own_mount(path: str) -> Mount:
    return Mount("0:6", "/", Path(path), read_only=True, file_system="proc", options=frozenset())


Says = dict[str, Any]


def said(spec: ContainerSpec) -> Says:
    """What Podman 5.8 says of a container that was created like this and runs: all of it that is read."""
    body = asked(encode(spec), {"Env": ["PATH=/bin"]})
    annotations = {
        **body["HostConfig"]["Annotations"],
        "io.container.manager": "libpod",
        "io.podman.annotations.init": "TRUE",
        "io.podman.annotations.pids-limit": "100",
        "org.opencontainers.image.stopSignal": "15",
        "org.systemd.property.KillSignal": "15",
    }
    log = {"Type": "json-file", "Config": None, "Size": "10MB"}
    host = {
        **{key: body["HostConfig"][key] for key in ("Memory", "MemorySwap", "NanoCpus", "PidsLimit", "PortBindings")},
        **{key: body["HostConfig"][key] for key in ("ShmSize", "Init", "RestartPolicy", "ReadonlyRootfs")},
        **dict.fromkeys(("PidMode", "UTSMode", "IpcMode", "CgroupMode"), "private"),
        "NetworkMode": "bridge",
        "CgroupnsMode": "",
        "Runtime": "oci",
        "Privileged": False,
        "CapAdd": [],
        "CpuPeriod": 100_000,
        "CpuQuota": 100_000,
        "MemorySwappiness": -1,
        "SecurityOpt": ["no-new-privileges"],
        "Binds": ["/srv:/data:ro,rprivate,bind"],
        "LogConfig": log,
        "CapDrop": CAPABILITIES,
        "Tmpfs": {"/scratch": "rw,nosuid,nodev,noexec,uid=1000,gid=1000,mode=755,size=1048576,rprivate"},
        "Annotations": annotations,
        "CgroupParent": "",
    }
    config = {
        **{key: body[key] for key in ("User", "Labels", "StopTimeout", "Tty", "OpenStdin")},
        "Env": [*body["Env"], "PATH=/bin", "container=podman", "HOME=/home/node", "HOSTNAME=e1e1"],
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 20 * 10**9, "Timeout": 30 * 10**9, "Retries": 3},
        "Image": "docker.io/library/sandbox:test",
        "StopSignal": "15",
    }
    mount = {"Type": "bind", "Source": "/srv", "RW": False, "Propagation": "rprivate"}
    mounts = [mount | {"Destination": target} for target in ("/also", "/data")]
    ports = {"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "41001"}]}
    state = {"Status": "running", "Running": True, "Pid": 7, "ExitCode": 0, "OOMKilled": False}
    times = {"StartedAt": "2026-11-28T08:42:10.2Z", "FinishedAt": "0001-01-01T00:00:00Z"}
    network = {"name": "reconciler.t1.web.7b8d24e9", "id": "9b" * 32, "driver": "bridge", "containers": {ID: {}}}
    return {
        "answer": {
            "Id": ID,
            "Image": IMAGE_ID,
            "Config": config,
            "HostConfig": host,
            "Mounts": mounts,
            "State": state | times,
            "NetworkSettings": {"Ports": ports, "Networks": {network["name"]: {}}},
        },
        "own": {
            "Id": ID,
            "OCIRuntime": "crun",
            "BoundingCaps": None,
            "Config": {"Labels": dict(spec.labels)},
            "HostConfig": copy.deepcopy(host),
            "Mounts": [mount | {"Options": ["bind"]} for mount in mounts],
        },
        "networks": [network | {"labels": dict(spec.labels), "options": {"isolate": "strict"}}],
        "digests": [],
        "inside": tuple(
            Mount("0:6", "/", Path(path), read_only=True, file_system="proc", options=frozenset())
            for path in (*HIDDEN, *READ_ONLY)
        ),
    }


def read(says: Says) -> set[str]:
    """The knobs of the container that are not as rendered."""
    return {mismatch.knob for mismatch in attest(rendered(), decode.inspection(as_docker(**says)))}


def test_a_container_reads_as_rendered() -> None:
    """None of Podman's own words, additions and omissions is taken for a difference."""
    assert read(said(rendered().spec)) == set()


def test_before_its_first_start_too() -> None:
    """What is not told then is neither missed nor believed to be wrong."""
    says = said(rendered().spec)
    says["answer"]["State"] |= {"Status": "created", "Running": False, "Pid": 0}
    says["answer"]["HostConfig"]["Tmpfs"] = {"/scratch": "rw,nosuid,nodev,noexec,U,mode=755,size=1048576,notmpcopyup"}
    says["inside"] = None
    assert read(says) == set()
    assert decode.inspection(as_docker(**says)).published == ()


def test_while_it_is_stopped_too() -> None:
    """It is up until its last process has ended, and so are its ports."""
    says = said(rendered().spec)
    says["answer"]["State"] |= {"Running": False}
    assert read(says) == set()


@pytest.mark.parametrize("slice_", ["user.slice", "machine.slice"])
def test_as_a_unit_of_systemd_too(slice_: str) -> None:
    """Its containers go where systemd has room for them, and are killed as early as a user's services are."""
    says = said(rendered().spec)
    says["own"]["HostConfig"]["CgroupParent"] = slice_
    says["answer"]["HostConfig"]["OomScoreAdj"] = 200
    assert read(says) == set()


def change(*path: Any, to: Any) -> Callable[[Says], None]:
    def changed(says: Says) -> None:
        place = says
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return changed


@pytest.mark.parametrize(
    ("changed", "knobs"),
    [
        (change("own", "BoundingCaps", to=["CAP_CHOWN"]), {"cap_drop"}),
        (change("answer", "HostConfig", "SecurityOpt", to=[]), {"no_new_privileges"}),
        (change("answer", "HostConfig", "SecurityOpt", to=["no-new-privileges", "unmask=all"]), {"SecurityOpt"}),
        (change("own", "HostConfig", "LogConfig", "Size", to="0B"), {"logging"}),
        (change("own", "HostConfig", "Annotations", "run.oci.keep_original_groups", to="1"), {"Annotations"}),
        (change("own", "Config", "SystemdMode", to=True), {"Annotations"}),
        (change("own", "HostConfig", "CgroupMode", to="host"), {"cgroup"}),
        (change("own", "HostConfig", "CgroupParent", to="system.slice"), {"CgroupParent"}),
        (change("answer", "HostConfig", "CpuQuota", to=200_000), {"CpuPeriod", "CpuQuota"}),
        (change("own", "Mounts", 0, "Options", to=["rbind"]), {"Mounts", "volumes"}),
        (change("answer", "Config", "Image", to="docker.io/library/another:test"), {"image"}),
        (change("answer", "HostConfig", "Tmpfs", "/scratch", to="rw,size=1048576,rprivate"), {"tmpfs"}),
        (change("networks", 0, "options", "isolate", to="true"), {"network_mode", "networks"}),
        (change("networks", 0, "containers", "another", to={}), {"network_mode", "networks"}),
        (change("networks", 0, "labels", to={}), {"network_mode", "networks"}),
        (change("networks", 0, "ipv6_enabled", to=True), {"network_mode", "networks"}),
        (change("networks", 0, to={"name": "gone", "id": ""}), {"network_mode", "networks"}),
        (change("inside", to=()), {"MaskedPaths", "ReadonlyPaths"}),
        (change("own", "HostConfig", "Privileged", to=True), {"MaskedPaths", "ReadonlyPaths"}),
    ],
)
def test_what_is_loosened_is_found(changed: Callable[[Says], None], knobs: set[str]) -> None:
    """Each thing that is looked up in another place is missed when it is not there."""
    says = said(rendered().spec)
    changed(says)
    assert read(says) == knobs


@pytest.mark.parametrize(
    ("wanted", "number", "seen"),
    [(None, "15", None), (None, "9", "9"), ("SIGRTMIN+3", "37", "SIGRTMIN+3"), ("SIGINT", "9", "9"), ("2", "2", "2")],
)
def test_a_stop_signal(wanted: str | None, number: str, seen: str | None) -> None:
    """Podman tells a number: that of what was asked for is by that name, and its default is nothing."""
    says = said(replace(rendered().spec, stop_signal=wanted))
    says["answer"]["Config"]["StopSignal"] = number
    spec = decode.inspection(as_docker(**says)).spec
    assert spec is not None
    assert spec.stop_signal == seen


DIGEST = f"sha256:{'f2' * 32}"


@pytest.mark.parametrize(
    ("asked_for", "tagged", "digests", "is_told"),
    [
        (f"sandbox@{DIGEST}", "docker.io/library/sandbox:test", [f"docker.io/library/sandbox@{DIGEST}"], True),
        (f"sandbox:1@{DIGEST}", "docker.io/library/sandbox:test", [f"docker.io/library/sandbox@{DIGEST}"], True),
        (f"sandbox@{DIGEST}", "f5" * 32, [f"docker.io/library/sandbox@{DIGEST}"], True),
        (f"sandbox@{DIGEST}", "docker.io/library/sandbox:test", [f"docker.io/library/other@{DIGEST}"], False),
        (f"sandbox@{DIGEST}", "docker.io/library/sandbox:test", [], False),
        ("sandbox:1", "docker.io/library/sandbox:test", [f"docker.io/library/sandbox@{DIGEST}"], False),
    ],
)
def test_an_image_by_its_digest(asked_for: str, tagged: str, digests: list[str], is_told: bool) -> None:
    """Podman names an image by a tag that it has, whatever was asked for; its digests tell whether it is the same."""
    says = said(replace(rendered().spec, image=asked_for)) | {"digests": digests}
    says["answer"]["Config"]["Image"] = tagged
    spec = decode.inspection(as_docker(**says)).spec
    assert spec is not None
    assert (spec.image == asked_for) is is_told


def test_limits() -> None:
    """What a user's session was given decides."""
    assert all(limits(["cpu", "memory", "pids"]).values())
    assert [limit for limit, can_be_set in limits(["memory", "pids"]).items() if not can_be_set] == ["CpuCfsQuota"]


def test_a_request() -> None:
    """The owner of a tmpfs is said in Podman's word, nothing is copied into it, and names go along, never values."""
    body = asked(encode(rendered().spec), {"Env": ["SECRET=of the image"], "StopSignal": "SIGQUIT"})
    assert body["HostConfig"]["Tmpfs"] == {"/scratch": "rw,nosuid,nodev,noexec,U,mode=755,size=1048576,notmpcopyup"}
    carried = json.loads(body["HostConfig"]["Annotations"]["reconciler.asked"])
    assert carried == {
        "image": "sandbox:test",
        "environment": ["A", "SECRET"],
        "stop_signal": "SIGQUIT",
        "targets": ["/data", "/also"],
    }


def test_a_network() -> None:
    """Docker's option is said where Podman isolates."""
    off = "com.docker.network.bridge.enable_icc"
    assert network_options({"options": {"isolate": "strict"}, "network_interface": "podman1"})[off] == "false"
    assert off not in network_options({"options": {"isolate": "false"}})
    assert off not in network_options({})
