"""The state directory is whole at any moment, and belongs to one controller."""

import errno
import fcntl
import json
import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from reconciler.model.errors import StateUnusable
from reconciler.model.plan import Reason
from reconciler.model.status import (
    Approval,
    Ask,
    ControllerStatus,
    Heartbeat,
    JournalEntry,
    PendingApproval,
    Request,
    SandboxStatus,
)
from reconciler.report.journal import KEPT, Journal, JournalReader
from reconciler.report.sandbox_log import GONE_KEPT
from reconciler.report.store import Store
from reconciler.report.whole_file import write_whole

CONTROLLER = ControllerStatus(
    available=True, host="unix:///fake.sock", instance="default", version="1", pid=1, directory="/sandboxes.d", limit=5
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "state")
    store.lock()
    return store


def test_what_is_written_is_read_again(store: Store) -> None:
    """A status survives the process."""
    status = SandboxStatus(name="web", ports={3000: 61000}, failures=2)
    store.write_status(status)
    assert Store(store.directory).statuses() == {"web": status}


def test_conditions_of_another_version_are_left_out(store: Store) -> None:
    """Neither an update nor a way back costs a status: what is missing, or unknown, the next pass works out anew."""
    store.write_status(SandboxStatus(name="web", failures=2))
    path = store.directory / "status" / "web.json"
    known = {"type": "Ready", "status": True, "reason": "Running", "message": "", "since": 1.0}
    others: list[dict[str, object]] = [{"type": "Degraded"}, {"reason": "OfLater"}, {"type": []}]
    for other in others:
        path.write_text(json.dumps({**json.loads(path.read_text()), "conditions": [known, {**known, **other}]}))
        status = store.statuses()["web"]
        assert (status.failures, [one.type for one in status.conditions]) == (2, ["Ready"])
        assert status.as_declared
    garbages: list[object] = [None, "Ready", [None], [{}]]
    for garbage in garbages:
        path.write_text(json.dumps({**json.loads(path.read_text()), "conditions": garbage}))
        assert not any(status.conditions for status in store.statuses().values())


def test_an_upgrade_keeps_what_was_known_by_former_names(store: Store) -> None:
    """Fields that were renamed are read by the names of the version before: what waits for approval goes on waiting."""
    status = SandboxStatus(name="web", stopped_by_us=("a" * 64,), last_output=("bye",))
    (store.directory / "status").mkdir(exist_ok=True)
    (store.directory / "status" / "web.json").write_text(
        status.model_dump_json().replace("stopped_by_us", "halted").replace("last_output", "last_words")
    )
    assert store.statuses() == {"web": status}
    waiting = PendingApproval(reason=Reason.REMOVAL_BUDGET_EXCEEDED, containers={"web": ("a" * 64,)})
    controller = ControllerStatus.model_validate({**dict(CONTROLLER), "withheld": waiting.model_dump()})
    assert controller.pending_approval == waiting


def test_ports_are_json_objects_keyed_by_container_port(store: Store) -> None:
    """The file has the form that scripts are promised: `{"3000": 61000}`."""
    store.write_status(SandboxStatus(name="web", ports={3000: 61000}))
    assert json.loads((store.directory / "status" / "web.json").read_text())["ports"] == {"3000": 61000}


def test_files_are_not_for_everybody(store: Store) -> None:
    """A status may be read by owner and group, and by nobody else."""
    store.write_status(SandboxStatus(name="web"))
    mode = (store.directory / "status" / "web.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o640


def test_two_controllers_cannot_share_a_state_directory(store: Store) -> None:
    """The second is told which process is the first."""
    with pytest.raises(StateUnusable, match=rf"process {os.getpid()}\b"):
        Store(store.directory).lock()


def test_a_stale_lock_file_stops_nobody(store: Store) -> None:
    """Only a living controller holds the lock, not the file that a dead one left."""
    store.release()
    assert (store.directory / "lock").exists()
    Store(store.directory).lock()


def test_a_claim_and_each_beat_are_signs_of_life(store: Store) -> None:
    """Anybody can read which process gave one, and when."""
    lock = store.directory / "lock"
    assert (store.heartbeat().pid, store.heartbeat().at) == (os.getpid(), lock.stat().st_mtime)
    os.utime(lock, (1000, 1000))
    assert store.heartbeat().at == 1000
    store.heartbeat_now()
    assert store.heartbeat().at > 1000


def test_the_end_in_good_order_leaves_no_process(store: Store) -> None:
    """Who was killed leaves it behind."""
    store.release()
    assert store.heartbeat().pid is None
    assert store.heartbeat().at > 0
    store.heartbeat_now()
    assert store.heartbeat().pid is None


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"web", b"-1", b"\xff" * 200, b"nan " * 40])
def test_garbage_in_the_lock_file_is_nobody(store: Store, garbage: bytes) -> None:
    """A lock file that says nothing, or is not there, is no heartbeat and no error."""
    store.release()
    (store.directory / "lock").write_bytes(garbage)
    assert (store.heartbeat().pid, store.heartbeat().unwritten_since) == (None, 0)
    (store.directory / "lock").unlink()
    assert store.heartbeat() == Heartbeat(None, 0)


