"""Faults of files: what lies in the watched directory, and what becomes of the directory itself."""

import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.errors import Problem
from tests.conftest import IMAGE
from tests.system.conftest import WITHOUT_CAPABILITIES, Operator, version

EVENTS_MAX = Path("/proc/sys/fs/inotify/max_queued_events")
"""So many changes are kept for a process that does not listen; the rest is lost."""

Make = Callable[[Path], object]


def flood(operator: Operator, changes: int) -> dict[str, str]:
    """Changes three files over and over; gives the last version of each."""
    last = {}
    for number in range(changes):
        name = "abc"[number % 3]
        last[name] = str(number)
        operator.declare(name, **version(last[name]))
    return last


# --- 12: many changes ----------------------------------------------------------------------------------------------


def test_fault_12_two_thousand_changes_of_three_files(operator: Operator) -> None:
    """A flood of edits ends with what the last ones say, one container for each sandbox."""
    with operator.run():
        last = flood(operator, 2_000)
        operator.until(lambda: operator.versions() == last and len(operator.containers()) == 3)
        operator.until_phase(a="Running", b="Running", c="Running")


@pytest.mark.slow
def test_fault_12_more_changes_than_the_kernel_keeps(operator: Operator) -> None:
    """When changes are lost, the last content is found all the same, and the next edit is heard."""
    with operator.run() as process:
        process.send_signal(signal.SIGSTOP)
        last = flood(operator, max(10_000, int(EVENTS_MAX.read_text())))
        process.send_signal(signal.SIGCONT)
        operator.until(lambda: operator.versions() == last)
        operator.declare("a", **version("after the flood"))
        operator.until(lambda: operator.versions() == {**last, "a": "after the flood"})
        operator.until(lambda: len(operator.containers()) == 3)


# --- 13: another directory -----------------------------------------------------------------------------------------


def fill(directory: Path, **sandboxes: dict[str, Any]) -> Path:
    directory.mkdir()
    for name, keys in sandboxes.items():
        (directory / f"{name}.yaml").write_text(json.dumps({"image": IMAGE, **keys}))
    return directory


def point(link: Path, target: Path) -> None:
    """As git-sync and Kubernetes publish: a link that is replaced by another one."""
    temporary = link.with_name(".link")
    temporary.symlink_to(target)
    temporary.replace(link)


