"""What the kernel says of a real container, and no engine does."""

import signal
import subprocess
import time
from pathlib import Path

from reconciler.engine.kernel import SETTLED_SECONDS
from tests.private_engine import CGROUPS
from tests.system.conftest import Operator

RAISED = "1073741824"


def memory_cgroup(operator: Operator, name: str) -> Path:
    """Of the sandbox's container, in the hierarchy that limits memory."""
    lines = Path(f"/proc/{operator.inspect(name)['State']['Pid']}/cgroup").read_text().splitlines()
    paths = {names: path for _, names, path in (line.split(":", 2) for line in lines)}
    return CGROUPS / "memory" / paths["memory"][1:] if "memory" in paths else CGROUPS / paths[""][1:]


def raise_memory(group: Path) -> None:
    """As somebody does who is root on the host: the engine is not told."""
    for name in ("memory.memsw.limit_in_bytes", "memory.limit_in_bytes", "memory.max"):
        if (group / name).exists():
            (group / name).write_text(RAISED)


def told(operator: Operator, cause: str) -> list[str]:
    return [entry["message"] for entry in operator.journal() if entry["cause"] == cause]


def look(operator: Operator, process: subprocess.Popen[str]) -> None:
    """A resync, as there is one each minute."""
    passes = operator.controller()["passes"]
    process.send_signal(signal.SIGHUP)
    operator.until(lambda: operator.controller()["passes"] > passes)


def test_a_limit_that_was_raised_behind_the_engines_back_is_undone(operator: Operator) -> None:
    """The engine goes on to show the limit; also a sandbox that cannot be read any more is repaired."""
    operator.declare("web")
    operator.declare("held")
    with operator.run() as process:
        operator.until_phase(web="Running", held="Running")
        first = {name: operator.container(name) for name in ("web", "held")}
        look(operator, process)
        assert operator.status("web")["attested"]["kernel"].startswith("read")
        operator.write("held.yaml", "image: [")
        operator.until_phase(held="Running")
        operator.until_reason(held="InvalidFile")
        for name in first:
            raise_memory(memory_cgroup(operator, name))
            assert operator.inspect(name)["HostConfig"]["Memory"] == 512 << 20
        look(operator, process)
        operator.until(
            lambda: first.items().isdisjoint((name, operator.status(name)["container_id"]) for name in first)
        )
        operator.until(lambda: {row["State"] for row in operator.containers()} == {"running"})
        for name in first:
            group = memory_cgroup(operator, name)
            limits = [group / file for file in ("memory.limit_in_bytes", "memory.max") if (group / file).exists()]
            assert [file.read_text().strip() for file in limits] == [str(512 << 20)]
    assert "kernel.mem_limit: 1g should be 512m" in told(operator, "KernelMismatch")[0]


def test_somebodys_shell_is_told_and_not_ended(operator: Operator) -> None:
    """Root in a sandbox is in the journal and in the status, once it has been there for a while."""
    operator.declare("web", command=["sleep", "1000"])
    with operator.run() as process:
        operator.until_phase(web="Running")
        container = operator.container("web")
        shell = operator.api("POST", f"/containers/{container}/exec", body={"User": "0", "Cmd": ["sleep", "777"]})
        operator.api("POST", f"/exec/{shell['Id']}/start", body={"Detach": True})
        pid = operator.until(lambda: operator.api("GET", f"/exec/{shell['Id']}/json")["Pid"])
        look(operator, process)
        assert operator.status("web")["message"] == ""
        time.sleep(SETTLED_SECONDS)
        look(operator, process)
        sentence = f"foreign process {pid}: user 0:0"
        operator.until(lambda: operator.status("web")["message"] == sentence)
        assert (operator.phase("web"), operator.container("web")) == ("Running", container)
        assert Path(f"/proc/{pid}").exists()
        assert told(operator, "ForeignProcess") == [sentence]
        assert sentence in operator.reconciler("status", "web", code=0).stdout


def test_what_the_kernel_must_be_asked_for_runs_where_it_answers(operator: Operator) -> None:
    """Health checks, each of which is root for a moment, are nobody's shell; what begins anew is not held to less."""
    operator.decree(require_kernel_facts=True)
    operator.declare("web", healthcheck={"test": ["CMD", "true"], "interval": "1s"})
    with operator.run() as process:
        operator.until(lambda: operator.status("web").get("started_at"))
        time.sleep(SETTLED_SECONDS)
        look(operator, process)
        assert operator.status("web")["attested"]["ok"]
        assert operator.status("web")["foreign_processes"] == []
    assert told(operator, "KernelMismatch") == []
