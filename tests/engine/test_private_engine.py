"""The tests' own engine: that it leaves nothing behind, and that `make run` uses the engine that is there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.busybox_image import make_image
from tests.conftest import IMAGE
from tests.engine.stranger import Stranger
from tests.private_engine import PrivateEngine
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]


def traces(engine: PrivateEngine) -> Iterator[str]:
    """What is left of the engine on this machine, outside of its own network."""
    base = str(engine.data.parent)
    name = engine.data.parent.name
    for command_line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if base in command_line.read_text(errors="replace"):
                yield str(command_line)
        except OSError:
            continue
    yield from (line for line in Path("/proc/self/mountinfo").read_text().splitlines() if base in line)
    places = [engine.data.parent, Path("/run/netns") / name, Path("/sys/fs/cgroup") / name]
    yield from (str(path) for path in [*places, *Path("/sys/fs/cgroup").glob(f"*/{name}")] if path.exists())


@pytest.mark.parametrize("crashed", [False, True], ids=["ended", "crashed"])
def test_nothing_is_left_behind(private_engine: PrivateEngine, *, crashed: bool) -> None:
    """Of an engine with a container that runs, erased with or without a crash, nothing is left."""
    assert list(traces(private_engine))
    engine = PrivateEngine.for_tests()
    engine.start()
    make_image(engine.host, IMAGE)
    Stranger(engine.host).run_foreign("web", IMAGE, HostConfig={"Init": True})
    if crashed:
        engine.kill()
    engine.erase()
    assert list(traces(engine)) == []


def test_it_comes_back_after_a_crash() -> None:
    """After a crash it starts again with its images, and a published port answers from inside its network."""
    engine = PrivateEngine.for_tests()
    try:
        engine.start()
        make_image(engine.host, IMAGE)
        engine.kill()
        engine.start()
        published = {"Init": True, "PortBindings": {"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40000"}]}}
        Stranger(engine.host).run_foreign("web", IMAGE, ExposedPorts={"3000/tcp": {}}, HostConfig=published)
        eventually(lambda: page(engine) == "it works\n")
    finally:
        engine.erase()


def page(engine: PrivateEngine) -> str:
    try:
        return engine.get(40000)
    except ConnectionError:
        return ""


def run_with_engine(host: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.run_with_engine", *command],
        cwd=ROOT,
        env={**os.environ, "RECONCILER_HOST": host},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_run_uses_the_engine_that_is_there(private_engine: PrivateEngine) -> None:
    """The command is told which engine, its exit code is passed on, and the engine is not ended with it."""
    done = run_with_engine(private_engine.host, "sh", "-c", "echo $RECONCILER_HOST; exit 7")
    assert done.returncode == 7
    assert done.stdout == f"{private_engine.host}\n"
    assert f"using the one that answers at {private_engine.host}" in done.stderr
    assert done.stderr.endswith("engine: no sandbox runs on\n")
    assert Path(private_engine.host.removeprefix("unix://")).exists()


def test_run_leaves_images_alone(private_engine: PrivateEngine) -> None:
    """An image that is there is neither pulled nor made."""
    Stranger(private_engine.host).add_image("docker.io/library/busybox:1.36")
    assert "pulling" not in run_with_engine(private_engine.host, "true").stderr


def test_run_insists_on_the_engine_that_was_named(tmp_path: Path) -> None:
    """Where somebody named an engine and none answers there, no other is used or started."""
    done = run_with_engine(f"unix://{tmp_path}/none.sock", "true")
    assert done.returncode == 1
    assert "no engine answers at" in done.stderr
