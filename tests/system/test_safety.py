"""What must never happen: too many, too much removed, strangers touched, a policy evaded."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.busybox_image import make_image
from tests.conftest import IMAGE
from tests.private_engine import PrivateEngine
from tests.system.conftest import Operator


def running(operator: Operator) -> set[str]:
    return {row["Labels"]["reconciler.sandbox"] for row in operator.containers(running=True)}


def restarted(operator: Operator, times: int) -> bool:
    return bool(operator.status("web")["restarts"] == times)


def test_a_killed_container_comes_back(operator: Operator) -> None:
    """The controller heals what dies, each restart verified and counted."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        for restarts in (1, 2):
            operator.api("POST", f"/containers/{operator.container('web')}/kill")
            operator.until(partial(restarted, operator, restarts))
            operator.until_phase(web="Running")
        assert operator.status("web")["exit_code"] == 137
        assert len(operator.containers()) == 1


def test_a_crash_loop_backs_off(operator: Operator) -> None:
    """A sandbox that exits at once is restarted at longer and longer intervals, and disturbs nobody."""
    operator.declare("crash", command=["sh", "-c", "exit 3"])
    operator.declare("web")
    with operator.run():
        operator.until(lambda: operator.status("crash").get("failures", 0) >= 3)
        operator.until_phase(crash="Backoff")
        status = operator.status("crash")
        assert (status["exit_code"], status["reason"]) == (3, "ExitCode")
        assert status["retry_at"] - status["exited_at"] > 1.5
        assert operator.phase("web") == "Running"


def test_out_of_memory_is_told_apart(operator: Operator) -> None:
    """A sandbox that is killed for its memory says so."""
    eat = "exec dd if=/dev/zero of=/dev/null bs=100M count=1"
    operator.declare("hungry", command=["sh", "-c", eat], mem_limit="8m", restart="no")
    operator.until(lambda: operator.reconciler("apply") and operator.phase("hungry") == "Failed")
    status = operator.status("hungry")
    assert (status["oom_killed"], status["reason"]) == (True, "OOMKilled")
    assert "OOMKilled: killed: over mem_limit 8m" in operator.reconciler("status", code=1).stdout


def test_why_an_end_came_is_told_first(operator: Operator) -> None:
    """With the last error that the sandbox wrote, or what to do about an image that expects to be root."""
    says = 'echo "Error: no such module" >&2; echo "  at line 3" >&2; exit 3'
    operator.declare("says", command=["sh", "-c", says], restart="no")
    operator.declare("root", command=["sh", "-c", "mkdir /data"], restart="no")
    operator.declare("lacks", command=["serve", "--fast"], restart="no")
    operator.decree(sandboxes_max=5)

    def told() -> str:
        return operator.reconciler("status", code=1).stdout

    with operator.run():
        operator.until(lambda: "ExitCode: exited with code 3, not restarted: Error: no such module" in told())
        operator.until(
            lambda: "ExitCode: permission denied: the image may expect root; use one for 1000:1000" in told()
        )
        operator.until(lambda: "exited with code 127, not restarted: " in told())


def test_an_image_cannot_keep_the_engine_busy(operator: Operator) -> None:
    """A check that it brings along runs as often as a file could ask for, and the container stays as it is."""
    make_image(operator.engine.host, "sandbox:often", ["HEALTHCHECK --interval=1ms --timeout=1ms --retries=9 CMD true"])
    operator.declare("web", image="sandbox:often")
    operator.reconciler("apply", code=0)
    check = operator.inspect("web")["Config"]["Healthcheck"]
    assert (check["Interval"], check["Timeout"], check["Retries"]) == (10**9, 10**9, 9)
    operator.reconciler("plan", code=0)


