"""The watched directory: every way in which a file can be there, not be there, or be something else."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.model.desired import Declaration, Desired
from reconciler.model.errors import DirectoryUnreadable, Problem
from reconciler.sources.directory import Directory, read_file
from reconciler.sources.root import LISTED_MAX, Root
from reconciler.spec.mistake import Mistake

GOOD = "image: busybox\n"
NOBODY = 65534
Make = Callable[[Path], object]


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "sandboxes.d"
    directory.mkdir()
    return directory


def scan(directory: Path) -> Desired:
    return Directory(directory).scan()


def notes(directory: Path) -> list[str]:
    return [f"{note.file}: {note.message}" for note in scan(directory).notes]


def message_of(desired: Desired, name: str) -> str:
    (problem,) = desired.broken[name]
    return f"{problem.file}: {problem.message}"


def test_files_become_declarations(watched: Path) -> None:
    """Each *.yaml and *.yml is the sandbox of its name, with the lines of its keys."""
    (watched / "b.yml").write_text("# two\nimage: b:1\nuser: 2000:2000\n")
    (watched / "a-1.yaml").write_text("image: a:1\n")
    desired = scan(watched)
    assert list(desired.declared) == ["a-1", "b"]
    assert desired.declared["b"].file == "b.yml"
    assert desired.declared["b"].lines == {"image": 2, "user": 3}
    assert desired.declared["a-1"].sandbox.image == "a:1"
    assert desired.complete
    assert (desired.broken, desired.invalid_names) == ({}, {})


def test_identity(watched: Path) -> None:
    """A scan says which directory it read, and an empty one is read, too."""
    found = watched.stat()
    assert scan(watched) == Desired((found.st_dev, found.st_ino))


@pytest.mark.parametrize(
    "name",
    [
        ".a.yaml",
        ".yaml",
        ".#a.yaml",
        "#a.yaml#",
        "a.yaml~",
        ".a.yaml.swp",
        "a.yaml.bak",
        "a.yaml.tmp",
        "README.md",
        "yaml",
    ],
)
def test_other_files_are_ignored(name: str, watched: Path) -> None:
    """Hidden files, what editors leave behind, and files of other kinds declare nothing, and are no problem."""
    (watched / name).write_text("not: a: sandbox")
    assert scan(watched).empty


def test_other_directories_are_ignored(watched: Path) -> None:
    """Only the directory itself is read, not what is in it."""
    (watched / "more").mkdir()
    (watched / "more" / "a.yaml").write_text(GOOD)
    assert scan(watched).empty


def test_other_directories_are_noted(watched: Path) -> None:
    """They are named, with what somebody may mean in them; what they are is no mistake, and stops nothing."""
    assert notes(watched) == []
    for name in ("empty", "more", ".hidden", "..data"):
        (watched / name).mkdir()
    for name in ("c.yaml", "b.yml", "a.yaml", "d.YAML", "e.yaml", ".x.yaml", "README.md"):
        (watched / "more" / name).write_text("image: [")
    (watched / "link").symlink_to("more")
    (watched / "loop").symlink_to("loop")
    (watched / "README.md").touch()
    assert notes(watched) == [
        "empty: is a directory, which is ignored",
        "link: is a directory, which is ignored",
        "more: is a directory, which is ignored, with a.yaml and b.yml and c.yaml and 2 more in it",
    ]
    assert not scan(watched).problems_of("a")


def test_a_large_directory_is_not_read_to_its_end(watched: Path) -> None:
    """What is passed over costs little."""
    (watched / "more").mkdir()
    for number in range(LISTED_MAX + 10):
        (watched / "more" / f"{number}.yaml").touch()
    with Root(watched) as root:
        assert len(root.names_in("more") or ()) == LISTED_MAX


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Cafe.yaml", "rename it to cafe.yaml"),
        ("my_sandbox.yml", "rename it to my-sandbox.yaml"),
        ("a.b.yaml", "rename it to a-b.yaml"),
        ("a b.yaml", "rename it to a-b.yaml"),
        ("a.YAML", "rename it to a.yaml"),
        ("1.yaml", "name it such as my-sandbox.yaml"),
        ("-.yaml", "name it such as my-sandbox.yaml"),
        ("a" * 42 + ".yaml", f"rename it to {'a' * 41}.yaml"),
    ],
)
def test_bad_names_are_strays(name: str, hint: str, watched: Path) -> None:
    """A file whose name is no sandbox's name is told, with a better name."""
    (watched / name).write_text(GOOD)
    desired = scan(watched)
    (invalid_name,) = desired.ignored
    assert (invalid_name.file, invalid_name.hint) == (name, hint)
    assert (desired.declared, desired.broken) == ({}, {})


