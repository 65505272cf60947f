"""`restart`, `retry` and `down` ask, and the controller that runs, or the next one, answers and does it."""

import subprocess

from tests.system.conftest import STUBBORN, Operator

MISSING = "localhost:1/missing:1"


def started_at(operator: Operator, container: str) -> str:
    return str(operator.api("GET", f"/containers/{container}/json")["State"]["StartedAt"])


def test_a_restart_keeps_the_container_and_begins_another_run(operator: Operator) -> None:
    """What is refused is told with its reason, and nothing happens to it."""
    operator.declare("web")
    operator.declare("api", suspend="hands off")
    with operator.run():
        operator.until_phase(web="Running", api="Held")
        container = operator.container("web")
        before = started_at(operator, container)
        told = operator.reconciler("restart", "web", "api", code=1).stdout
        assert "api: restart, Suspended: hands off" in told
        assert "web: restart, as somebody asked" in told
        operator.until(lambda: started_at(operator, container) > before)
        operator.until_phase(web="Running")
        assert operator.container("web") == container
        assert operator.status("web")["restarts"] == 0
        assert "no sandbox wbe is known" in operator.reconciler("restart", "wbe", code=1).stderr
    caused = [one for one in operator.journal() if one["cause"] == "RestartAsked"]
    assert [one["verdict"] for one in caused] == ["RESTART", "START", "START", "START"]
    assert [one["action"].partition(" ")[0] for one in caused] == ["", "stop", "verify", "start"]


def test_a_restart_is_done_once_though_the_controller_is_killed_meanwhile(operator: Operator) -> None:
    """The next one goes on from what is there."""
    operator.declare("web", command=STUBBORN, stop_grace_period="3s")
    with operator.run() as controller:
        operator.until_phase(web="Running")
        container = operator.container("web")
        before = started_at(operator, container)
        operator.reconciler("restart", "web", code=0)
        controller.kill()
        controller.wait()
        controller.returncode = 0
    with operator.run():
        operator.until(lambda: started_at(operator, container) > before)
        operator.until_phase(web="Running")
        after = started_at(operator, container)
    operator.reconciler("apply", code=0)
    assert started_at(operator, container) == after


def test_a_retry_tries_now_what_rests(operator: Operator) -> None:
    """Where nothing has failed, it is refused."""
    operator.declare("web", image=MISSING)
    operator.declare("api")
    operator.decree(images=["localhost:1/*", "docker.io/**"])
    with operator.run():
        operator.until_phase(api="Running")
        operator.until(lambda: operator.status("web")["failures"] == 4)
        assert "web: retry, as somebody asked" in operator.reconciler("retry", "web", code=0).stdout
        operator.until(lambda: operator.status("web")["failures"] == 1)
        assert "Nothing has failed" in operator.reconciler("retry", "api", code=1).stdout


def test_what_is_taken_down_stays_down(operator: Operator) -> None:
    """Over another controller and another version of its file, until it is asked for."""
    operator.declare("web")
    operator.declare("api")
    with operator.run():
        operator.until_phase(web="Running", api="Running")
        port = operator.status("web")["ports"]
        operator.reconciler("down", "web", "--yes", code=0)
        operator.until_reason(web="TakenDown")
        operator.until(lambda: len(operator.containers()) == 1)
    assert operator.reconciler("status", "web", code=1).stdout.count("`reconciler restart NAME`") > 0
    operator.declare("web", mem_limit="64m")
    operator.reconciler("apply", code=1)
    assert len(operator.containers()) == 1
    told = operator.reconciler("restart", "web", code=0).stdout
    assert told == "no controller runs; the next `reconciler apply` or `reconciler run` does it\n"
    operator.reconciler("apply", code=0)
    assert operator.status("web")["ports"] == port
    assert operator.inspect("web")["HostConfig"]["Memory"] == 64 << 20


def test_down_asks_before(operator: Operator) -> None:
    """Without a name it is for all, and what is deleted then and declared again runs."""
    operator.declare("web")
    operator.declare("api")
    operator.reconciler("apply", code=0)

    def answer(said: str) -> int:
        done = subprocess.run(operator.command("down"), input=said, capture_output=True, text=True, check=False)
        assert "stop and remove api, web? [y/N]" in done.stdout
        return done.returncode

    assert answer("n\n") == 130
    operator.reconciler("apply", code=0)
    assert len(operator.containers()) == 2
    assert answer("y\n") == 0
    operator.reconciler("apply", code=1)
    assert operator.containers() == []
    operator.remove("web")
    operator.reconciler("apply", code=1)
    operator.declare("web")
    operator.reconciler("apply", code=1)
    assert operator.phases() == {"api": "Stopped", "web": "Running"}
