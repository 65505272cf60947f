"""Keys whose effect only a real engine shows: pulls, mounts, networks, users, signals."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.private_engine import PrivateEngine
from tests.private_registry import ADDRESS, PrivateRegistry
from tests.system.conftest import Operator
from tests.system.faults.proxy import Proxy


@pytest.fixture(scope="module")
def any_registry(private_engine: PrivateEngine) -> Iterator[PrivateRegistry]:
    with PrivateRegistry(private_engine) as registry:
        yield registry


@pytest.fixture
def registry(operator: Operator, any_registry: PrivateRegistry) -> PrivateRegistry:
    """A registry that the policy allows."""
    operator.decree(images=[f"{ADDRESS}/*"])
    return any_registry


def test_a_missing_image_is_pulled_and_its_digest_recorded(operator: Operator, registry: PrivateRegistry) -> None:
    """The image comes from its registry; what was really got is in the status."""
    reference = registry.offer("pulled:1")
    operator.declare("web", image=reference)
    operator.reconciler("apply", code=0)
    status = operator.status("web")
    assert status["digest"].startswith("127.0.0.1:5000/pulled@sha256:")
    assert status["image_id"] == operator.inspect("web")["Image"]
    assert [line["action"] for line in operator.journal() if line["action"].startswith("pull")] == [f"pull {reference}"]


def test_an_image_can_be_named_by_its_digest(operator: Operator, registry: PrivateRegistry) -> None:
    """A digest pins what runs."""
    reference = registry.offer("pinned:1")
    operator.declare("web", image=reference)
    operator.reconciler("apply", code=0)
    digest = operator.status("web")["digest"]
    operator.declare("web", image=digest)
    operator.reconciler("apply", code=0)
    assert operator.status("web")["digest"] == digest
    found = operator.inspect("web")
    assert found["Config"]["Image"] == {"dockerd": digest, "podman": reference}[operator.engine.program.name]
    assert operator.status("web")["image_id"] == found["Image"]
    operator.reconciler("plan", code=0)


def test_pull_policy_always_gets_what_the_tag_means_now(operator: Operator, registry: PrivateRegistry) -> None:
    """A tag that has moved is followed by the next container."""
    first = registry.offer("moving:1")
    operator.declare("web", image=first, pull_policy="always")
    operator.reconciler("apply", code=0)
    before = operator.status("web")["image_id"]
    moved = registry.offer("moving:1", ["LABEL version=2"])
    assert moved == first
    operator.declare("web", image=first, pull_policy="always", mem_limit="256m")
    operator.reconciler("apply", code=0)
    assert operator.status("web")["image_id"] != before


def test_an_image_is_judged_once_it_is_pulled(operator: Operator, registry: PrivateRegistry) -> None:
    """What was not known before is known before anything is made of it."""
    operator.declare("often", image=registry.offer("often:1", ["HEALTHCHECK --interval=1ms CMD true"]))
    operator.declare("volume", image=registry.offer("volume:1", ["VOLUME /data"]), read_only=True)
    operator.reconciler("apply", code=1)
    assert operator.inspect("often")["Config"]["Healthcheck"]["Interval"] == 10**9
    assert operator.status("volume")["reason"] == "PolicyViolation"
    assert {row["Labels"]["reconciler.sandbox"] for row in operator.containers()} == {"often"}


def test_an_image_that_no_registry_has_backs_off(operator: Operator, registry: PrivateRegistry) -> None:  # noqa: ARG001
    """The failure says that the registry is there, and the image is not."""
    operator.declare("web", image=f"{ADDRESS}/nothing:1")
    operator.reconciler("apply", code=1)
    status = operator.status("web")
    assert (status["phase"], status["reason"]) == ("Backoff", "ImagePullFailed")
    assert status["message"] == f"the registry has no such image: {ADDRESS}/nothing:1"


def test_a_volume_below_an_allowed_root_is_mounted(operator: Operator) -> None:
    """What the policy allows is mounted as it is declared, read-only unless the policy lets it be written."""
    shared, own = operator.root / "shared", operator.root / "own"
    for directory in (shared / "data", own):
        directory.mkdir(parents=True)
    own.chmod(0o777)  # whoever the engine remaps the sandbox's user to
    (shared / "data" / "file").write_text("from the host")
    operator.decree(volumes=[{"root": str(shared)}, {"root": str(own), "read_only": False}])
    operator.declare(
        "web",
        volumes=[
            {"type": "bind", "source": str(shared / "data"), "target": "/data"},
            {"type": "bind", "source": str(own), "target": "/own", "read_only": False},
        ],
    )
    operator.reconciler("apply", code=0)
    assert "from the host" in operator.inside("web", "cat /data/file; touch /own/written")
    assert "Read-only" in operator.inside("web", "touch /data/written")
    assert (own / "written").exists()
    operator.reconciler("plan", code=0)


def refused(operator: Operator, source: Path) -> str:
    operator.declare("web", volumes=[{"type": "bind", "source": str(source), "target": "/data"}])
    operator.reconciler("apply", code=1)
    assert operator.containers() == []
    assert operator.phase("web") == "Refused"
    return str(operator.status("web")["message"])


def test_what_leads_out_of_the_allowed_roots_is_refused(operator: Operator) -> None:
    """Neither a path, nor a link, nor a socket, nor the engine's socket behind a directory gets in."""
    root = operator.root / "root"
    root.mkdir()
    assert "allowed roots: none" in refused(operator, root)
    operator.decree(volumes=[{"root": str(root)}, {"root": str(operator.engine.run)}])
    (root / "link").symlink_to("/etc")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    assert "allows no mount from there" in refused(operator, Path("/etc"))
    assert "allows no mount from there" in refused(operator, root / "link")
    assert "neither a directory nor a file" in refused(operator, root / "socket")
    assert "holds the engine's socket" in refused(operator, operator.engine.run)
    assert "cannot be read" in refused(operator, root / "missing")