@pytest.mark.parametrize(
    "file",
    [
        *("My-App.yaml", "my_app.yaml", "MyApp.yml", "my app.yaml", "my-app.YAML", "MY.APP.Yml"),
        *("my-app.yaml.yaml", "my-app.bak.yaml", "My-App.2.yaml", "my-app copy.yaml", "my-app (1).yaml"),
        *("my-app(1).yaml", "my-app\u00a0- Kopie.yaml"),
    ],
)
def test_a_stray_that_may_be_meant(file: str, watched: Path) -> None:
    """A file that only its name keeps from being a sandbox's is what is wrong with that sandbox, and its file."""
    (watched / file).write_text(GOOD)
    desired = scan(watched)
    assert [problem.file for problem in desired.problems_of("my-app")] == [file]
    assert desired.file_of("my-app") == file
    assert [problem.file for problem in desired.ignored] == [file]
    for other in ("app", "copy", "yaml"):
        assert (desired.problems_of(other), desired.file_of(other)) == ((), "")


def test_a_stray_is_not_meant_as_a_sandbox_with_a_file(watched: Path) -> None:
    """Whatever is beside it, a good file is good, and a broken one is broken for its own reasons."""
    (watched / "my-app.yaml").write_text(GOOD)
    (watched / "my_app.yaml").write_text(GOOD)
    desired = scan(watched)
    assert (desired.problems_of("my-app"), desired.file_of("my-app")) == ((), "my-app.yaml")
    (watched / "my-app.yaml").write_text("image: [")
    assert {problem.file for problem in scan(watched).problems_of("my-app")} == {"my-app.yaml"}


def test_file_name_that_is_not_utf8(watched: Path) -> None:
    """A file name of any bytes ends no scan, and is shown escaped."""
    for name in (b"\xff.yaml", b"\x1b[2J.yaml", b"a\n.yaml"):
        Path(os.fsdecode(os.fsencode(watched) + b"/" + name)).write_text(GOOD)
    (watched / "good.yaml").write_text(GOOD)
    desired = scan(watched)
    assert [invalid_name.file for invalid_name in desired.ignored] == ["\\x1b[2J.yaml", "\\xff.yaml", "a\\n.yaml"]
    assert list(desired.declared) == ["good"]


@pytest.mark.parametrize(
    "names", [("a.yaml", "a.yml"), ("a.yaml", "A.yaml"), ("a.yaml", "a.YAML"), ("A.yaml", "a.yml")]
)
def test_two_files_for_one_name(names: tuple[str, str], watched: Path) -> None:
    """Files that are the same sandbox, or would be on another file system, are all broken, each naming the other."""
    for name in names:
        (watched / name).write_text(GOOD)
    desired = scan(watched)
    assert desired.declared == {}
    assert desired.invalid_names == {}
    assert {problem.file for problem in desired.broken["a"]} == set(names)
    assert all(set(names) - {problem.file} <= set(problem.message.split()) for problem in desired.broken["a"])


PORT = "image: x\nports: [3000, {target: 80, published: 18080}]\n"


def test_two_files_for_one_port(watched: Path) -> None:
    """Files that publish the same port of the host are all broken at that place; others are not."""
    for name in ("a", "b", "c", "d", "e"):
        (watched / f"{name}.yaml").write_text(PORT)
    (watched / "other.yaml").write_text(PORT.replace("18080", "18081"))
    (watched / "free.yaml").write_text("image: x\nports: [18080]\n")
    desired = scan(watched)
    assert list(desired.declared) == ["free", "other"]
    (problem,) = desired.broken["b"]
    assert (problem.line, problem.column) == (2, 39)
    assert problem.message == ("port 18080 of the host is also published by a.yaml and c.yaml and d.yaml and 1 more")