def test_fault_13_a_directory_removed_and_made_anew(operator: Operator) -> None:
    """While it is gone nothing is removed; what the new one says is taken up, and so are edits there."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        container = operator.container("web")
        shutil.rmtree(operator.directory)
        operator.until(lambda: operator.controller()["scan_error"])
        assert operator.container("web") == container
        operator.directory.mkdir()
        operator.until(lambda: operator.status("web")["reason"] == "DirectoryReplaced")
        operator.declare("web")
        operator.until_phase(web="Running")
        assert operator.container("web") == container
        operator.declare("web", **version("2"))
        operator.until(lambda: operator.versions() == {"web": "2"})


def test_fault_13_a_directory_moved_away_and_replaced_by_another(operator: Operator) -> None:
    """What another directory with files in it says is believed; the one that was moved is listened to no more."""
    operator.declare("web")
    operator.declare("other")
    with operator.run():
        operator.until_phase(web="Running", other="Running")
        kept, old = operator.container("web"), operator.root / "old"
        operator.directory.rename(old)
        fill(operator.directory, web={}, new={})
        operator.until(lambda: operator.versions().keys() == {"web", "new"})
        (old / "old.yaml").write_text(json.dumps({"image": IMAGE}))
        operator.declare("new", **version("2"))
        operator.until(lambda: operator.versions() == {"web": "", "new": "2"})
        assert operator.container("web") == kept


def test_fault_13_a_directory_swapped_by_link(operator: Operator) -> None:
    """Each revision that git-sync publishes is taken up; an empty one removes nothing."""
    operator.directory.rmdir()
    revisions = operator.root / "revisions"
    revisions.mkdir()
    point(operator.directory, fill(revisions / "1", web={}, edited={}, removed={}))
    with operator.run():
        operator.until_phase(web="Running", edited="Running", removed="Running")
        container = operator.container("web")
        point(operator.directory, fill(revisions / "2", web={}, edited=version("2"), added={}))
        shutil.rmtree(revisions / "1")
        operator.until(lambda: operator.versions() == {"web": "", "edited": "2", "added": ""})
        point(operator.directory, fill(revisions / "3"))
        operator.until(lambda: operator.status("web")["reason"] == "DirectoryReplaced")
        assert operator.versions() == {"web": "", "edited": "2", "added": ""}
        point(operator.directory, fill(revisions / "4", web={}, edited=version("4"), added={}))
        operator.until(lambda: operator.versions() == {"web": "", "edited": "4", "added": ""})
        assert operator.container("web") == container


def published(operator: Operator, number: str) -> bool:
    return operator.versions() == {"web": "", "edited": number}


def test_fault_13_files_swapped_by_link(operator: Operator) -> None:
    """Each version that Kubernetes publishes through `..data` is taken up, and what it left alone runs on."""
    directory, data = operator.directory, operator.directory / "..data"
    point(data, fill(directory / "..1", web={}, edited={}))
    for file in ("web.yaml", "edited.yaml"):
        (directory / file).symlink_to(Path("..data") / file)
    with operator.run():
        operator.until_phase(web="Running", edited="Running")
        container = operator.container("web")
        for number in ("2", "3"):
            point(data, fill(directory / f"..{number}", web={}, edited=version(number)))
            shutil.rmtree(directory / f"..{int(number) - 1}")
            operator.until(partial(published, operator, number))
        assert operator.container("web") == container


@contextmanager
def mounted(volume: Path, directory: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", volume, directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def test_fault_13_a_directory_unmounted(operator: Operator) -> None:
    """The empty directory beneath a mount removes nothing; mounted again, it is the same as before."""
    volume = fill(operator.root / "volume", web={})
    with operator.run():
        with mounted(volume, operator.directory):
            operator.until_phase(web="Running")
            container = operator.container("web")
        operator.until(lambda: operator.status("web")["reason"] == "DirectoryReplaced")
        assert operator.container("web") == container
        with mounted(volume, operator.directory):
            operator.until_phase(web="Running")
            assert operator.container("web") == container
            operator.declare("web", **version("2"))
            operator.until(lambda: operator.versions() == {"web": "2"})


# --- 14: what is no file that can be read --------------------------------------------------------------------------


def make_garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)))


def make_sparse_gigabyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_link_outside(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_endless_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o644, os.makedev(1, 5))


ODD: dict[str, tuple[Make, str]] = {
    "garbage": (make_garbage, "the file is not UTF-8"),
    "fifo": (os.mkfifo, "is not a regular file"),
    "sparse": (make_sparse_gigabyte, "the file is too large"),
    "dangling": (make_dangling_link, "is a dangling link"),
    "outside": (make_link_outside, "is a link that leads out of the directory"),
    "device": (make_endless_device, "is not a regular file"),
}
"""What can stand where a file stood, and what is said of it."""


def test_fault_14_files_that_turn_into_something_else(operator: Operator) -> None:
    """Each is an error of its own file, whose sandbox runs on; the neighbours converge."""
    operator.decree(sandboxes_max=len(ODD) + 1)
    for name in (*ODD, "web"):
        operator.declare(name)
    with operator.run():
        operator.until_phase(web="Running", **dict.fromkeys(ODD, "Running"))
        containers = {name: operator.container(name) for name in ODD}
        for name, (make, _) in ODD.items():
            make(operator.directory / ".odd")
            (operator.directory / ".odd").replace(operator.directory / f"{name}.yaml")
        (operator.directory / "directory.yaml").mkdir()
        (operator.directory / os.fsdecode(b"\xff.yaml")).write_text(f"image: {IMAGE}\n")
        operator.until_reason(directory="InvalidFile", **dict.fromkeys(ODD, "InvalidFile"))
        operator.declare("web", **version("2"))
        operator.until(lambda: operator.versions().get("web") == "2")
        assert {name: operator.container(name) for name in ODD} == containers
        said = {name: message for name, (_, message) in ODD.items()} | {
            "directory": "is not a regular file",
            "\\xff": "is not NAME.yaml",
        }
        operator.until(lambda: operator.controller()["broken"].keys() == {f"{name}.yaml" for name in said})
        broken = operator.controller()["broken"]
        for name, message in said.items():
            assert message in broken[f"{name}.yaml"][0]
        for name in ODD:
            operator.declare(name)
        operator.until_phase(**dict.fromkeys(ODD, "Running"))
        assert {name: operator.container(name) for name in ODD} == containers


def test_fault_14_a_file_that_may_not_be_read(operator: Operator) -> None:
    """It holds its sandbox, and only its own."""
    operator.declare("secret")
    operator.declare("web")
    operator.reconciler("apply", code=0)
    container = operator.container("secret")
    (operator.directory / "secret.yaml").chmod(0)
    operator.declare("web", **version("2"))
    operator.before = WITHOUT_CAPABILITIES
    operator.reconciler("apply", code=1)
    assert "cannot be read: Permission denied" in operator.controller()["broken"]["secret.yaml"][0]
    assert (operator.phase("secret"), operator.container("secret")) == ("Running", container)
    assert operator.versions() == {"secret": "", "web": "2"}


# --- 15: what harms who reads it -----------------------------------------------------------------------------------

BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(9 * [f'*{inner}'])}]\n" for inner, name in zip("abcdefgh", "bcdefghi", strict=True)
)

POISON = {
    "bomb": (BOMB, "bomb.yaml:4:12: the file has more than 1000 values"),
    "deep": (200_000 * "[", "deep.yaml: the file is too large"),
    "flow": (f"image: {30_000 * '['}", "flow.yaml:1:28: more than 20 levels"),
    "block": ("\n".join(depth * " " + "a:" for depth in range(200)), "block.yaml:22:22: more than 20 levels"),
    "digits": (f"image: {IMAGE}\ncpus: {5_000 * '1'}", "digits.yaml:2:7: cpus: "),
    "surrogate": (f'image: {IMAGE}\ncommand: ["\\ud800"]', "surrogate.yaml:2:11: the character U+D800 is not allowed"),
}
"""Texts that crash or stall those who read them without care, and what is said of them."""


def test_fault_15_poison_is_explained(operator: Operator) -> None:
    """`validate` tells for each file what is wrong, and where."""
    for name, (text, _) in POISON.items():
        operator.write(f"{name}.yaml", text)
    operator.declare("web")
    problems = json.loads(operator.reconciler("validate", "-o", "json", code=1).stdout)["problems"]
    told = [str(Problem(**problem)) for problem in problems]
    for _, message in POISON.values():
        assert any(f"/{message}" in problem for problem in told), message
    assert len(told) == len(POISON)


def test_fault_15_poison_harms_no_neighbour(operator: Operator) -> None:
    """A running controller tells what is wrong with each file, holds its sandbox, and goes on."""
    operator.declare("web")
    operator.declare("bomb")
    with operator.run():
        operator.until_phase(web="Running", bomb="Running")
        container = operator.container("bomb")
        for name, (text, _) in POISON.items():
            operator.write(f"{name}.yaml", text)
        operator.until_reason(**dict.fromkeys(POISON, "InvalidFile"))
        operator.declare("web", **version("2"))
        operator.until(lambda: operator.versions() == {"web": "2", "bomb": ""})
        assert operator.container("bomb") == container
        operator.until(lambda: operator.controller()["broken"].keys() == {f"{name}.yaml" for name in POISON})
        broken = operator.controller()["broken"]
        for name, (_, message) in POISON.items():
            assert broken[f"{name}.yaml"][0].startswith(message)