def test_a_lock_file_that_cannot_be_read_is_an_error(store: Store) -> None:
    """Whether a controller lives is not known then, and nobody is told that none does."""
    store.release()
    (store.directory / "lock").unlink()
    (store.directory / "lock").mkdir()
    with pytest.raises(StateUnusable, match=r"cannot read .*lock: Is a directory"):
        store.heartbeat()


@contextmanager
def claimed(directory: Path) -> Iterator[int]:
    """Another process has the directory, until it is killed."""
    ready, told = os.pipe()
    if not (child := os.fork()):
        try:
            Store(directory).lock()
            os.write(told, b"!")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(ready, 1) == b"!"
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_who_was_killed_is_dead_at_once(store: Store) -> None:
    """The kernel says so, and not a clock; who has stopped lives, however old the heartbeat is."""
    store.release()
    with claimed(store.directory) as child:
        os.kill(child, signal.SIGSTOP)
        os.utime(store.directory / "lock", (1000, 1000))
        assert (store.heartbeat().pid, store.heartbeat().locked) == (child, True)
    dead = store.heartbeat()
    assert (dead.pid, dead.locked, dead.alive(dead.at), dead.well(dead.at)) == (child, False, False, False)
    store.lock()
    alive = store.heartbeat()
    assert (alive.pid, alive.locked, alive.well(alive.at)) == (os.getpid(), True, True)


def test_who_has_just_come_is_not_taken_for_who_was_before(store: Store) -> None:
    """Between the lock and the first line, the kernel alone knows the process."""
    os.utime(store.directory / "lock", (1000, 1000))
    (store.directory / "lock").write_text("4711\n")
    assert store.heartbeat().pid == os.getpid()
    assert store.heartbeat().alive(time.time())