def test_a_stopped_sandbox_leaves_its_port_to_another(watched: Path) -> None:
    """Two take turns by their `state`; only those that are meant to run at the same time are wrong."""
    (watched / "a.yaml").write_text(PORT)
    (watched / "b.yaml").write_text(PORT + "state: stopped\n")
    directory = Directory(watched)
    assert list(directory.scan().declared) == ["a", "b"]
    (watched / "b.yaml").write_text(PORT)
    assert list(directory.scan().broken) == ["a", "b"]
    (watched / "a.yaml").write_text(PORT + "state: stopped\n")
    assert list(directory.scan().declared) == ["a", "b"]


def test_two_names_that_fold_into_one(watched: Path) -> None:
    """Names are compared as a file system without case would, not letter by letter."""
    (watched / "\u212a.yaml").write_text(GOOD)  # the sign for Kelvin
    (watched / "k.yaml").write_text(GOOD)
    assert len(scan(watched).broken["k"]) == 2


def test_broken_file(watched: Path) -> None:
    """A file that cannot be understood is broken under its name, with all its problems, and harms no other."""
    (watched / "a.yaml").write_text("imgae: x\ncpus: 0\n")
    (watched / "b.yaml").write_text(GOOD)
    desired = scan(watched)
    assert [(problem.file, problem.line) for problem in desired.broken["a"]] == [("a.yaml", 1), ("a.yaml", 2)]
    assert desired.file_of("a") == "a.yaml"
    assert list(desired.declared) == ["b"]


def make_directory(path: Path) -> None:
    path.mkdir()


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(path.name)
    finally:
        os.chdir(here)


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere.yaml")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_link_outside(path: Path) -> None:
    outside = path.parent.parent / "outside.yaml"
    outside.write_text(GOOD)
    path.symlink_to(outside)


def make_link_to_directory(path: Path) -> None:
    path.symlink_to(".")


def make_sparse_gigabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_directory, "is not a regular file"),
        (make_fifo, "is not a regular file"),
        (make_socket, "cannot be read: No such device or address"),
        (make_dangling_link, "is a dangling link"),
        (make_loop, "cannot be read: Too many levels of symbolic links"),
        (make_link_outside, "is a link that leads out of the directory"),
        (make_link_to_directory, "is not a regular file"),
        (make_sparse_gigabyte, "the file is too large"),
    ],
)
def test_what_is_no_file_is_broken(make: Make, message: str, watched: Path) -> None:
    """Whatever stands there under the name of a sandbox is broken, never absent, and stops nothing."""
    make(watched / "a.yaml")
    assert message_of(scan(watched), "a") == f"a.yaml: {message}"


def test_forbidden_file_is_broken() -> None:
    """A file that may not be read is broken, never absent; root, who may read everything, steps down for it."""
    with TemporaryDirectory(dir="/tmp") as directory:
        watched = Path(directory)
        watched.chmod(0o755)
        (watched / "a.yaml").write_text(GOOD)
        (watched / "a.yaml").chmod(0)
        before = os.geteuid()
        try:
            os.seteuid(before or NOBODY)
            assert message_of(scan(watched), "a") == "a.yaml: cannot be read: Permission denied"
        finally:
            os.seteuid(before)


def test_file_that_nobody_can_read() -> None:
    """A file that gives an I/O error is broken, never absent; a process's memory does so, also for root."""
    with Root(Path("/proc/self")) as root, pytest.raises(Mistake, match="cannot be read: Input/output error"):
        root.read("mem")


def test_link_within(watched: Path) -> None:
    """Links are followed within the directory, also through links: so ConfigMaps and git-sync publish."""
    (watched / "..2024").mkdir()
    (watched / "..2024" / "a.yaml").write_text("image: first\n")
    (watched / "..data").symlink_to("..2024")
    (watched / "a.yaml").symlink_to("..data/a.yaml")
    directory = Directory(watched)
    assert directory.scan().declared["a"].sandbox.image == "first"
    (watched / "..2025").mkdir()
    (watched / "..2025" / "a.yaml").write_text("image: second\n")
    (watched / "new").symlink_to("..2025")
    (watched / "new").rename(watched / "..data")
    assert directory.scan().declared["a"].sandbox.image == "second"


