"""Faults that others cause at the engine: strangers' containers, and what they do to ours."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.busybox_image import make_image
from tests.private_engine import PrivateEngine
from tests.system.conftest import STUBBORN, Operator, version
from tests.system.faults.conftest import Watcher

Stranger = Callable[..., str]


@pytest.fixture
def stranger(operator: Operator) -> Iterator[Stranger]:
    """Runs a stranger's container, which is gone after the test."""
    made = []

    def run(name: str, **config: Any) -> str:
        made.append(operator.foreign(name, **config))
        return made[-1]

    yield run
    for container in made:
        operator.api("DELETE", f"/containers/{container}", {"force": 1})


def labels(instance: str) -> dict[str, str]:
    """All that makes a container ours, but for the name."""
    return {
        "reconciler.instance": instance,
        "reconciler.sandbox": "pretended",
        "reconciler.fingerprint": 64 * "0",
        "reconciler.ports": "",
    }


def take_away(operator: Operator, container: str) -> None:
    operator.api("DELETE", f"/containers/{container}", {"force": 1})


def foreign(operator: Operator) -> list[str]:
    """The names of the strangers that the controller reports."""
    return sorted(line.rpartition(": ")[2].split(" (")[0] for line in operator.controller()["unmanaged"])


@pytest.mark.slow
def test_fault_09_strangers_come_back_with_the_engine(
    private_engine: PrivateEngine, operator: Operator, stranger: Stranger
) -> None:
    """Strangers of every kind that the engine itself restarts are left alone; those that look like ours are told."""
    instance = operator.instance
    spoof = [f"LABEL {key}={value}" for key, value in labels(instance).items()]
    make_image(private_engine.host, "sandbox:spoof", spoof)
    returning = {"HostConfig": {"RestartPolicy": {"Name": "always"}}}
    strangers = [
        stranger(f"plain-{instance}", **returning),
        stranger(f"labelled-{instance}", Labels=labels(instance), **returning),
        stranger(f"spoofed-{instance}", Image="sandbox:spoof", **returning),
        stranger(f"reconciler.{instance}.web.00000000", **returning),
        stranger(f"reconciler.{instance}-b.pretended.00000000", Labels=labels(f"{instance}-b"), **returning),
    ]
    told = [f"labelled-{instance}", f"spoofed-{instance}"]
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        operator.until(lambda: foreign(operator) == told)
        try:
            private_engine.stop()
            operator.until(lambda: not operator.controller()["available"])
        finally:
            private_engine.start()
        operator.until(lambda: operator.controller()["available"] and "web" in operator.versions())
        operator.until_phase(web="Running")
        assert foreign(operator) == told
        for container in strangers:
            assert operator.api("GET", f"/containers/{container}/json")["State"]["Running"]


def test_fault_16_our_labels_turn_up_on_a_strangers_container(operator: Operator, stranger: Stranger) -> None:
    """It is reported while it is there, and neither stops a sandbox nor takes the place of one."""
    operator.decree(sandboxes_max=2)
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        container = operator.container("web")
        name = f"stranger-{operator.instance}"
        pretender = stranger(name, Labels=labels(operator.instance))
        operator.until(lambda: foreign(operator) == [name])
        operator.declare("other")
        operator.until_phase(other="Running")
        operator.remove("web")
        operator.until(lambda: not operator.status("web"))
        ours = {row["Id"] for row in operator.containers()}
        assert ours == {pretender, operator.container("other")}
        assert container not in ours


def test_fault_17_a_stranger_holds_our_name(operator: Operator, stranger: Stranger) -> None:
    """A name that is taken is an explained failure of that sandbox alone."""
    operator.declare("web")
    operator.declare("other")
    with operator.run():
        operator.until_phase(web="Running", other="Running")
        name = operator.inspect("web")["Name"].removeprefix("/")
        operator.remove("web")
        operator.until(lambda: not operator.status("web"))
        holder = stranger(name)
        operator.declare("web")
        operator.until(lambda: operator.status("web").get("reason") == "NameTaken")
        assert (operator.phase("web"), operator.phase("other")) == ("Backoff", "Running")
        assert operator.api("GET", f"/containers/{holder}/json")["State"]["Running"]


def test_fault_17_a_replacement_whose_name_is_taken(operator: Operator, stranger: Stranger) -> None:
    """The old container runs on until the stranger that holds the new one's name has gone."""
    operator.declare("web", **version("2"))
    operator.declare("other")
    with operator.run():
        operator.until_phase(web="Running", other="Running")
        name = operator.inspect("web")["Name"].removeprefix("/")
        operator.declare("web")
        operator.until(lambda: operator.versions() == {"web": "", "other": ""})
        operator.until(lambda: len(operator.containers()) == 2)
        old = operator.container("web")
        holder = stranger(name)
        for edited in ("web", "other"):
            operator.declare(edited, **version("2"))
        operator.until(lambda: operator.status("web")["reason"] == "NameTaken")
        operator.until(lambda: operator.versions() == {"web": "", "other": "2"})
        assert operator.container("web") == old
        operator.api("POST", f"/containers/{holder}/rename", {"name": f"renamed-{operator.instance}"})
        operator.until(lambda: operator.versions() == {"web": "2", "other": "2"})
        operator.until(lambda: len(operator.containers()) == 2)