def test_an_image_cannot_write_past_read_only(operator: Operator) -> None:
    """Its volume is refused until something else is mounted there, and counts as disk where it is allowed."""
    make_image(operator.engine.host, "sandbox:volume", ["VOLUME /data"])
    operator.declare("web", image="sandbox:volume", read_only=True)
    operator.reconciler("apply", code=1)
    assert operator.containers() == []
    assert "would write to a volume on /data (mount a tmpfs on /data)" in operator.status("web")["message"]
    operator.declare("web", image="sandbox:volume", read_only=True, tmpfs=["/data:size=1m"])
    operator.reconciler("apply", code=0)
    said = operator.inside(
        "web", "dd if=/dev/zero of=/data/x bs=1M count=3; ls -l /data/x; grep ' /data ' /proc/mounts"
    )
    assert "No space left" in said
    assert "tmpfs /data tmpfs" in said
    operator.decree(limits={"disk": "20m"})
    fill = ["sh", "-c", "dd if=/dev/zero of=/home/node/filled bs=1M count=40 && exec sleep 1000"]
    make_image(operator.engine.host, "sandbox:home", ["VOLUME /home/node"])
    operator.declare("greedy", image="sandbox:home", command=fill)
    operator.reconciler("apply", code=0)
    operator.until(lambda: "40.0M" in operator.inside("greedy", "ls -lh /home/node"))
    with operator.run():
        operator.until_phase(greedy="Failed", web="Running")


def test_an_image_with_too_many_labels_is_refused(operator: Operator) -> None:
    """They would be in every list of containers, and keep everybody waiting."""
    make_image(
        operator.engine.host, "sandbox:loud", [f"LABEL {key}={'x' * 1000}" for key in map("a{}".format, range(70))]
    )
    operator.declare("web", image="sandbox:loud")
    operator.reconciler("apply", code=1)
    assert operator.containers() == []
    assert "its image has 68k of labels (at most 64k)" in operator.status("web")["message"]


def test_who_says_too_much_is_stopped(operator: Operator) -> None:
    """To write down what `yes` says costs the engine a core; it rests longer and longer, and disturbs nobody."""
    operator.declare("loud", command=["yes"])
    operator.declare("web", command=["sh", "-c", "while sleep 0.01; do echo hello; done"])
    with operator.run():
        operator.until(lambda: operator.status("loud").get("failures", 0) >= 2, seconds=120)
        stops = [row["cause"] for row in operator.journal() if row["sandbox"] == "loud" and row["action"][:4] == "stop"]
        assert stops
        assert set(stops) == {"LogRateExceeded"}
        assert operator.status("loud")["failure"]["reason"] == "LogRateExceeded"
        assert (operator.phase("web"), operator.status("web")["failures"]) == ("Running", 0)


def test_who_fills_the_disk_is_stopped(operator: Operator) -> None:
    """The measure is told, what was stopped stays so over a restart of the controller, and a changed file mends it."""
    fill = "dd if=/dev/zero of=/tmp/filled bs=1M count=40 && exec sleep 1000"
    operator.decree(limits={"disk": "20m"})
    operator.declare("greedy", command=["sh", "-c", fill], restart="always")
    operator.declare("web")
    operator.reconciler("apply", code=0)
    operator.until(lambda: "40.0M" in operator.inside("greedy", "ls -lh /tmp/filled"))
    with operator.run():
        operator.until_phase(greedy="Failed", web="Running")
        assert operator.status("greedy")["message"].startswith("over disk 20m: it has written 40m")
    operator.reconciler("apply", code=1)
    assert (operator.phase("greedy"), operator.phase("web")) == ("Failed", "Running")
    assert running(operator) == {"web"}
    operator.declare("greedy", command=["sleep", "1000"])
    operator.reconciler("apply", code=0)
    assert running(operator) == {"greedy", "web"}


def test_an_image_that_brings_our_labels_makes_no_container_ours(operator: Operator) -> None:
    """A stranger's container with our labels, spoofed by its image, is reported and left alone."""
    spoofed = {
        "reconciler.instance": operator.instance,
        "reconciler.sandbox": "web",
        "reconciler.fingerprint": "0" * 64,
        "reconciler.ports": "",
    }
    make_image(operator.engine.host, "sandbox:spoof", [f"LABEL {key}={value}" for key, value in spoofed.items()])
    stranger = operator.foreign(f"stranger-{operator.instance}", Image="sandbox:spoof")
    operator.declare("honest")
    with operator.run():
        operator.until_phase(honest="Running")
        assert stranger in {row["Id"] for row in operator.containers(running=True)}
        assert any(f"stranger-{operator.instance}" in line for line in operator.controller()["unmanaged"])
    assert operator.status("web") == {}


