"""From YAML to verified sandboxes: creating, changing, removing, and what is told of it."""

import json
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.busybox_image import make_image
from tests.system.conftest import STUBBORN, Operator

SECRET = "correct-horse-battery-staple"  # noqa: S105 - it must not turn up anywhere


def test_a_declared_sandbox_serves_on_its_port(operator: Operator) -> None:
    """A file becomes a container that answers on the port that its status names."""
    operator.declare("web")
    done = operator.reconciler("apply", code=0)
    assert "web: create" in done.stdout
    assert done.stderr == ""
    status = operator.status("web")
    assert status["phase"] == "Running"
    assert operator.engine.get(status["ports"]["3000"]) == "it works\n"
    assert 'reconciler_sandboxes{phase="Running"} 1.0' in (operator.state / "metrics.prom").read_text()


def test_the_security_floor_holds_inside(operator: Operator) -> None:
    """What the kernel says of the process inside is what the policy promises."""
    operator.declare("web")
    operator.reconciler("apply", code=0)
    said = operator.inside("web", "cat /proc/self/status; id; ls /var/run/docker.sock; grep -c . /proc/1/cmdline")
    fields = dict(line.split(":\t") for line in said.replace("\r", "").splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["1000"] * 4
    assert fields["Gid"].split() == ["1000"] * 4
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == int(fields["CapPrm"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    assert "No such file" in said
    limit = operator.inside("web", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max")
    assert "536870912" in limit
    host = operator.inspect("web")["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"], host["PidsLimit"]) == (
        512 << 20,
        512 << 20,
        10**9,
        100,
    )
    bindings = operator.inspect("web")["NetworkSettings"]["Ports"]
    assert [binding["HostIp"] for bound in bindings.values() for binding in bound] == ["127.0.0.1"]


def test_applying_twice_does_nothing_the_second_time(operator: Operator) -> None:
    """Once converged, no engine call changes anything, and `plan` says so."""
    operator.declare("web")
    operator.reconciler("apply", code=0)
    before = [(row["Id"], row["Status"].split()[0]) for row in operator.containers()]
    assert "nothing done" in operator.reconciler("apply", code=0).stdout
    assert [(row["Id"], row["Status"].split()[0]) for row in operator.containers()] == before
    operator.reconciler("plan", code=0)


def test_plan_shows_and_changes_nothing(operator: Operator) -> None:
    """`plan` names what happens and each changed field, exits with 2, and leaves no trace anywhere."""
    operator.declare("web")
    done = operator.reconciler("plan", code=2)
    assert "+ create   web" in done.stdout
    assert "Plan: 1 to create." in done.stdout
    assert operator.containers() == []
    assert not operator.state.exists()
    operator.reconciler("apply", code=0)
    operator.declare("web", mem_limit="256m")
    assert "mem_limit  512m -> 256m" in operator.reconciler("plan", code=2).stdout
    plan = json.loads(operator.reconciler("plan", "-o", "json", code=2).stdout)
    assert plan["sandboxes"][0]["changes"] == [{"field": "mem_limit", "old": "512m", "new": "256m"}]


def test_a_plan_tells_what_is_taken_away_with_an_engine_and_without(operator: Operator) -> None:
    """A saved status leads to the plan that the engine leads to, also where a volume, a label or a command goes."""
    shared = operator.root / "shared"
    shared.mkdir()
    operator.decree(volumes=[{"root": str(shared)}])
    mount = {"type": "bind", "source": str(shared), "target": "/data"}
    check = {"test": "true", "interval": "1s"}
    operator.declare("web", environment={"TOKEN": SECRET}, labels={"tier": "front"}, volumes=[mount], healthcheck=check)
    operator.declare("other")
    operator.reconciler("apply", code=0)
    saved = operator.root / "status.json"
    saved.write_text(operator.reconciler("status", "-o", "json", code=0).stdout)
    operator.reconciler("plan", "--against", str(saved), code=0)
    operator.declare("web", environment={"TERM": SECRET}, mem_limit="64m")
    plan = operator.reconciler("plan", code=2).stdout
    offline = operator.reconciler("plan", "--against", str(saved), code=2).stdout
    assert offline == f"values of environment are not compared, as no status has them\n{plan}"
    fields = {line.split()[0] for line in plan.splitlines() if line.startswith("    ")}
    assert fields >= {"mem_limit", "volumes", "healthcheck", "environment.TERM", "environment.TOKEN", "labels.tier"}
    assert plan.endswith("Plan: 1 to replace, 1 unchanged.\n")
    operator.reconciler("apply", code=0)
    operator.reconciler("plan", code=0)


def test_an_edit_replaces_and_keeps_the_port(operator: Operator) -> None:
    """A saved change becomes a new container on the same host port, and nothing of the old one is left."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        before = operator.status("web")
        operator.declare("web", mem_limit="256m")
        operator.until(lambda: operator.status("web")["container_id"] != before["container_id"])
        operator.until_phase(web="Running")
        assert operator.status("web")["ports"] == before["ports"]
        assert operator.inspect("web")["HostConfig"]["Memory"] == 256 << 20
        operator.until(lambda: len(operator.containers()) == 1)


def test_status_says_who_looks_after_the_sandboxes(operator: Operator) -> None:
    """A living controller and the commit of the directory; then who has ended, and who was killed."""
    (operator.root / ".git").mkdir()
    (operator.root / ".git" / "HEAD").write_text("4ab01c9d" * 5)
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        told = operator.reconciler("status", code=0).stdout
        assert "controller alive for " in told
        assert "commit 4ab01c9d4ab0, changes unknown · engine answers" in told  # there is no index
    assert "no controller is running: it ended " in operator.reconciler("status", code=0).stdout
    with suppress(AssertionError), operator.run() as process:
        process.kill()
        process.wait()
    told = operator.reconciler("status", code=1).stdout
    assert f"the controller has died (pid {process.pid})" in told
    assert "engine answered" in told


def test_breaking_and_mending_a_file(operator: Operator) -> None:
    """A broken file changes nothing but the status; mended, it converges; deleted, it removes. The journal tells it."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        container = operator.container("web")
        operator.write("web.yaml", f"image: {SECRET}\nimage: again\nprivileged: true\n")
        operator.until_reason(web="InvalidFile")
        operator.until(lambda: "web.yaml" in operator.controller()["broken"])
        assert operator.container("web") == container
        (row,) = (line for line in operator.reconciler("status", code=1).stdout.splitlines() if line.startswith("web "))
        port = operator.status("web")["ports"]["3000"]
        assert row.split()[1:5] == ["Running", "yes", "no", f"127.0.0.1:{port}"]
        assert operator.engine.get(port) == "it works\n"
        operator.declare("web", pids_limit=50)
        operator.until_phase(web="Running")
        operator.until(lambda: operator.status("web")["container_id"] not in {"", container})
        operator.api("POST", f"/containers/{operator.container('web')}/kill")
        operator.until(lambda: operator.status("web")["restarts"] == 1 and operator.phase("web") == "Running")
        operator.remove("web")
        operator.until(lambda: not operator.containers() and not operator.status("web"))
    story = [(line["verdict"], line["cause"], line["action"].split(" ")[0]) for line in operator.journal()]
    assert story == [
        ("CREATE", "NetworkMissing", "create"),
        *(("CREATE", "Absent", action) for action in ("create", "verify", "start")),
        ("HOLD", "InvalidFile", ""),
        *(("REPLACE", "ConfigurationChanged", action) for action in ("create", "verify", "stop", "verify", "start")),
        ("REPLACE", "ConfigurationChanged", "remove"),
        *(("START", "Exited", action) for action in ("verify", "start")),
        *(("REMOVE", "FileRemoved", action) for action in ("stop", "remove")),
    ]


def test_no_value_of_environment_is_told_anywhere(operator: Operator) -> None:
    """A secret in `environment` reaches the container, and no file, log or output of ours."""
    operator.declare("web", environment={"TOKEN": SECRET})
    with operator.run():
        operator.until_phase(web="Running")
        operator.declare("web", environment={"TOKEN": SECRET + "2"})
        operator.until(lambda: any(line["verdict"] == "REPLACE" for line in operator.journal()))
        operator.until_phase(web="Running")
        assert f"TOKEN={SECRET}2" in operator.inspect("web")["Config"]["Env"]
        told = [operator.reconciler(*words).stdout for words in (["plan"], ["status"], ["status", "web", "-o", "json"])]
        operator.declare("web", environment={"TOKEN": SECRET, "BAD": None, "BAD-KEY": SECRET})
        operator.until_reason(web="InvalidFile")
        bad = operator.reconciler("validate", code=1)
    told += [bad.stdout, bad.stderr, operator.log]
    told += [path.read_text() for path in operator.state.rglob("*") if path.is_file()]
    assert all(SECRET not in text for text in told)


def test_a_saved_file_reaches_the_engine_at_once(operator: Operator) -> None:
    """From saving to the first engine call is far less than the resync's minute."""
    with operator.run():
        saved = time.time()
        operator.declare("web")
        operator.until_phase(web="Running")
        created = operator.journal()[1]
        assert created["action"].startswith("create reconciler.")
        assert created["at"] - saved < 10


def test_state_stopped_stops_and_running_starts(operator: Operator) -> None:
    """`state` is declared like everything else, and the container is kept meanwhile."""
    operator.declare("web", restart="no")
    operator.reconciler("apply", code=0)
    container = operator.container("web")
    operator.declare("web", restart="no", state="stopped")
    operator.reconciler("apply", code=0)
    assert operator.phase("web") == "Stopped"
    assert [row["State"] for row in operator.containers()] == ["exited"]
    operator.declare("web", restart="no")
    operator.reconciler("apply", code=0)
    assert operator.container("web") == container


def test_suspend_means_hands_off(operator: Operator) -> None:
    """A suspended sandbox is left as it is, with the reason in its status."""
    operator.declare("web")
    operator.reconciler("apply", code=0)
    operator.declare("web", suspend="someone is looking at it", mem_limit="256m")
    operator.reconciler("apply", code=1)
    assert operator.status("web")["message"] == "someone is looking at it"
    assert operator.inspect("web")["HostConfig"]["Memory"] == 512 << 20


WELL = {"test": ["CMD", "test", "-e", "/tmp/well"], "interval": "1s", "timeout": "1s", "retries": 1}


def test_health_decides_readiness(operator: Operator) -> None:
    """With a health check a sandbox is Starting until healthy, and not ready when it becomes unhealthy."""
    operator.declare("web", healthcheck={**WELL, "start_period": "60s"}, restart="no")
    with operator.run():
        operator.until(lambda: operator.phase("web") == "Starting" and operator.status("web")["reason"] == "Starting")
        operator.inside("web", "touch /tmp/well")
        operator.until_reason(web="Healthy")
        operator.reconciler("status", code=0)
        operator.inside("web", "rm /tmp/well")
        operator.until_reason(web="Unhealthy")
        operator.reconciler("status", code=1)


def test_what_is_unhealthy_is_restarted(operator: Operator) -> None:
    """At once when that begins, and with a rest the next time; the journal tells when it begins and when it ends."""
    operator.declare("web", healthcheck=WELL, command=["sh", "-c", "touch /tmp/well; exec httpd -f -p 3000 -h /www"])
    with operator.run():
        operator.until_reason(web="Healthy")
        container = operator.container("web")
        operator.inside("web", "rm /tmp/well")
        operator.until(lambda: operator.status("web")["restarts"] == 1)
        operator.until_reason(web="Healthy")
        assert (operator.container("web"), operator.status("web")["failures"]) == (container, 1)
    told = [(line["cause"], line["action"].split(" ")[0]) for line in operator.journal()]
    assert told[-5:] == [
        ("Unhealthy", ""),
        *(("Unhealthy", action) for action in ("stop", "verify", "start")),
        ("Healthy", ""),
    ]


def test_a_missing_image_backs_off_and_the_old_container_runs_on(operator: Operator) -> None:
    """An image that cannot be had is that sandbox's own failure, and its running container is not touched."""
    operator.declare("web")
    operator.declare("other")
    operator.reconciler("apply", code=0)
    container = operator.container("web")
    operator.declare("web", image="sandbox:missing", pull_policy="never")
    operator.reconciler("apply", code=1)
    status = operator.status("web")
    assert (status["phase"], status["reason"]) == ("Running", "ImagePullFailed")
    assert status["retry_at"] > time.time() - 30
    assert operator.container("web") == container
    assert operator.phase("other") == "Running"


def test_anonymous_volumes_of_an_image_go_with_the_container(operator: Operator) -> None:
    """Replacing and removing leave no volume behind."""
    make_image(operator.engine.host, "sandbox:volume", ["VOLUME /data"])
    operator.declare("web", image="sandbox:volume")
    operator.reconciler("apply", code=0)
    operator.declare("web", image="sandbox:volume", mem_limit="256m")
    operator.reconciler("apply", code=0)
    assert len(operator.api("GET", "/volumes")["Volumes"]) == 1
    operator.remove("web")
    operator.reconciler("apply", code=0)
    assert not operator.api("GET", "/volumes")["Volumes"]


def test_validate_needs_no_engine_and_finds_everything(operator: Operator) -> None:
    """All problems of all files in one run, with file and line; good files are good."""
    operator.host = "unix:///nowhere.sock"
    operator.declare("good")
    operator.reconciler("validate", code=0)
    operator.write("typo.yaml", "imgae: x\n")
    operator.write("evil.yaml", "image: x\nprivileged: true\n")
    operator.declare("greedy", mem_limit="1g")
    done = operator.reconciler("validate", code=1)
    for said in ("typo.yaml:1:1", "image", "evil.yaml:2:1", "privileged", "greedy.yaml:1", "mem_limit"):
        assert said in done.stderr
    assert "good.yaml" not in done.stderr
    found = json.loads(operator.reconciler("validate", "-o", "json", code=1).stdout)
    names = {Path(problem["file"]).name for problem in found["problems"]}
    assert names == {"typo.yaml", "evil.yaml", "greedy.yaml"}


def test_sigterm_leaves_the_sandboxes_running(operator: Operator) -> None:
    """The controller ends with 0, and comes back to what it left without touching it."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
    container = operator.container("web")
    with operator.run():
        operator.until_phase(web="Running")
        assert operator.container("web") == container
    assert operator.inspect("web")["State"]["Running"]


def test_ctrl_c_and_sighup(operator: Operator) -> None:
    """SIGHUP is a full resync now; SIGINT is an orderly end."""
    operator.declare("web")
    with operator.run() as process:
        operator.until_phase(web="Running")
        scanned = operator.controller()["last_scan_at"]
        process.send_signal(signal.SIGHUP)
        operator.until(lambda: operator.controller()["last_scan_at"] > scanned)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_sigterm_does_not_wait_for_a_slow_stop(operator: Operator) -> None:
    """Plans in flight get a bounded time; then the controller ends well all the same."""
    operator.declare("slow", command=STUBBORN, stop_grace_period="60s")
    with operator.run():
        operator.until_phase(slow="Running")
        operator.remove("slow")
        operator.until_phase(slow="Stopping")
    assert "ended while slow were under way" in operator.log


def test_apply_gives_up_after_its_timeout(operator: Operator) -> None:
    """A health check that never passes is waited for, but not for ever."""
    check = {"test": ["CMD", "false"], "interval": "1s", "timeout": "1s", "start_period": "1h"}
    operator.declare("web", healthcheck=check)
    done = operator.reconciler("apply", "--timeout", "2", code=1)
    assert "Starting" in done.stdout
