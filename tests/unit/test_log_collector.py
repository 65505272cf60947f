"""What sandboxes say is written down once, in order, whatever fails meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from reconciler.control import log_collector
from reconciler.control.log_collector import LogCollector
from reconciler.control.messages import LogRateExceeded, Message, OutputEnded
from reconciler.model.errors import EngineUnavailable
from reconciler.model.output import Output
from reconciler.model.world import Observed, State
from reconciler.report.sandbox_log import LogReader, SandboxLog
from tests.scene import Scene
from tests.waiting import eventually

Step = Output | Exception | Callable[[], object]


def output(second: int, text: bytes) -> Output:
    return Output(b"2026-11-23T16:17:%02d.540083684Z" % second, b"stdout", text)


class Talker:
    """An engine that only passes on what containers say: from a script, of which a part may be to fail or to wait."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Step]] = {}
        self.asked: list[str] = []

    def output(self, container: str, since: bytes) -> Iterator[list[Output]]:
        self.asked.append(container)
        for number, step in enumerate(self.scripts[container]):
            if isinstance(step, Exception):
                del self.scripts[container][number]
                raise step
            if not isinstance(step, Output):
                step()
            elif step.at >= since:
                yield [step]


@pytest.fixture
def talker() -> Talker:
    return Talker()


@pytest.fixture
def follow(talker: Talker, tmp_path: Path) -> LogCollector:
    return LogCollector(talker, tmp_path)  # type: ignore[arg-type]


def container(talker: Talker, state: State, *script: Step, created_at: float = 0) -> Observed:
    scene = Scene()
    scene.containers += [None] * len(talker.scripts)  # type: ignore[list-item]
    found = scene.container("web", state, created_at=created_at)
    talker.scripts[found.id] = list(script)
    return found


def texts(directory: Path) -> list[bytes]:
    if not (directory / "web.log").exists():
        return []
    with LogReader(directory / "web.log") as reader:
        return [line.text for line in reader.more()]


def ignore(_: Message) -> None: ...


def test_a_stream_that_breaks_is_taken_up_where_it_broke(talker: Talker, follow: LogCollector, tmp_path: Path) -> None:
    """The engine goes away and comes back: no line is missing, and none is there twice."""
    pieces: list[Step] = [
        output(1, b"a\n"),
        output(2, b"b\n"),
        output(2, b"c "),
        EngineUnavailable("gone"),
        output(2, b"d\n"),
    ]
    web = container(talker, State.RUNNING, *pieces, output(3, b"e\n"))
    follow.follow([web], ignore)
    eventually(lambda: len(texts(tmp_path)) == 3)
    eventually(lambda: follow.follow([web], ignore) or len(texts(tmp_path)) == 5)
    assert texts(tmp_path) == [b"a", b"b", b"c ", b"d", b"e"]


def test_another_controller_goes_on_where_the_last_one_was_killed(talker: Talker, tmp_path: Path) -> None:
    """What is written by one controller is not written again by the next."""
    web = container(talker, State.RUNNING, output(1, b"a\n"), output(1, b"b\n"), output(2, b"c\n"))
    SandboxLog(tmp_path / "web.log").append(web.id, [output(1, b"a\n")])
    LogCollector(talker, tmp_path).follow([web], ignore)  # type: ignore[arg-type]
    eventually(lambda: len(texts(tmp_path)) == 3)
    assert texts(tmp_path) == [b"a", b"b", b"c"]


def test_what_the_engine_dropped_unread_is_marked(talker: Talker, tmp_path: Path) -> None:
    """Its rotation has taken the last line that is written: more went with it. It is said once."""
    web = container(talker, State.EXITED, output(7, b"g\n"), output(8, b"h\n"))
    SandboxLog(tmp_path / "web.log").append(web.id, [output(1, b"a\n"), output(1, b"b\n")])
    for _ in range(2):
        LogCollector(talker, tmp_path).finish("web", web.id)  # type: ignore[arg-type]
    a, b, gap, g, h = texts(tmp_path)
    assert (a, b, g, h) == (b"a", b"b", b"g", b"h")
    assert b"output is missing here" in gap


def test_what_has_ended_is_read_once(talker: Talker, follow: LogCollector) -> None:
    """The last output of a container that has stopped are told, and the engine is not asked for them again."""
    web = container(talker, State.EXITED, output(1, b"a\n"), output(2, b"last\n"))
    told: SimpleQueue[Message] = SimpleQueue()
    follow.follow([web], told.put)
    assert told.get(timeout=10) == OutputEnded("web", web.id, (b"a", b"last"))
    for _ in range(3):
        follow.follow([web], told.put)
    assert talker.asked == [web.id]


