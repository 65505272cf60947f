"""The files that hold what sandboxes have said."""

from itertools import count
from pathlib import Path

import pytest

from reconciler.model.output import Output
from reconciler.report.sandbox_log import KEPT, LogReader, Position, SandboxLog, joined

ONE, TWO = "1" * 64, "2" * 64


def at(second: int) -> bytes:
    return b"2026-11-23T16:17:%02d.540083684Z" % second


def output(second: int, text: bytes, stream: bytes = b"stdout") -> Output:
    return Output(at(second), stream, text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


def texts(path: Path) -> list[bytes]:
    with LogReader(path) as reader:
        return [line.text for line in reader.more()]


def test_lines_have_time_container_and_stream(path: Path) -> None:
    """Whoever opens the file sees when it was said, by which container, and where."""
    SandboxLog(path).append(ONE, [output(1, b"hello\n"), output(2, b"oh\n", b"stderr")])
    assert path.read_bytes() == b"%b 111111111111 stdout F hello\n%b 111111111111 stderr F oh\n" % (at(1), at(2))


def test_the_position_outlives_the_process(path: Path) -> None:
    """Another controller knows how far each container was read, from the file alone."""
    log = SandboxLog(path)
    log.append(ONE, [output(1, b"a\n"), output(2, b"b\n"), output(2, b"c\n")])
    log.append(TWO, [output(3, b"d\n")])
    for known in (log, SandboxLog(path)):
        assert known.position(ONE) == Position(at(2), 2)
        assert known.position(TWO) == Position(at(3), 1)
        assert known.position("3" * 64) == Position()


def test_no_sandbox_can_forge_a_position(path: Path) -> None:
    """What looks like a line of another container within a line is not believed."""
    forged = b"%b 222222222222 stdout F x" % at(59)
    SandboxLog(path).append(ONE, [output(1, forged + b"\r" + forged + b"\n")])
    assert SandboxLog(path).position(TWO) == Position()
    assert SandboxLog(path).position(ONE) == Position(at(1), 1)


def test_a_line_that_a_crash_has_cut_is_dropped_and_read_again(path: Path) -> None:
    """Half a line at the end counts as not written."""
    SandboxLog(path).append(ONE, [output(1, b"whole\n"), output(2, b"cut\n")])
    path.write_bytes(path.read_bytes()[:-3])
    log = SandboxLog(path)
    log.append(ONE, [output(2, b"cut\n")])
    assert texts(path) == [b"whole", b"cut"]


def test_it_is_bounded_and_loses_no_line_before_its_time(path: Path) -> None:
    """Full files make room, the oldest first; what is kept is in order and without a gap."""
    log = SandboxLog(path, bytes_max=1000)
    for number in range(200):
        log.append(ONE, [output(number % 60, b"%d\n" % number)])
    kept = [int(text) for text in texts(path)]
    assert kept == list(range(kept[0], 200))
    assert kept[0] > 0
    assert len(list(path.parent.iterdir())) == KEPT + 1
    assert all(file.stat().st_size <= 1000 for file in path.parent.iterdir())


def test_a_reader_goes_on_over_a_rotation(path: Path) -> None:
    """Who reads while the files are rotated misses nothing and reads nothing twice."""
    log = SandboxLog(path, bytes_max=300)
    numbers = count()
    log.append(ONE, [output(0, b"%d\n" % next(numbers))])
    read: list[int] = []
    with LogReader(path) as reader:
        for _ in range(20):
            read += [int(line.text) for line in reader.more()]
            for _ in range(3):
                log.append(ONE, [output(0, b"%d\n" % next(numbers))])
        read += [int(line.text) for line in reader.more()]
    assert read == list(range(61))


def test_a_line_that_is_being_written_is_read_when_it_is_whole(path: Path) -> None:
    """A reader that comes in the middle of a write waits for the rest."""
    SandboxLog(path).append(ONE, [output(1, b"whole\n")])
    line = path.read_bytes()
    path.write_bytes(line[:-3])
    with LogReader(path) as reader:
        assert list(reader.more()) == []
        path.write_bytes(line)
        assert [found.text for found in reader.more()] == [b"whole"]


def test_pieces_become_a_line_again(path: Path) -> None:
    """Pieces of a line of one stream belong together, whatever the other stream says in between."""
    pieces = [output(1, b"one "), output(1, b"err\n", b"stderr"), output(1, b"line\n"), output(2, b"no end")]
    SandboxLog(path).append(ONE, pieces)
    with LogReader(path) as reader:
        assert list(joined(reader.more())) == [b"err", b"one line", b"no end"]


def test_the_last_words_are_those_of_one_container(path: Path) -> None:
    """The last lines of a container are not mixed with those of another one."""
    log = SandboxLog(path)
    log.append(ONE, [output(number, b"%d\n" % number) for number in range(10)])
    log.append(TWO, [output(11, b"other\n")])
    log.append(ONE, [output(12, b"10 %\r20 %\r\n")])
    assert log.last_output(ONE, 3) == (b"8", b"9", b"10 %\r20 %\r")
    assert log.last_output("3" * 64, 3) == ()


def test_a_log_that_is_deleted_begins_anew(path: Path) -> None:
    """An operator may delete the file while it is written."""
    log = SandboxLog(path)
    log.append(ONE, [output(1, b"a\n")])
    path.unlink()
    log.append(ONE, [output(2, b"b\n")])
    assert texts(path) == [b"b"]