def test_fault_18_drift_by_docker_update(operator: Operator, watcher: Watcher) -> None:
    """Somebody's `docker update` is found at once, and recorded."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        drifted = operator.container("web")
        watcher.excused.add(drifted)
        operator.api("POST", f"/containers/{drifted}/update", body={"Memory": 1 << 30, "MemorySwap": 1 << 30})
        operator.until(lambda: operator.status("web")["container_id"] != drifted)
        operator.until_phase(web="Running")
        assert operator.inspect("web")["HostConfig"]["Memory"] == 512 << 20
    assert any(line["cause"] == "Drifted" and "mem_limit" in line["message"] for line in operator.journal())


def test_fault_18_drift_by_a_second_network(operator: Operator) -> None:
    """A container that somebody connected to another network is replaced."""
    network = f"elsewhere-{operator.instance}"
    operator.api("POST", "/networks/create", body={"Name": network, "Driver": "bridge"})
    operator.declare("web")
    try:
        with operator.run():
            operator.until_phase(web="Running")
            drifted = operator.container("web")
            operator.api("POST", f"/networks/{network}/connect", body={"Container": drifted})
            operator.until(lambda: operator.status("web")["container_id"] != drifted)
            operator.until_phase(web="Running")
            assert list(operator.inspect("web")["NetworkSettings"]["Networks"]) == [operator.network("web")]
    finally:
        operator.api("DELETE", f"/networks/{network}")


def test_fault_18_a_pause(operator: Operator) -> None:
    """What somebody paused runs on."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        operator.api("POST", f"/containers/{operator.container('web')}/pause")
        operator.until(lambda: any(line["cause"] == "Paused" for line in operator.journal()))
        operator.until(lambda: operator.inspect("web")["State"]["Status"] == "running")


def test_fault_19_ours_stopped_by_hand(operator: Operator) -> None:
    """What somebody stopped runs again, in the same container."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        container = operator.container("web")
        operator.api("POST", f"/containers/{container}/stop")
        operator.until(lambda: operator.status("web")["restarts"] == 1)
        operator.until_phase(web="Running")
        assert operator.container("web") == container


def test_fault_19_ours_removed_by_hand(operator: Operator) -> None:
    """What somebody removed is made again, on the port that it had."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        container, ports = operator.container("web"), operator.status("web")["ports"]
        take_away(operator, container)
        operator.until(lambda: operator.status("web")["container_id"] not in {"", container})
        operator.until_phase(web="Running")
        assert operator.status("web")["ports"] == ports
        assert len(operator.containers()) == 1


def test_fault_19_removed_by_hand_while_the_controller_removes_it(operator: Operator) -> None:
    """Two who remove the same container do not disturb each other, whoever comes first."""
    operator.declare("web", command=STUBBORN, stop_grace_period="20s")
    with operator.run():
        operator.until_phase(web="Running")
        container = operator.container("web")
        operator.remove("web")
        operator.until_phase(web="Stopping")
        take_away(operator, container)
        operator.until(lambda: not operator.status("web") and not operator.containers())


@pytest.mark.parametrize("gone", ["old", "both"])
def test_fault_19_removed_by_hand_while_the_controller_replaces_it(operator: Operator, gone: str) -> None:
    """Whichever of the two containers is taken away meanwhile, in the end the new one runs."""
    operator.declare("web", command=STUBBORN, stop_grace_period="20s")
    with operator.run():
        operator.until_phase(web="Running")
        old = operator.container("web")
        operator.declare("web", **version("2"))
        operator.until(lambda: any(line["cause"] == "ConfigurationChanged" for line in operator.journal()))
        (new,) = {row["Id"] for row in operator.containers()} - {old}
        for container in {"old": [old], "both": [new, old]}[gone]:
            take_away(operator, container)
        operator.until(lambda: operator.versions() == {"web": "2"} and len(operator.containers()) == 1)
        operator.until_phase(web="Running")


def test_fault_19_removed_by_hand_again_and_again(operator: Operator) -> None:
    """Whatever the controller is doing when its containers are taken away, in the end there is what is declared."""
    with operator.run():
        for number in range(15):
            operator.declare("web", **version(str(number)))
            for row in operator.containers():
                with suppress(RuntimeError):
                    take_away(operator, row["Id"])
        operator.until(lambda: operator.versions() == {"web": "14"} and len(operator.containers()) == 1)
        operator.until_phase(web="Running")
