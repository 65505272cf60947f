"""Volumes, until they are mounted: whoever writes below a root of the policy may swap what is there."""

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.control.volumes import Volumes
from reconciler.engine.host import EngineHost
from reconciler.model.container import BindMount
from reconciler.model.desired import Declaration
from reconciler.model.rendered import Rendered
from reconciler.model.world import Source
from reconciler.planning.admission import violations
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from tests.scene import Scene

LISTENING, CONNECTED = "00010000 0001 01", "00000000 0001 03"
"""Flags, type and state of a socket, as the kernel writes them."""


def rendered(source: Path) -> Rendered:
    """A container that mounts it; the rest does not matter."""
    one = Scene().rendered("web", 61000)
    return replace(one, spec=replace(one.spec, volumes=(BindMount(str(source), "/data", read_only=True),)))


def declaration(*sources: object) -> Declaration:
    volumes = [{"source": str(source), "target": f"/data/{number}"} for number, source in enumerate(sources)]
    return Declaration("web", "web.yaml", Sandbox.model_validate({"image": "app:1", "volumes": volumes}))


def host(
    tmp_path: Path, sockets: str = "", own: Mapping[Path, str] = {}, engine_socket: Path | None = None
) -> EngineHost:
    """With a `/proc/self/net/unix` that says this of sockets: what comes before the inode, and the path."""
    table = tmp_path / "proc" / "self" / "net" / "unix"
    table.parent.mkdir(parents=True)
    lines = re.sub("^(?=0)", "ffff8f1d3c3d6000: 00000002 00000000 ", sockets, flags=re.MULTILINE)
    table.write_text(f"Num       RefCount Protocol Flags    Type St Inode Path\n{lines}\n")
    return EngineHost(engine_socket, own, tmp_path / "proc")


def why_unfit(host: EngineHost, source: Path, engine_data: str = "") -> str | None:
    return Volumes(host).examined([declaration(source)], Policy(), engine_data)[str(source)].why_unfit


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "root" / "data"
    directory.mkdir(parents=True)
    return directory


@pytest.mark.parametrize(
    ("sockets", "refused"),
    [
        ("", False),
        (f"{LISTENING} 17 ROOT/data/docker.sock", True),
        (f"{LISTENING} 17 ROOT/data/deep below/with a space.sock", True),
        (f"{LISTENING} 17 ROOT/link/docker.sock", True),
        (f"{CONNECTED} 17 ROOT/data/docker.sock", False),
        (f"{LISTENING} 17 ROOT/docker.sock", False),
        (f"{LISTENING} 17 ROOT/data2/docker.sock", False),
        (f"{CONNECTED} 17 ROOT/other\n{LISTENING} 17 ROOT/data/docker.sock", True),
    ],
)
def test_what_holds_a_listening_socket_is_refused(tmp_path: Path, source: Path, sockets: str, refused: bool) -> None:
    """Whatever the address of the engine is: it, or a proxy before it, may be what listens there."""
    (source.parent / "link").symlink_to(source)
    told = why_unfit(host(tmp_path, sockets.replace("ROOT", str(source.parent))), source)
    assert (told and told.partition(" /")[0]) == ("holds the host's socket" if refused else None)


def test_a_real_socket_is_seen(source: Path) -> None:
    """In what this kernel says, too; one that only sends is no danger."""
    seen = EngineHost(None, {})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "docker.sock"))
        assert why_unfit(seen, source) is None
        listener.listen()
        assert why_unfit(seen, source) == f"holds the host's socket {source}/docker.sock"
    assert why_unfit(seen, source) is None


def test_a_table_that_is_nonsense_breaks_nothing(tmp_path: Path, source: Path) -> None:
    """A name may hold anything but NUL, and anybody on the host can listen under it."""
    nonsense = f"{LISTENING} 17 {tmp_path}/a\n0000: nonsense\n\n0\n{LISTENING} 17 @{source}\n{LISTENING} 17\n"
    assert why_unfit(host(tmp_path, nonsense), source) is None