def test_what_could_not_be_read_is_asked_for_again(talker: Talker, follow: LogCollector) -> None:
    """Last output that an absent engine could not give is told when it is back."""
    web = container(talker, State.EXITED, EngineUnavailable("gone"), output(1, b"last\n"))
    told: SimpleQueue[Message] = SimpleQueue()
    eventually(lambda: follow.follow([web], told.put) or not told.empty())
    assert told.get() == OutputEnded("web", web.id, (b"last",))


def test_what_never_ran_is_not_asked(talker: Talker, follow: LogCollector) -> None:
    """A container that was only created has said nothing."""
    web = container(talker, State.CREATED)
    follow.follow([web], ignore)
    assert talker.asked == []


def test_a_removal_waits_for_the_last_words(talker: Talker, follow: LogCollector, tmp_path: Path) -> None:
    """When `finish` returns, all that the container said is written down."""
    web = container(talker, State.EXITED, output(1, b"a\n"), output(2, b"last\n"))
    follow.finish("web", web.id)
    assert texts(tmp_path) == [b"a", b"last"]


def test_a_replacement_speaks_after_what_it_replaces(talker: Talker, follow: LogCollector, tmp_path: Path) -> None:
    """The output of two containers of one sandbox is not mixed."""
    gate: SimpleQueue[None] = SimpleQueue()
    old = container(talker, State.RUNNING, output(1, b"old\n"), lambda: gate.get(timeout=10), output(2, b"old ends\n"))
    new = container(talker, State.RUNNING, output(1, b"new\n"), created_at=1)
    follow.follow([new, old], ignore)
    eventually(lambda: texts(tmp_path))
    gate.put(None)
    eventually(lambda: len(texts(tmp_path)) == 3)
    assert texts(tmp_path) == [b"old", b"old ends", b"new"]


def test_a_full_disk_loses_nothing(
    talker: Talker, follow: LogCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written is tried again; meanwhile the engine keeps what comes."""
    monkeypatch.setattr(log_collector, "RETRY_SECONDS", 0.01)
    failures = iter([OSError(28, "No space left on device")] * 3)
    append = SandboxLog.append

    def full(*arguments: object) -> None:
        if error := next(failures, None):
            raise error
        append(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(SandboxLog, "append", full)
    follow.finish("web", container(talker, State.EXITED, output(1, b"a\n"), output(2, b"b\n")).id)
    assert texts(tmp_path) == [b"a", b"b"]


def test_what_is_gone_is_forgotten(talker: Talker, follow: LogCollector, tmp_path: Path) -> None:
    """Sandboxes come and go, and nothing of them stays in memory: what comes back is read as if it were new."""
    web = container(talker, State.EXITED, output(1, b"a\n"))
    told: SimpleQueue[Message] = SimpleQueue()
    follow.follow([web], told.put)
    told.get(timeout=10)
    (tmp_path / "web.log").unlink()
    eventually(lambda: follow.follow([], ignore) or follow.follow([web], ignore) or texts(tmp_path) == [b"a"])


RATE = 1_000


def lines_at(*seconds: int) -> list[Output]:
    """Each costs as much as a tenth of a second allows at that rate, and the time that a line costs besides."""
    return [output(second, b"x" * 100 + b"\n") for second in seconds]


@pytest.mark.parametrize(
    ("seconds", "too_much"),
    [
        ([0] * 80, False),
        ([0] * 90, True),
        ([*[0] * 80, *[30] * 80], False),
        ([*[0] * 80, *[10] * 40], True),
        ([*[30] * 80, *[0] * 40], True),
    ],
)
def test_who_says_too_much_is_told_of(
    seconds: list[int], too_much: bool, talker: Talker, follow: LogCollector, tmp_path: Path
) -> None:
    """By the engine's times: half a minute's worth at once; silence makes good, a clock that goes back does not."""
    told: SimpleQueue[Message] = SimpleQueue()
    web = container(talker, State.RUNNING, *lines_at(*seconds))
    follow.follow([web], told.put, RATE)
    eventually(lambda: len(texts(tmp_path)) == len(seconds))
    messages = [told.get() for _ in range(told.qsize())]
    assert [type(message) for message in messages] == [LogRateExceeded] * too_much