def test_link_through_outside(watched: Path) -> None:
    """A link that leads through another one to somewhere else is broken."""
    outside = watched.parent / "outside"
    outside.mkdir()
    (outside / "a.yaml").write_text(GOOD)
    (watched / "inner").symlink_to(outside)
    (watched / "a.yaml").symlink_to("inner/a.yaml")
    assert message_of(scan(watched), "a") == "a.yaml: is a link that leads out of the directory"


def test_linked_directory(watched: Path) -> None:
    """The directory itself may be a link, and what it leads to is what counts, also after a swap."""
    link = watched.parent / "current"
    link.symlink_to(watched)
    (watched / "a.yaml").write_text(GOOD)
    other = watched.parent / "other"
    other.mkdir()
    directory = Directory(link)
    first = directory.scan()
    link.unlink()
    link.symlink_to(other)
    second = directory.scan()
    assert list(first.declared) == ["a"]
    assert second.empty
    assert first.directory != second.directory


@pytest.mark.parametrize("make", [lambda path: None, Path.touch, make_loop, make_dangling_link])  # noqa: ARG005
def test_directory_that_cannot_be_read(make: Make, tmp_path: Path) -> None:
    """A directory that is missing, a file, or a broken link is unknown, not empty; the error names it."""
    make(tmp_path / "sandboxes.d")
    with pytest.raises(DirectoryUnreadable, match=r"cannot open the directory .*sandboxes\.d"):
        scan(tmp_path / "sandboxes.d")


def test_directory_that_is_swapped_while_it_is_read(watched: Path) -> None:
    """What was read from a directory that has been replaced meanwhile does not count."""
    with Root(watched) as root:
        watched.rename(watched.parent / "old")
        with pytest.raises(DirectoryUnreadable, match="went away"):
            root.check_still_there()
        watched.mkdir()
        with pytest.raises(DirectoryUnreadable, match="was replaced while it was read"):
            root.check_still_there()


def test_root_reads_what_it_opened(watched: Path) -> None:
    """After a swap, files still come from the directory that was opened, never from the new one."""
    (watched / "a.yaml").write_text("image: old\n")
    with Root(watched) as root:
        watched.rename(watched.parent / "old")
        watched.mkdir()
        (watched / "a.yaml").write_text("image: new\n")
        assert root.read("a.yaml") == b"image: old\n"


def test_file_that_is_gone(watched: Path) -> None:
    """A file that vanished after it was listed is absent; a link to nothing is not."""
    make_dangling_link(watched / "link.yaml")
    with Root(watched) as root:
        assert root.read("gone.yaml") is None
        with pytest.raises(Mistake, match="is a dangling link"):
            root.read("link.yaml")


class SwappedRoot(Root):
    """A directory that is replaced by an empty one while its files are read."""

    def read(self, name: str) -> bytes | None:
        self._path.rename(self._path.parent / "old")
        self._path.mkdir()
        return super().read(name)


class ForgetfulRoot(Root):
    """A directory whose listing misses everything, as one may miss a file that is just being replaced."""

    def names(self, remembered: frozenset[str] = frozenset()) -> frozenset[str]:
        return frozenset(filter(self.has, remembered))


def test_scan_of_a_directory_that_is_swapped(watched: Path) -> None:
    """A scan during which the directory is replaced raises, and the next one reads the new directory."""
    (watched / "a.yaml").write_text(GOOD)
    directory = Directory(watched, SwappedRoot)
    with pytest.raises(DirectoryUnreadable, match="was replaced while it was read"):
        directory.scan()
    assert directory.scan().empty


def test_scan_remembers_what_a_listing_misses(watched: Path) -> None:
    """A file of the last scan is not absent because a listing misses it, only because it is gone."""
    (watched / "a.yaml").write_text(GOOD)
    (watched / "b.yaml").write_text("broken")
    kinds = iter((Root, ForgetfulRoot, ForgetfulRoot))

    def open_next(path: Path) -> Root:
        return next(kinds)(path)

    directory = Directory(watched, open_next)
    first = directory.scan()
    assert directory.scan() == first
    (watched / "a.yaml").unlink()
    last = directory.scan()
    assert (list(last.declared), list(last.broken)) == ([], ["b"])