@pytest.mark.parametrize("place", ["/run", "/var/run", "/proc", "/sys", "/dev", "/dev/shm", "/proc/self", "/"])
def test_the_systems_own_directories_are_refused(place: str) -> None:
    """They, what is in them, and what holds them."""
    told = why_unfit(EngineHost(None, {}), Path(place))
    assert str(told).startswith("holds the host's " if place == "/" else "belongs to the host's /")


@pytest.mark.parametrize("own", ["the watched directory", "the state directory", "the policy", "the engine's data"])
def test_what_rules_the_sandboxes_is_refused(tmp_path: Path, own: str) -> None:
    """Itself, what is in it and what holds it, also behind a link; a neighbour whose name begins alike is not."""
    place = tmp_path / "srv" / "place"
    for directory in (place / "inside", tmp_path / "srv" / "place2"):
        directory.mkdir(parents=True)
    (tmp_path / "link").symlink_to(place)
    (tmp_path / "srv" / "to it").symlink_to(place)
    engine_data, owned = (str(place), {}) if own == "the engine's data" else ("", {place: own})
    seen = host(tmp_path, own=owned)
    assert why_unfit(seen, place, engine_data) == f"belongs to {own}"
    assert why_unfit(seen, place / "inside", engine_data) == f"belongs to {own}"
    assert why_unfit(seen, tmp_path / "link", engine_data) == f"belongs to {own}"
    assert why_unfit(seen, tmp_path / "srv", engine_data) == f"holds {own}"
    assert why_unfit(seen, tmp_path / "srv" / "place2", engine_data) is None


def test_what_holds_a_link_to_what_rules_is_refused(tmp_path: Path, source: Path) -> None:
    """Who can exchange the link can exchange what it leads to."""
    (tmp_path / "sandboxes.d").mkdir()
    (source / "link").symlink_to(tmp_path / "sandboxes.d")
    assert (
        why_unfit(host(tmp_path, own={source / "link": "the watched directory"}), source)
        == "holds the watched directory"
    )


@pytest.mark.parametrize(
    ("mounted", "why"),
    [
        ("root", "lies in ROOT, where container stranger can exchange it"),
        ("link", "lies in ROOT, where container stranger can exchange it"),
        ("root/data", ""),
        ("root/data/inside", ""),
        ("root/dat", ""),
    ],
)
def test_what_lies_in_what_a_container_can_write_is_refused(
    tmp_path: Path, source: Path, mounted: str, why: str
) -> None:
    """Whose container it is does not matter; what is mounted itself cannot be exchanged from inside."""
    (tmp_path / "link").symlink_to(source.parent)
    writable = {str(tmp_path / mounted): "container stranger"}
    found = Volumes(host(tmp_path)).examined([declaration(source)], Policy(), "", lambda: writable)
    assert found[str(source)].why_unfit == (why.replace("ROOT", str(source.parent)) or None)


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("shared/inner", "mount ROOT/shared itself, or let container stranger mount it read-only"),
        ("shared", ""),
        ("gone", "mount an existing directory or file; allowed roots: ROOT"),
        ("own", "mount another directory or file"),
        ("own/inside", "mount another directory or file"),
        ("", "mount another directory or file"),
    ],
)
def test_the_hint_names_a_way_out(tmp_path: Path, place: str, hint: str) -> None:
    """What exists, and is refused for what others do there, is not mended by making it exist."""
    for directory in ("shared/inner", "own/inside"):
        (tmp_path / "root" / directory).mkdir(parents=True)
    root = tmp_path / "root"
    volumes = Volumes(host(tmp_path, own={root / "own": "the state directory"}))
    wanted, policy = declaration(root / place), Policy.model_validate({"volumes": [{"root": str(root)}]})
    writable = {str(root / "shared"): "container stranger"}
    sources = volumes.examined([wanted], policy, "", lambda: writable)
    told = [problem.hint for problem in violations(wanted, policy, sources)]
    assert told == ([] if place == "shared" else [hint.replace("ROOT", str(root))])