def test_a_taken_port_is_that_sandboxs_failure_alone(operator: Operator) -> None:
    """`published` that somebody else holds is explained; a random port that is taken is drawn anew."""
    binding = {"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18080"}]}
    stranger = operator.foreign(
        f"holder-{operator.instance}", ExposedPorts={"3000/tcp": {}}, HostConfig={"PortBindings": binding}
    )
    operator.declare("fixed", ports=[{"target": 3000, "published": 18080}])
    operator.declare("random")
    try:
        operator.reconciler("apply", code=1)
        assert (operator.phase("fixed"), operator.status("fixed")["reason"]) == ("Backoff", "PortTaken")
        assert operator.status("fixed")["message"] == "127.0.0.1:18080 is in use"
        words = {"dockerd": "port is already allocated", "podman": "in use"}[operator.engine.program.name]
        assert any(words in entry["engine_said"] for entry in operator.journal())
        assert operator.phase("random") == "Running"
    finally:
        operator.api("DELETE", f"/containers/{stranger}", {"force": 1})
    with operator.run():
        operator.until_phase(fixed="Running")
    assert operator.status("fixed")["ports"] == {"3000": 18080}


def test_neighbours_cannot_talk_and_instances_do_not_see_each_other(operator: Operator) -> None:
    """Traffic between containers is off, and a second instance leaves the first one's sandboxes alone."""
    operator.declare("a")
    operator.declare("b")
    operator.reconciler("apply", code=0)
    networks = operator.inspect("b")["NetworkSettings"]["Networks"]
    (address,) = (network["IPAddress"] for network in networks.values())
    assert "it works" not in operator.inside("a", f"wget -T 2 -q -O - http://{address}:3000/")
    other = Operator(operator.root / "second", operator.engine, f"{operator.instance}-x")
    other.directory.mkdir(parents=True)
    other.reconciler("apply", code=0)
    assert running(operator) == {"a", "b"}


def test_a_kernel_that_lets_neighbours_talk_starts_nobody(operator: Operator) -> None:
    """Somebody turns the bridges' filter off: the next resync sees it, and after it is on again so does another one."""
    operator.before = operator.engine.inside  # where the bridge is
    operator.declare("web")
    with operator.run() as process:
        operator.until_phase(web="Running")
        try:
            _set_filter(operator, "0")
            passes = operator.controller()["passes"]
            process.send_signal(signal.SIGHUP)
            operator.until(lambda: operator.controller()["passes"] > passes)
            operator.declare("late")
            operator.until_phase(late="Refused")
            status = operator.status("late")
            assert status["reason"] == "NetworkUnfit"
            assert status["message"].startswith("net.bridge.bridge-nf-call-iptables is 0")
            assert running(operator) == {"web"}
            assert "bridge: net.bridge.bridge-nf-call-iptables is 0" in operator.reconciler("doctor", code=1).stdout
        finally:
            _set_filter(operator, "1")
        process.send_signal(signal.SIGHUP)
        operator.until_phase(late="Running")


def _set_filter(operator: Operator, value: str) -> None:
    command = f"echo {value} > /proc/sys/net/bridge/bridge-nf-call-iptables"
    subprocess.run([*operator.engine.inside, "sh", "-c", command], check=True)


def test_a_network_with_ipv6_is_unfit(operator: Operator) -> None:
    """Its rules are another family's: neighbours reach one another although traffic between them is off."""
    name = f"reconciler.{operator.instance}"
    subnets = [{"Subnet": "172.31.77.0/24"}, {"Subnet": "fd00:77::/64"}]
    options = {"com.docker.network.bridge.enable_icc": "false"}
    labels = {"reconciler.instance": operator.instance}
    network = {"Name": name, "EnableIPv6": True, "IPAM": {"Config": subnets}, "Options": options, "Labels": labels}
    operator.api("POST", "/networks/create", body=network)
    operator.declare("web")
    operator.reconciler("apply", code=1)
    assert (operator.phase("web"), operator.status("web")["reason"]) == ("Refused", "NetworkUnfit")
    assert "it has IPv6" in operator.status("web")["message"]