def test_file_that_a_listing_misses(watched: Path) -> None:
    """A remembered file that a listing misses, since it is just being replaced, is found by its name."""
    (watched / "deeper").mkdir()
    (watched / "deeper" / "a.yaml").write_text(GOOD)
    missed = "deeper/a.yaml"  # stands for such a file: it is there, and no listing has it
    with Root(watched) as root:
        assert root.names() == {"deeper"}
        assert root.names(frozenset({missed, "gone.yaml"})) == {"deeper", missed}


def test_removed_file_is_absent(watched: Path) -> None:
    """A file that was removed is gone at the next scan, remembered or not."""
    (watched / "a.yaml").write_text(GOOD)
    (watched / "b.yaml").write_text("broken")
    directory = Directory(watched)
    assert not directory.scan().empty
    (watched / "a.yaml").unlink()
    (watched / "b.yaml").unlink()
    assert directory.scan().empty


def test_contents_count_not_times(watched: Path) -> None:
    """New contents of the same size with the same times are seen."""
    file = watched / "a.yaml"
    file.write_text("image: one\n")
    before = file.stat()
    directory = Directory(watched)
    assert directory.scan().declared["a"].sandbox.image == "one"
    file.write_text("image: two\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert directory.scan().declared["a"].sandbox.image == "two"


def test_unchanged_contents_are_not_parsed_again(watched: Path) -> None:
    """What came of a file is kept while its contents last, good or broken, and by no other name."""
    (watched / "a.yaml").write_text(GOOD)
    (watched / "b.yaml").write_text("imgae: x")
    directory = Directory(watched)
    first, second = directory.scan(), directory.scan()
    assert second == first
    assert second.declared["a"] is first.declared["a"]
    assert second.broken["b"] is first.broken["b"]
    (watched / "a.yaml").rename(watched / "c.yaml")
    assert directory.scan().declared["c"].name == "c"


def test_broken_and_mended(watched: Path) -> None:
    """A file is as good as its contents at the moment."""
    file = watched / "a.yaml"
    directory = Directory(watched)
    for text, good in [(GOOD, True), ("image: [", False), ("", False), (GOOD, True)]:
        file.write_text(text)
        desired = directory.scan()
        assert ("a" in desired.declared, "a" in desired.broken) == (good, not good)


def test_many_files(watched: Path) -> None:
    """Each file of a large directory is in exactly one of declared, broken and strays."""
    for number in range(300):
        (watched / f"good-{number}.yaml").write_text(GOOD)
        (watched / f"broken-{number}.yaml").write_text("image: 1")
        (watched / f"Stray_{number}.yaml").write_text(GOOD)
    desired = scan(watched)
    assert (len(desired.declared), len(desired.broken), len(desired.ignored)) == (300, 300, 300)


def test_named_file(watched: Path) -> None:
    """A file that is named on the command line is read by the same rules, and shown as it was named."""
    (watched / "a.yaml").write_text(GOOD)
    outcome = read_file(watched / "a.yaml")
    assert isinstance(outcome, Declaration)
    assert (outcome.name, outcome.file) == ("a", str(watched / "a.yaml"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.yaml", "does not exist"),
        ("link.yaml", "is a dangling link"),
        ("outside.yaml", "is a link that leads out of the directory"),
        ("A.yaml", "is not NAME.yaml with a name of small letters, digits and '-', a letter first, at most 41"),
        (".a.yaml", "is not NAME.yaml with a name of small letters, digits and '-', a letter first, at most 41"),
        ("a.json", "is not NAME.yaml with a name of small letters, digits and '-', a letter first, at most 41"),
        ("fifo.yaml", "is not a regular file"),
        ("gone/a.yaml", "cannot open the directory"),
        ("broken.yaml", "keys and values are missing"),
    ],
)
def test_named_file_that_is_broken(name: str, message: str, watched: Path) -> None:
    """A named file that declares nothing is a problem that names it, whatever the reason."""
    (watched / "A.yaml").write_text(GOOD)
    (watched / ".a.yaml").write_text(GOOD)
    (watched / "a.json").write_text("{}")
    (watched / "broken.yaml").write_text("broken")
    make_dangling_link(watched / "link.yaml")
    make_link_outside(watched / "outside.yaml")
    make_fifo(watched / "fifo.yaml")
    outcome = read_file(watched / name)
    assert isinstance(outcome, tuple)
    (problem,) = outcome
    assert isinstance(problem, Problem)
    assert problem.file == str(watched / name)
    assert problem.message.startswith(message)
