"""What `reconciler doctor` finds on a real host with a real engine, and whether its advice helps."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.format.problems import count
from tests.engine_api import ask
from tests.private_engine import PrivateEngine
from tests.system.conftest import WITHOUT_CAPABILITIES, Operator

SOMEBODY = 54_321
"""Nobody has this id."""

ANY = object()


@pytest.fixture
def patient(operator: Operator) -> Operator:
    """An operator whose commands run where the engine's network is, with a policy that is out of reach."""
    operator.before = operator.engine.inside
    operator.decree()
    os.chown(operator.directory, SOMEBODY, SOMEBODY)
    return operator


def examined(operator: Operator, code: object = ANY) -> dict[str, dict[str, Any]]:
    """The findings by the names of their checks."""
    done = operator.reconciler("doctor", "-o", "json")
    assert code in (ANY, done.returncode), done.stdout
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == any(finding["level"] == "error" for finding in findings)
    return {finding["check"]: finding for finding in findings}


def levels(operator: Operator) -> dict[str, str]:
    return {check: finding["level"] for check, finding in examined(operator).items()}


def test_a_host_with_an_engine(patient: Operator, private_engine: PrivateEngine) -> None:
    """Of this engine, which is the one that all the tests rely on, everything that sandboxes need is there."""
    found = examined(patient, code=0)
    info = json.loads(ask(private_engine.host, "GET", "/info"))
    assert info["ServerVersion"] in found["version"]["text"]
    assert f"version {info['CgroupVersion']}" in found["cgroups"]["text"]
    needed = {"seccomp", "limits", "clock", "socket", "engine's disk", "sandboxes", "watching", "policy", "state"}
    assert {check: found[check]["level"] for check in needed} == dict.fromkeys(needed, "ok")
    assert "made with the first sandbox" in found["firewall"]["text"]
    assert ("containerd's store" in found["disk quota"]["text"]) == ("snapshotter" in str(info["DriverStatus"]))


def test_nothing_is_changed(patient: Operator) -> None:
    """The doctor makes neither network nor state directory."""
    examined(patient)
    filters = json.dumps({"label": [f"reconciler.instance={patient.instance}"]})
    assert patient.api("GET", "/networks", {"filters": filters}) == []
    assert not patient.state.exists()


def test_the_firewall_closes_as_advised(patient: Operator) -> None:
    """The commands that are printed, run as they are, close the host to sandboxes and leave their ports open."""
    patient.declare("web", command=["httpd", "-f", "-p", "3000", "-h", "/www"])
    patient.reconciler("apply", code=0)
    gateway = patient.inspect("web")["NetworkSettings"]["Networks"][patient.network("web")]["Gateway"]
    service = subprocess.Popen([*patient.before, "busybox", "httpd", "-f", "-p", f"{gateway}:8099", "-h", "/"])
    reach = f"nc -w 2 {gateway} 8099 </dev/null && echo reached"
    opened = []
    try:
        patient.until(lambda: "reached" in patient.inside("web", reach))
        found = examined(patient, code=1)
        for check in ("host's services", "cloud metadata"):
            assert found[check]["level"] == "error"
            command = shlex.split(found[check]["remedy"][0])
            assert command.pop(0) == "sudo"
            subprocess.run([*patient.before, *command], check=True)
            opened.append(["-D" if word == "-I" else word for word in command])
        assert "reached" not in patient.inside("web", reach)
        found = examined(patient, code=0)
        assert {found[check]["level"] for check in ("host's services", "cloud metadata")} == {"ok"}
        port = patient.status("web")["ports"]["3000"]
        subprocess.run([*patient.before, "busybox", "nc", "-w", "2", "127.0.0.1", str(port)], input=b"", check=True)
    finally:
        for command in opened:
            subprocess.run([*patient.before, *command], check=True)
        service.kill()
        service.wait()


def test_neighbours_that_no_rule_keeps_apart(patient: Operator) -> None:
    """Without the engine's rules it is an error, whatever the engine says of its network."""
    patient.declare("web")
    patient.reconciler("apply", code=0)
    assert levels(patient)["bridge"] == "ok"
    rules = subprocess.run([*patient.before, "iptables-save"], stdout=subprocess.PIPE, check=True).stdout
    for command in (["-F", "FORWARD"], ["-P", "FORWARD", "ACCEPT"]):
        subprocess.run([*patient.before, "iptables", *command], check=True)
    try:
        assert levels(patient)["bridge"] == "error"
    finally:
        subprocess.run([*patient.before, "iptables-restore"], input=rules, check=True)
    assert levels(patient)["bridge"] == "ok"