def test_an_absent_engine_is_a_state_to_report(operator: Operator, tmp_path: Path) -> None:
    """Without an engine `run` stays up and says why; when the engine comes, it converges."""
    socket = tmp_path / "docker.sock"
    operator.host = f"unix://{socket}"
    operator.declare("web")
    with operator.run() as process:
        operator.until(lambda: operator.controller().get("available") is False)
        assert "no engine" in operator.controller()["unavailable_reason"]
        assert process.poll() is None
        socket.symlink_to(operator.engine.host.removeprefix("unix://"))
        operator.until_phase(web="Running")
        assert operator.controller()["available"] is True
    operator.host = "unix:///nowhere.sock"
    operator.reconciler("apply", code=1)
    assert "no engine" in operator.reconciler("plan", code=1).stderr


def test_a_tightened_policy_stops_what_it_forbids(operator: Operator) -> None:
    """A policy that comes to reject a running sandbox stops it; one that is broken loosens and stops nothing."""
    operator.decree(sandboxes_max=5)
    operator.declare("big", mem_limit="512m")
    operator.declare("small")
    with operator.run():
        operator.until_phase(big="Running", small="Running")
        operator.policy_file.write_text("sandboxes_max: [")
        operator.until(lambda: operator.controller()["policy_error"])
        assert running(operator) == {"big", "small"}
        operator.decree(limits={"mem_limit": "256m"})
        operator.until_phase(big="Refused")
        operator.until(lambda: running(operator) == {"small"})
        operator.until(lambda: operator.inspect("small")["HostConfig"]["Memory"] == 256 << 20)
        assert operator.controller()["policy_error"] == ""
    operator.policy_file.write_text("sandboxes_max: [")
    for command in ("apply", "plan"):
        told = operator.reconciler(command, code=1).stderr
        assert "policy.yaml:1" in told
        assert "no policy to go by" in told


def test_removals_over_the_budget_wait_for_approval(operator: Operator) -> None:
    """Emptying the directory removes nothing before `approve`, which approves exactly what waits, once."""
    for name in "abcde":
        operator.declare(name)
    operator.reconciler("approve", code=1)
    with operator.run():
        operator.until_phase(**dict.fromkeys("abcde", "Running"))
        hidden = operator.root / "hidden"
        hidden.mkdir()
        for name in "abcd":
            (operator.directory / f"{name}.yaml").rename(hidden / f"{name}.yaml")
        operator.until_reason(**dict.fromkeys("abcd", "RemovalBudgetExceeded"))
        operator.until(lambda: operator.controller()["frozen"])
        assert running(operator) == set("abcde")
        assert "a, b, c, d" in operator.reconciler("approve", code=0).stdout
        operator.until(lambda: running(operator) == {"e"})
        operator.until(lambda: not operator.controller()["frozen"])
        operator.reconciler("approve", code=1)


def test_state_can_be_deleted(operator: Operator) -> None:
    """The state directory is a cache: without it nothing is touched, and the port stays."""
    operator.declare("web")
    operator.reconciler("apply", code=0)
    before = (operator.container("web"), operator.status("web")["ports"])
    shutil.rmtree(operator.state)
    operator.reconciler("apply", code=0)
    assert (operator.container("web"), operator.status("web")["ports"]) == before