def test_what_others_can_write_around_is_refused(operator: Operator) -> None:
    """A neighbour, declared or a stranger's container, could put a link in the place of a source inside its own."""
    inner = operator.root / "shared" / "inner"
    inner.mkdir(parents=True)
    operator.decree(volumes=[{"root": str(inner.parent), "read_only": False}])
    own = {"type": "bind", "source": str(inner.parent), "target": "/own", "read_only": False}
    operator.declare("neighbour", volumes=[own])
    operator.declare("web", volumes=[{"type": "bind", "source": str(inner), "target": "/data"}])
    assert "where sandbox neighbour can exchange it" in operator.reconciler("validate", code=1).stderr
    operator.reconciler("apply", code=1)
    assert (operator.phase("neighbour"), operator.phase("web")) == ("Running", "Refused")
    operator.remove("neighbour")
    operator.reconciler("apply", code=0)
    operator.remove("web")
    operator.reconciler("apply", code=0)
    bind = {"Type": "bind", "Source": str(inner.parent), "Target": "/x"}
    operator.foreign(f"stranger-{operator.instance}", HostConfig={"Mounts": [bind]})
    assert f"where container stranger-{operator.instance} can exchange it" in refused(operator, inner)


def test_the_engine_behind_a_proxy_cannot_be_mounted(operator: Operator) -> None:
    """Neither its socket nor its data, wherever the controller's own address leads; nor the controller's files."""
    operator.before = operator.engine.inside  # where the engine listens: sockets are told by network namespace
    operator.decree(volumes=[{"root": "/tmp"}, {"root": "/run"}])
    with Proxy(operator.engine.host, operator.root / "proxy.sock") as proxy:
        operator.host = proxy.host
        assert "holds the host's socket" in refused(operator, operator.engine.run)
        data = Path(operator.api("GET", "/info")["DockerRootDir"])  # one below ours where users are remapped
        assert "belongs to the engine's data" in refused(operator, data)
        assert "belongs to the watched directory" in refused(operator, operator.directory)
        assert "belongs to the state directory" in refused(operator, operator.state)
        assert "belongs to the policy" in refused(operator, operator.policy_file)
        assert "holds the" in refused(operator, operator.root)
        assert "belongs to the host's /run" in refused(operator, Path("/var/run/netns"))


def test_network_mode_none_is_really_none(operator: Operator) -> None:
    """Such a sandbox has a loopback interface, no port, and nothing else."""
    operator.declare("web", network_mode="none")
    operator.reconciler("apply", code=0)
    assert operator.status("web")["ports"] == {}
    interfaces = operator.inside("web", "cat /proc/net/dev")
    assert "lo:" in interfaces
    assert "eth0" not in interfaces
    operator.reconciler("plan", code=0)