def test_what_nftables_drops_is_closed(patient: Operator, tmp_path: Path) -> None:
    """A host's firewall may be in nftables alone, as firewalld's is, beside the engine's rules in iptables."""
    patient.declare("web")
    patient.reconciler("apply", code=0)
    assert levels(patient)["host's services"] == "error"
    chain = {"family": "inet", "table": "firewalld", "name": "filter_INPUT", "type": "filter", "hook": "input"}
    ruleset = json.dumps({"nftables": [{"chain": {**chain, "handle": 1, "prio": 10, "policy": "drop"}}]})
    program = tmp_path / "nft"
    program.write_text(f"#!/bin/sh\necho '{ruleset}'\n")
    program.chmod(0o755)
    patient.before = (*patient.before, "env", f"PATH={tmp_path}:{os.environ['PATH']}")
    found = levels(patient)
    assert (found["host's services"], found["cloud metadata"]) == ("ok", "error")


def test_who_is_not_root_is_told_what_could_not_be_checked(patient: Operator) -> None:
    """Without the right to read the rules, they are neither ok nor an error."""
    patient.declare("web")
    patient.reconciler("apply", code=0)
    patient.before = (*patient.before, *WITHOUT_CAPABILITIES)
    firewall = examined(patient)["firewall"]
    assert firewall["level"] == "warning"
    assert "could not be checked: iptables" in firewall["text"]


def test_no_engine(patient: Operator) -> None:
    """Without an engine that is the one error, and the files are still looked at."""
    patient.host = "unix:///nowhere/docker.sock"
    found = examined(patient, code=1)
    assert [check for check, finding in found.items() if finding["level"] == "error"] == ["engine"]
    assert {"policy", "state", "sandboxes", "inotify"} <= set(found)
    text = patient.reconciler("doctor", code=1).stdout
    assert "✗ error    engine: no engine: /nowhere/docker.sock does not exist" in text
    assert "\n    sudo systemctl start docker\n" in text
    assert text.endswith(", 1 error\n")


def test_files_of_the_wrong_people(patient: Operator) -> None:
    """A policy that an author of sandboxes may write, and directories that everybody may write, are errors."""
    os.chown(patient.policy_file, SOMEBODY, SOMEBODY)
    found = examined(patient, code=1)["policy"]
    assert found["text"] == f"user {SOMEBODY} may write the sandboxes, and {patient.policy_file}"
    subprocess.run(["sh", "-c", found["remedy"][0].replace("sudo ", "")], check=True)
    assert levels(patient)["policy"] == "ok"
    patient.state.mkdir()
    for path in (patient.directory, patient.state):
        path.chmod(0o777)
    errors = {check for check, level in levels(patient).items() if level == "error"}
    assert errors == {"sandboxes", "state"}


def test_files_that_are_not_for_us(patient: Operator) -> None:
    """Who may not read the sandboxes, or not write the state, is told which."""
    patient.before = (*patient.before, *WITHOUT_CAPABILITIES)
    patient.state.mkdir(mode=0o555)
    patient.directory.chmod(0o704)
    found = examined(patient, code=1)
    assert found["state"]["text"] == f"{patient.state} cannot be written"
    assert found["sandboxes"]["text"] == f"{patient.directory} cannot be read"


def test_a_socket_for_everybody(patient: Operator, private_engine: PrivateEngine) -> None:
    """Whoever may write to the engine's socket owns the host."""
    socket = Path(private_engine.host.removeprefix("unix://"))
    before = socket.stat().st_mode
    socket.chmod(0o666)
    try:
        assert levels(patient)["socket"] == "error"
    finally:
        socket.chmod(before & 0o7777)


def test_what_people_read(patient: Operator) -> None:
    """Every line is a mark, a word and a sentence within 80 columns, in groups, with a summary and without colour."""
    text = patient.reconciler("doctor").stdout
    lines = text.splitlines()
    assert [line for line in lines if line and line[0].isupper()] == ["Engine", "Kernel", "Network", "Disk", "Files"]
    marked = [line for line in lines if line[:4].strip() in {"✓", "!", "✗"}]
    assert all(line[4:13].strip() in {"ok", "warning", "error"} for line in marked)
    assert all(len(line) <= 80 for line in marked)
    ok, warnings, errors = (sum(line.startswith(f"  {mark} ") for line in marked) for mark in "✓!✗")
    assert lines[-1] == f"{ok} ok, {count(warnings, 'warning')}, {count(errors, 'error')}"
    assert "\x1b" not in text