def test_a_version_that_holds_no_such_lock_is_believed_for_its_signs_of_life(store: Store) -> None:
    """It wrote its process id and nothing else, and is kept out and keeps out by the lock that both know."""
    store.release()
    with (store.directory / "lock").open("r+") as older:
        older.truncate(0)
        older.write("4711\n")
        older.flush()
        fcntl.flock(older, fcntl.LOCK_EX)
        found = store.heartbeat()
        assert (found.pid, found.locked, found.alive(found.at), found.unwritten_since) == (4711, None, True, 0)
        with pytest.raises(StateUnusable, match="process 4711"):
            store.lock()
    store.lock()
    with (store.directory / "lock").open("r+") as older:
        assert int(older.read(20)) == os.getpid()
        with pytest.raises(BlockingIOError):
            fcntl.flock(older, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_on_another_device_says_nothing(store: Store) -> None:
    """Another host that has mounted the same directory cannot hear of it: signs of life decide there."""
    store.release()
    lock = store.directory / "lock"
    with claimed(store.directory):
        line = lock.read_text()
    lock.write_text(line.replace(f" {lock.stat().st_dev} ", f" {lock.stat().st_dev + 1} "))
    assert (store.heartbeat().locked, store.heartbeat().alive(time.time())) == (None, True)


def test_the_lock_says_at_once_since_when_what_is_found_is_not_written(store: Store, tmp_path: Path) -> None:
    """From the first write that fails until all that failed is written; the end in good order does not hide it."""

    def told() -> tuple[bool, str]:
        return store.heartbeat().unwritten_since > 0, store.heartbeat().unwritten_why

    assert told() == (True, "")
    store.write_controller(CONTROLLER)
    assert told() == (False, "")
    size = (store.directory / "lock").stat().st_size
    (store.directory / "status").rename(tmp_path / "moved")
    store.write_status(SandboxStatus(name="web"))
    store.write_status(SandboxStatus(name="api"))
    store.write_controller(CONTROLLER.model_copy(update={"passes": 2}))
    assert told() == (True, "No such file or directory")
    assert (store.directory / "lock").stat().st_size == size
    assert not store.heartbeat().well(time.time())
    (tmp_path / "moved").rename(store.directory / "status")
    store.write_status(SandboxStatus(name="web"))
    assert told() == (True, "No such file or directory")
    store.forget("api")
    assert told() == (False, "")
    (store.directory / "status").rename(tmp_path / "moved")
    store.write_status(SandboxStatus(name="api"))
    store.release()
    assert told() == (True, "No such file or directory")
    assert not store.heartbeat().well(time.time())


@pytest.mark.parametrize(
    ("heartbeat_now", "alive"),
    [
        (Heartbeat(4711, 970.1), True),
        (Heartbeat(4711, 970.0), False),
        (Heartbeat(None, 1000), False),
        (Heartbeat(4711, 5000), True),
        (Heartbeat(4711, 1000, locked=False), False),
        (Heartbeat(4711, 970.0, locked=True), False),
    ],
)
def test_who_gave_no_sign_for_half_a_minute_is_not_alive(heartbeat_now: Heartbeat, alive: bool) -> None:
    """A clock that was set back since leaves a heartbeat in the future, which counts as one of now."""
    assert heartbeat_now.alive(1000) is alive


def test_a_state_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    """A file in the way is an error in a sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnusable, match="cannot use the state directory"):
        Store(tmp_path / "file" / "state").lock()


def test_a_corrupt_file_is_set_aside(store: Store) -> None:
    """What cannot be read is kept for people and forgotten by the controller."""
    path = store.directory / "status" / "web.json"
    path.write_text('{"name": "we')
    store.release()
    again = Store(store.directory)
    again.lock()
    assert again.statuses() == {}
    assert path.with_suffix(".corrupt").exists()


def test_a_failed_write_leaves_the_old_file_and_is_tried_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """When the directory is gone the pass goes on; when it is back the status is written."""
    store.write_status(SandboxStatus(name="web", failures=1))
    moved = store.directory / "moved"
    (store.directory / "status").rename(moved)
    for _ in range(3):
        assert not store.write_status(SandboxStatus(name="web", failures=2))
    assert caplog.text.count("cannot write") == 1
    assert json.loads((moved / "web.json").read_text())["failures"] == 1
    moved.rename(store.directory / "status")
    assert store.write_status(SandboxStatus(name="web", failures=2))
    assert store.statuses()["web"].failures == 2


def test_a_write_that_fails_midway_leaves_the_old_content(tmp_path: Path) -> None:
    """Whatever happens while writing, the file is the old one or the new one, and nothing is left beside it."""
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_requests_that_cannot_be_read_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As without a file descriptor left: that is no reason to end a pass."""
    store.ask("web", Request(what=Ask.RETRY, at=1))

    def none_left(_: object) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as full:
        full.setattr(os, "scandir", none_left)
        full.setattr(os, "listdir", none_left)
        assert store.requests() == {}
    assert set(store.requests()) == {"web"}


def test_only_what_must_outlive_the_machine_is_synced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statuses are many, and a cache; approvals and what is pending approval are neither."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    store.write_status(SandboxStatus(name="web"))
    assert not synced
    store.approve(Approval(containers=("a",), at=1))
    assert len(synced) == 2  # the file and its directory
    store.write_controller(CONTROLLER)
    assert len(synced) == 4


def test_an_unchanged_status_is_not_written_again(store: Store) -> None:
    """Writing what is there already touches nothing."""
    status = SandboxStatus(name="web")
    store.write_status(status)
    before = (store.directory / "status" / "web.json").stat().st_ino
    store.write_status(status)
    assert (store.directory / "status" / "web.json").stat().st_ino == before


def test_an_approval_is_spent_once(store: Store) -> None:
    """After it is spent nothing is approved."""
    store.approve(Approval(containers=("a" * 64,), at=1))
    assert Store(store.directory).approved() == {"a" * 64}
    store.spend_approval()
    assert store.approved() == frozenset()


def test_reading_writes_nothing(tmp_path: Path) -> None:
    """`plan` and `status` leave no trace, not even a directory."""
    store = Store(tmp_path / "state")
    assert (store.statuses(), store.controller(), store.approved()) == ({}, None, frozenset())
    assert os.listdir(tmp_path) == []


def test_the_output_of_what_is_gone_is_kept_for_a_while(store: Store) -> None:
    """Of sandboxes that are gone the newest logs stay; those of the others are never touched."""
    store.write_status(SandboxStatus(name="here"))
    names = ["here", *(f"gone-{number}" for number in range(GONE_KEPT + 3))]
    for age, name in enumerate(names):
        for file in (store.logs / f"{name}.log", store.logs / f"{name}.log.1"):
            file.write_text("said")
            os.utime(file, (age, age))
    store.forget("gone-1")
    assert {path.name.partition(".")[0] for path in store.logs.iterdir()} == {"here", *names[4:]}
    assert len(list(store.logs.iterdir())) == 2 * (GONE_KEPT + 1)


def entry(number: int) -> JournalEntry:
    return JournalEntry(
        at=number, sandbox="web", verdict="START", cause=Reason.EXITED, action=f"action {number}", result="ok"
    )


def test_the_journal_is_bounded_and_loses_no_line_before_its_time(tmp_path: Path) -> None:
    """Rotation keeps the newest lines, in order, in a bounded number of files."""
    journal = Journal(tmp_path / "journal.jsonl", bytes_max=1000)
    for number in range(100):
        journal.write(entry(number))
    files = [tmp_path / f"journal.jsonl.{number}" for number in range(KEPT, 0, -1)] + [tmp_path / "journal.jsonl"]
    assert sorted(os.listdir(tmp_path)) == sorted(path.name for path in files)
    assert all(path.stat().st_size <= 1000 for path in files)
    told = [json.loads(line)["at"] for path in files for line in path.read_text().splitlines()]
    assert told == list(range(int(told[0]), 100))


def test_a_reader_of_the_journal_goes_on_over_a_rotation(tmp_path: Path) -> None:
    """Who reads while the files are rotated misses nothing; what another version has written is passed over."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, bytes_max=1000)
    path.write_text('{"cause": "OfAnotherVersion"}\n')
    read: list[float] = []
    with JournalReader(path) as reader:
        for number in range(50):
            journal.write(entry(number))
            if number % 3 == 0:
                read += [one.at for one in reader.more()]
        read += [one.at for one in reader.more()]
    assert read == list(range(50))


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"action": "stop 0123", "result": "ok"}, "web: stop 0123 (Exited)"),
        ({"action": "stop 0123", "result": "StopFailed"}, "web: cannot stop 0123: StopFailed: why"),
        ({"result": "refused"}, "web: wait, Exited: why"),
        ({"result": "ok"}, "web: why"),
        ({"sandbox": "", "action": "create network n", "result": "ok"}, "all: create network n (Exited)"),
    ],
)
def test_an_entry_of_the_journal_is_a_sentence(said: dict[str, str], sentence: str) -> None:
    """What has come of it is told in other words when it was done, refused, or failed."""
    about = {"sandbox": "web", "verdict": "WAIT", "message": "why", **said}
    assert JournalEntry(at=0, cause=Reason.EXITED, **about).sentence == sentence


def test_a_journal_that_cannot_be_written_fails_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The entry is lost, the pass is not."""
    Journal(tmp_path / "missing" / "journal.jsonl").write(entry(1))
    assert "cannot write" in caplog.text


def test_no_text_in_the_state_directory_steers_a_terminal(store: Store) -> None:
    """Whatever a name or a message holds, a lone surrogate too: the file says it escaped, and can be read."""
    evil = "\x1b[2J\u202e\r\n\ud800"
    shown = "\\x1b[2J\\u202e\\r\\n\\ud800"
    store.write_status(SandboxStatus(name="web", message=evil, configuration={evil[:-1]: evil}))
    Journal(store.directory / "journal.jsonl").write(
        JournalEntry(at=0, sandbox="web", verdict="STOP", cause=Reason.DRIFTED, result="ok", message=evil)
    )
    assert store.statuses()["web"].message == shown
    assert store.statuses()["web"].configuration == {shown[:-6]: shown}
    (line,) = (store.directory / "journal.jsonl").read_text().splitlines()
    assert json.loads(line)["message"] == shown
    assert all(
        text.replace("\n", "").isprintable() for text in (line, (store.directory / "status" / "web.json").read_text())
    )