def test_every_key_converges_and_stays_converged(operator: Operator) -> None:
    """A file that says everything becomes a container, and a second look finds nothing to change."""
    operator.decree(runtime="runc", labels={"openclaw-wizard": "true"})
    operator.declare(
        "web",
        entrypoint=["sh", "-c"],
        command=["httpd -f -p 8080 -h /www"],
        environment={"A": "1", "B": 2},
        working_dir="/tmp",
        hostname="web-1",
        stop_signal="SIGINT",
        user="1234:2345",
        ports=[8080, {"target": 9090, "published": 18090}],
        mem_limit="64m",
        cpus=0.25,
        pids_limit=20,
        read_only=True,
        tmpfs=["/run:size=1m", "/scratch"],
        healthcheck={"test": "true", "interval": "1s", "timeout": "2s", "retries": 2, "start_period": "1s"},
        stop_grace_period="3s",
        restart="on-failure",
        labels={"team": "blue"},
    )
    operator.reconciler("apply", code=0)
    assert operator.engine.get(operator.status("web")["ports"]["8080"]) == "it works\n"
    assert operator.status("web")["ports"]["9090"] == 18090
    said = operator.inside(
        "web", "id; pwd; hostname; echo $A$B; touch /www/x; touch /run/x && echo written; mount | grep ' /run '"
    )
    assert "uid=1234 gid=2345" in said
    assert "/tmp" in said
    assert "web-1" in said
    assert "12" in said
    assert "Read-only" in said
    assert "written" in said
    assert all(option in said for option in ("nosuid", "nodev", "noexec"))
    config = operator.inspect("web")["Config"]
    assert config["Labels"]["openclaw-wizard"] == "true"
    assert config["Labels"]["team"] == "blue"
    operator.reconciler("plan", code=0)


def test_a_tmpfs_belongs_to_the_sandbox(operator: Operator) -> None:
    """Also over a directory of root's in the image, whose mode it may keep (as with runc 1.1), and never its owner."""
    operator.declare(
        "web",
        user="1234:2345",
        tmpfs=["/www", "/root", "/new", {"target": "/private", "mode": "0o700"}, "/shared:mode=1777,size=8m"],
        command=["sleep", "1000"],
    )
    operator.reconciler("apply", code=0)
    said = operator.inside(
        "web", "for one in /www /root /new /private /shared; do touch $one/x && stat -c '%n %u:%g %a' $one; done"
    )
    assert said.replace("/root 1234:2345 700", "/root 1234:2345 755").split("\r\n")[:-1] == [
        "/www 1234:2345 755",
        "/root 1234:2345 755",
        "/new 1234:2345 755",
        "/private 1234:2345 700",
        "/shared 1234:2345 1777",
    ]
    operator.reconciler("plan", code=0)


def test_a_sandbox_stops_with_its_own_signal(operator: Operator) -> None:
    """It is asked with that one, and needs no more."""
    heeds = "trap '' TERM; trap 'exit 7' USR1; while true; do sleep 0.1; done"
    operator.declare("web", command=["sh", "-c", heeds], stop_signal="USR1", stop_grace_period="1m")
    operator.reconciler("apply", code=0)
    container = operator.container("web")
    operator.api("POST", f"/containers/{container}/stop")
    assert operator.api("GET", f"/containers/{container}/json")["State"]["ExitCode"] == 7


def test_a_container_that_ignores_its_stop_signal_is_killed_after_its_grace_period(operator: Operator) -> None:
    """A slow stop delays its own sandbox and no other."""
    operator.declare("slow", command=["sh", "-c", "trap '' TERM; while true; do sleep 1; done"], stop_grace_period="4s")
    operator.declare("web")
    with operator.run():
        operator.until_phase(slow="Running", web="Running")
        operator.remove("slow")
        operator.until_phase(slow="Stopping")
        operator.declare("web", mem_limit="256m")
        operator.until(
            lambda: any(
                row["cause"] == "ConfigurationChanged" and row["action"] == "start new" for row in operator.journal()
            )
        )
        assert operator.phase("slow") == "Stopping"
        operator.until(lambda: operator.status("slow") == {})