def test_a_link_tells_nothing_of_what_is_outside(tmp_path: Path, source: Path) -> None:
    """Whoever can make one inside a root of the policy does not learn by it whether something exists."""
    policy = Policy.model_validate({"volumes": [{"root": str(source)}]})
    outside = tmp_path / "outside"
    (source / "link").symlink_to(outside)
    wanted, volumes = declaration(source / "link"), Volumes(host(tmp_path))
    before = violations(wanted, policy, volumes.examined([wanted], policy))
    outside.mkdir()
    assert before
    assert violations(wanted, policy, volumes.examined([wanted], policy)) == before


@pytest.mark.parametrize(
    ("root_read_only", "above_read_only", "why"),
    [(False, False, "lies in ROOT, where sandbox above can exchange it"), (False, True, ""), (True, False, "")],
    ids=["it can write", "it does not ask to write", "it must not write, so it is never mounted"],
)
def test_what_lies_in_what_a_sandbox_will_write_is_refused(
    tmp_path: Path, source: Path, *, root_read_only: bool, above_read_only: bool, why: str
) -> None:
    """As soon as it is declared, whether it runs or not; nobody can hinder others by asking for what is refused."""
    policy = Policy.model_validate({"volumes": [{"root": str(tmp_path), "read_only": root_read_only}]})
    wish = {"source": str(source.parent), "target": "/data", "read_only": above_read_only}
    sandbox = Sandbox.model_validate({"image": "app:1", "volumes": [wish]})
    declarations = [declaration(source), Declaration("above", "above.yaml", sandbox)]
    found = Volumes(host(tmp_path)).examined(declarations, policy)
    assert found[str(source)].why_unfit == (why.replace("ROOT", str(source.parent)) or None)
    assert found[str(source.parent)].why_unfit is None


def test_without_volumes_nothing_is_read(tmp_path: Path) -> None:
    """Not even the roots of the policy make anybody read what listens."""
    nowhere = host(tmp_path)
    (tmp_path / "proc" / "self" / "net" / "unix").unlink()
    (tmp_path / "proc" / "self" / "net" / "unix").mkdir()
    policy = Policy.model_validate({"volumes": [{"root": "/srv"}]})

    def nobody_asks() -> Mapping[str, str]:
        raise AssertionError

    assert Volumes(nowhere).examined([declaration()], policy, "", nobody_asks) == {"/srv": Source("/srv")}
    with pytest.raises(IsADirectoryError):
        Volumes(nowhere).examined([declaration("/srv")], policy)


def looked_at(*sources: Path, engine_socket: Path | None = None) -> Volumes:
    volumes = Volumes(EngineHost(engine_socket, {}))
    volumes.examined([declaration(*sources)], Policy())
    return volumes


def test_what_is_still_what_was_judged_is_mounted(source: Path) -> None:
    """A directory, or a file."""
    (source / "file").write_text("")
    volumes = looked_at(source, source / "file")
    assert [volumes.why_changed(rendered(one)) for one in (source, source / "file")] == [None, None]


@pytest.mark.parametrize("swapped", ["the source", "its parent"])
def test_a_link_that_took_its_place_is_not(source: Path, tmp_path: Path, swapped: str) -> None:
    """Also when it is a directory above that was swapped."""
    volumes = looked_at(source)
    place = source if swapped == "the source" else source.parent
    place.rename(tmp_path / "judged")
    (tmp_path / "elsewhere" / "data").mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")
    assert volumes.why_changed(rendered(source)) == f"has become a link: volume {source}"


def test_a_directory_into_which_the_engines_socket_came_is_not(source: Path) -> None:
    """Whoever reaches it owns the host."""
    volumes = looked_at(source, engine_socket=source / "docker.sock")
    os.mkfifo(source / "docker.sock")
    assert "holds the engine's socket" in str(volumes.why_changed(rendered(source)))
    assert "neither a directory nor a file" in str(volumes.why_changed(rendered(source / "docker.sock")))


def test_what_is_gone_is_not(source: Path) -> None:
    """The engine would make a directory in its place."""
    volumes = looked_at(source)
    source.rmdir()
    assert "cannot be read" in str(volumes.why_changed(rendered(source)))
