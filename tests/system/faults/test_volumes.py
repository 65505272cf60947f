"""Volumes whose sources others can change, between the judgement and the mount."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.conftest import Operator
from tests.system.faults.proxy import Exchange, Fault, Proxy, passed_on


def volume(source: Path, target: str = "/data", *, read_only: bool = True) -> dict[str, object]:
    return {"type": "bind", "source": str(source), "target": target, "read_only": read_only}


@pytest.fixture
def root(operator: Operator) -> Path:
    """A root of the policy, writable."""
    root = operator.root / "root"
    root.mkdir()
    operator.decree(volumes=[{"root": str(root), "read_only": False}])
    return root


def exchanged(source: Path, other: Path) -> Fault:
    """Somebody wins the race: the source is a link to somewhere else when the engine mounts it, and never again."""

    def fault(exchange: Exchange) -> None:
        source.rename(source.with_name("judged"))
        source.symlink_to(other)
        passed_on(exchange)
        source.unlink()
        source.with_name("judged").rename(source)

    return fault


@pytest.mark.parametrize("again", [False, True], ids=["a new container", "a restart"])
def test_a_source_that_was_exchanged_is_not_read_for_long(
    operator: Operator, proxy: Proxy, root: Path, *, again: bool
) -> None:
    """What has another directory in it is stopped at once, and that is told; it starts again after its rest."""
    source, secret = root / "data", operator.root / "secret"
    source.mkdir()
    secret.mkdir()
    operator.declare("web", volumes=[volume(source)])
    if again:
        operator.reconciler("apply", code=0)
        operator.api("POST", f"/containers/{operator.container('web')}/kill")
    proxy.on("POST /containers/ID/start", exchanged(source, secret))
    with operator.run():
        operator.until(lambda: (operator.status("web").get("failure") or {}).get("reason") == "MountMismatch")
        failure = operator.status("web")["failure"]
        assert f"something else: not {source} at /data" in failure["message"]
        operator.until_phase(web="Running")
    told = [(entry["action"].partition(" ")[0], entry["result"]) for entry in operator.journal()]
    first = told.index(("verify", "MountMismatch"))
    assert told[first - 1 : first + 2] == [("start", "ok"), ("verify", "MountMismatch"), ("stop", "ok")]
    assert ("start", "ok") in told[first + 2 :]
    (mount,) = operator.inspect("web")["Mounts"]
    assert (mount["Source"], operator.status("web")["attested"]["ok"]) == (str(source), True)


def test_a_source_that_was_exchanged_unseen_is_found_by_the_next_look(
    operator: Operator, proxy: Proxy, root: Path
) -> None:
    """Also when the controller was not told that its start had happened: what runs is looked at in the kernel."""
    source, secret = root / "data", operator.root / "secret"
    source.mkdir()
    secret.mkdir()
    (secret / "key").write_text("secret")

    def unanswered(exchange: Exchange) -> None:
        list(exchange.forward())

    def fault(exchange: Exchange) -> None:
        source.rename(source.with_name("judged"))
        source.symlink_to(secret)
        unanswered(exchange)
        source.unlink()
        source.with_name("judged").rename(source)

    operator.declare("web", volumes=[volume(source)])
    proxy.on("POST /containers/ID/start", fault)
    with operator.run():
        operator.until(lambda: any(entry["cause"] == "Drifted" for entry in operator.journal()))
        operator.until_phase(web="Running")
        assert "secret" not in operator.inside("web", "cat /data/key")


@contextmanager
def mounted(*arguments: object) -> Iterator[None]:
    target = str(arguments[-1])
    subprocess.run(["mount", *map(str, arguments)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", target], check=True)


def test_whatever_carries_a_source_it_is_found_again(operator: Operator, root: Path) -> None:
    """A directory, a file, a file system of its own, one that is mounted twice, odd names: none is mistaken."""
    if operator.engine.program.root:
        pytest.skip("what a test mounts is not seen where the engine has mounts of its own")
    plain, odd, memory, bound = (root / name for name in ("plain", "odd \\ name\tä", "memory", "bound"))
    for directory in (plain, odd, memory, bound):
        directory.mkdir()
    (plain / "file").write_text("")
    elsewhere = operator.root / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    with mounted("-t", "tmpfs", "tmpfs", memory), mounted("--bind", elsewhere, bound):
        (memory / "inside").mkdir()
        sources = (plain, plain / "file", odd, memory, memory / "inside", bound, bound / "deep")
        operator.declare("web", volumes=[volume(source, f"/data/{number}") for number, source in enumerate(sources)])
        operator.reconciler("apply", code=0)
        operator.reconciler("plan", code=0)
        operator.api("POST", f"/containers/{operator.container('web')}/stop", {"t": 0})
        operator.reconciler("apply", code=0)
    assert operator.status("web")["attested"]["ok"]


def test_a_target_behind_a_link_of_the_image_is_found_again(operator: Operator, root: Path) -> None:
    """The kernel names the place that the link leads to."""
    maker = operator.foreign(f"maker-{operator.instance}", Cmd=["sh", "-c", "ln -s /www /link; exec sleep 1000"])
    operator.until(lambda: "/link" in str(operator.api("GET", f"/containers/{maker}/changes")))
    operator.api("POST", "/commit", {"container": maker, "repo": "sandbox", "tag": "link"}, {})
    (root / "page").write_text("behind it")
    operator.declare("web", image="sandbox:link", command=["sleep", "1000"], volumes=[volume(root, "/link")])
    operator.reconciler("apply", code=0)
    assert "behind it" in operator.inside("web", "cat /www/page")
    assert operator.status("web")["attested"]["ok"]