def test_an_engine_restart_is_survived(private_engine: PrivateEngine, operator: Operator) -> None:
    """When the engine goes, nothing is lost; when it is back, what it stopped runs again."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        private_engine.stop()
        operator.until(lambda: not operator.controller()["available"])
        private_engine.start()
        operator.until(lambda: operator.controller()["available"] and running(operator) == {"web"})
        operator.until_phase(web="Running")


@pytest.mark.parametrize("key", ["privileged", "cap_add", "devices", "pid", "security_opt"])
def test_what_the_policy_forbids_for_good_cannot_be_said(operator: Operator, key: str) -> None:
    """Keys that would open the host are errors that say why."""
    operator.write("evil.yaml", f"image: {IMAGE}\n{key}: anything\n")
    done = operator.reconciler("validate", code=1)
    assert f"error: '{key}' is forbidden" in done.stderr
    assert "evil.yaml:2:1\n" in done.stderr


def gone(operator: Operator, name: str) -> bool:
    return name not in running(operator)


def test_removals_a_moment_apart_are_budgeted_together(operator: Operator) -> None:
    """Six files go one after another: three sandboxes are removed, and the others wait, also for a new controller."""
    names = [f"s{number}" for number in range(6)]
    operator.decree(sandboxes_max=6)
    for name in names:
        operator.declare(name)
    with operator.run():
        operator.until_phase(**dict.fromkeys(names, "Running"))
        for name in names[:3]:
            operator.remove(name)
            operator.until(partial(gone, operator, name))
        operator.remove(*names[3:])
        operator.until(lambda: operator.controller()["frozen"])
    operator.reconciler("apply", code=1)
    assert running(operator) == set(names[3:])


def test_files_that_are_added_approve_nothing(operator: Operator) -> None:
    """The share is one of what ran, not of what was added since; without approval nothing is removed."""
    names = [f"s{number}" for number in range(5)]
    operator.decree(sandboxes_max=9)
    for name in names:
        operator.declare(name)
    with operator.run():
        operator.until_phase(**dict.fromkeys(names, "Running"))
        operator.remove(*names[:4])
        operator.until(lambda: operator.controller()["pending_approval"])
        for name in ("x", "y", "z"):
            operator.declare(name)
        operator.until_phase(x="Running", y="Running", z="Running")
        assert running(operator) == {*names, "x", "y", "z"}


def test_a_check_over_that_of_an_image(operator: Operator) -> None:
    """An engine fills a check that a file gives with what the image's own says beside it."""
    make_image(operator.engine.host, "sandbox:period", ["HEALTHCHECK --start-period=5s --retries=9 CMD false"])
    operator.declare("web", image="sandbox:period", healthcheck={"test": "true", "interval": "1s"})
    operator.reconciler("apply", code=0)
    operator.reconciler("plan", code=0)


HOLDS: dict[str, Callable[[Operator], object]] = {
    "suspended": lambda operator: operator.declare("web", suspend="hands off"),
    "broken": lambda operator: operator.write("web.yaml", "image: ["),
    "twice": lambda operator: operator.write("web.yml", f"image: {IMAGE}"),
    "refused": lambda operator: operator.declare("web", mem_limit="9g"),
}
"""What somebody who writes files can do so that a file is not acted on."""


@pytest.mark.parametrize("hold", HOLDS)
def test_no_file_keeps_running_what_the_policy_forbids(operator: Operator, hold: str) -> None:
    """The policy is tightened while the file says nothing that can be applied: the sandbox is stopped."""
    operator.decree(sandboxes_max=2)
    operator.declare("web", mem_limit="256m", stop_grace_period="90s")
    with operator.run():
        operator.until_phase(web="Running")
        HOLDS[hold](operator)
        operator.until(lambda: operator.status("web")["reason"] != "Running")
        assert running(operator) == {"web"}
        operator.decree(limits={"mem_limit": "64m"})
        operator.until(lambda: not running(operator))


@pytest.mark.parametrize("hold", ["broken", "refused"])
def test_no_file_shelters_what_somebody_has_changed(operator: Operator, hold: str) -> None:
    """A container that somebody changed behind such a file is repaired by what the file said last, or stopped."""
    operator.declare("web", mem_limit="64m")
    with operator.run():
        operator.until_phase(web="Running")
        HOLDS[hold](operator)
        operator.until(lambda: operator.status("web")["reason"] != "Running")
        changed = operator.container("web")
        operator.api("POST", f"/containers/{changed}/update", body={"Memory": 128 << 20, "MemorySwap": 128 << 20})
        operator.until(lambda: changed not in {row["Id"] for row in operator.containers(running=True)})
        if hold == "broken":
            operator.until(lambda: running(operator) == {"web"})
            assert operator.inspect("web")["HostConfig"]["Memory"] == 64 << 20
