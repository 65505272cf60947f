"""What `status` shows: golden text at both widths, what is wrong first, and how old the news is."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click import unstyle
from click.testing import CliRunner, Result

from reconciler.cli.format.banner import banner, problem_lines
from reconciler.cli.format.details import details
from reconciler.cli.format.table import bar, table
from reconciler.cli.format.terminal import Line, cells, cut, escaped, wrapped
from reconciler.cli.main import cli
from reconciler.cli.status import summary
from reconciler.model.plan import Reason
from reconciler.model.status import (
    Attestation,
    Condition,
    ConditionType,
    ControllerStatus,
    EngineStatus,
    Failure,
    Heartbeat,
    Phase,
    SandboxStatus,
)
from reconciler.report.store import Store

NOW = 1_700_000_000.0
HOUR = 3600
ALIVE = Heartbeat(4711, NOW - 5)


def status(
    name: str,
    phase: Phase,
    reason: Reason,
    message: str = "",
    *,
    ready: bool = False,
    synced: bool = False,
    since: float = 300,
    **fields: Any,
) -> SandboxStatus:
    answers = {ConditionType.SYNCED: synced, ConditionType.READY: ready}
    conditions = tuple(
        Condition(type=kind, status=answer, reason=reason, message=message, since=NOW - since)
        for kind, answer in answers.items()
    )
    return SandboxStatus(
        name=name, file=f"{name}.yaml", phase=phase, reason=reason, message=message, conditions=conditions, **fields
    )


def running(name: str, *ports: int, since: float = 300, **fields: Any) -> SandboxStatus:
    bound = dict(enumerate(ports, 3000))
    return status(name, Phase.RUNNING, Reason.RUNNING, ready=True, synced=True, since=since, ports=bound, **fields)


def controller(**fields: Any) -> ControllerStatus:
    about: dict[str, Any] = {
        "available": True,
        "engine": EngineStatus(name="Docker", version="20.10.24", api_version="1.41"),
        "host": "unix:///run/docker.sock",
        "instance": "default",
        "version": "1",
        "pid": 4711,
        "started_at": NOW - 3.2 * HOUR,
        "directory": "/etc/sandboxes.d",
        "commit": "4ab01c9d3f2e" + 28 * "0",
        "limit": 5,
        "slots_used_by": ("web", "worker"),
        "updated_at": NOW - 60,
    }
    return ControllerStatus(**{**about, **fields})


API = status(
    "api",
    Phase.BACKOFF,
    Reason.IMAGE_PULL_FAILED,
    "cannot pull docker.io/library/api:2: manifest unknown: the registry does not know it",
    failures=3,
)
BIG = status("big", Phase.PULLING, Reason.ABSENT, "pulling big:1: 3 of 7 layers, 45 %", since=20, progress=0.45)
WEB = running("web", 63737, since=3.2 * HOUR)
WORKER = running("worker", 63738, 63739, since=52 * HOUR, restarts=12)
LONG = status("a-rather-long-name-of-a-sandbox-41-letter", Phase.STOPPED, Reason.STOPPED, synced=True)


def plain(line: Line) -> str:
    return unstyle(escaped(line))


def shown(lines: list[Line]) -> str:
    return "\n".join(map(plain, lines)) + "\n"


def test_80_columns() -> None:
    """One line says how it goes, then comes what is wrong, then who is not ready; messages are under their rows."""
    pending_approval = controller(
        frozen=True, frozen_reason="4 removals at once, with 5 running, are over the budget of 3"
    )
    lines = summary(pending_approval, ALIVE, [WORKER, LONG, API, WEB, BIG], NOW, 80)
    assert (
        shown(lines)
        == """\
controller alive for 3h12m (pid 4711) · commit 4ab01c9d3f2e · engine answers
! removals are pending approval: 4 removals at once, with 5 running, are over
  the budget of 3

NAME              PHASE    READY  SYNCED  ADDRESS                RESTARTS  AGE
api               Backoff  no     no      -                      0         5m
    ImagePullFailed: cannot pull docker.io/library/api:2: manifest unknown: the
    registry does not know it
big               Pulling  no     no      -                      0         20s
    ━━━━━━━━━━━━━━──────────────────  45 %
    pulling big:1: 3 of 7 layers, 45 %
a-rather-long-n…  Stopped  no     yes     -                      0         5m
web               Running  yes    yes     127.0.0.1:63737        0         3h12m
worker            Running  yes    yes     127.0.0.1:63738,63739  12        2d4h

instance default, Docker 20.10.24, 2 of 5 slots used
"""
    )
    assert max(cells(plain(line)) for line in lines) <= 80


def test_reserved_slots_are_named() -> None:
    """A slot that nobody runs in is told with whose it is, and why that one does not run."""
    reserved = controller(
        limit=3, slots_used_by=("web",), slots_reserved_for=("api",), slots_used_by_unmanaged=("renamed",)
    )
    assert shown(summary(reserved, ALIVE, [API, WEB], NOW, 80)).endswith(
        """
instance default, Docker 20.10.24, 3 of 3 slots used: 1 running, 1 reserved for
api (Backoff), 1 unmanaged (renamed)
"""
    )


def test_120_columns() -> None:
    """Where there is room, messages are a column of their own."""
    assert (
        shown(table([WORKER, API, WEB, BIG], NOW, 120))
        == """\
NAME    PHASE    READY  SYNCED  ADDRESS                RESTARTS  AGE    MESSAGE
api     Backoff  no     no      -                      0         5m     ImagePullFailed: cannot pull
                                                                        docker.io/library/api:2: manifest unknown: the
                                                                        registry does not know it
big     Pulling  no     no      -                      0         20s    ━━━━━━━━━━━━━━──────────────────  45 %
                                                                        pulling big:1: 3 of 7 layers, 45 %
web     Running  yes    yes     127.0.0.1:63737        0         3h12m
worker  Running  yes    yes     127.0.0.1:63738,63739  12        2d4h
"""
    )


def test_where_nobody_looks_nothing_is_cut() -> None:
    """A program, or a pager, gets one line for each sandbox, with all of its message."""
    lines = shown(table([LONG, API, BIG], NOW, None)).splitlines()
    assert len(lines) == 4
    assert lines[1].endswith("  " + "ImagePullFailed: " + API.message)
    assert lines[3].startswith(LONG.name)


HELD = status("held", Phase.RUNNING, Reason.INVALID_FILE, "held.yaml:1:1: no", ready=True, ports={3000: 61001})
RESTING = status("rest", Phase.RUNNING, Reason.SUSPENDED, "@octocat looks", ready=True, synced=True)


def test_what_serves_is_told_beside_what_is_not_applied() -> None:
    """With its address: a broken file does not end a sandbox, and what is stopped as it should be is nothing wrong."""
    assert (
        shown(table([LONG, WEB, HELD, RESTING], NOW, 90))
        == """\
NAME                              PHASE    READY  SYNCED  ADDRESS          RESTARTS  AGE
held                              Running  yes    no      127.0.0.1:61001  0         5m
    InvalidFile: held.yaml:1:1: no
a-rather-long-name-of-a-sandbox…  Stopped  no     yes     -                0         5m
rest                              Running  yes    yes     -                0         5m
    Suspended: @octocat looks
web                               Running  yes    yes     127.0.0.1:63737  0         3h12m
"""
    )


def test_who_is_not_as_declared_comes_first() -> None:
    """Then by name."""
    unhealthy = status("zoo", Phase.RUNNING, Reason.UNHEALTHY, "it says no", ports={3000: 61000})
    rows = shown(table([WEB, unhealthy, LONG, API], NOW, 120)).splitlines()[1:]
    assert [row.split()[0] for row in rows if row[0] != " "] == ["api", "zoo", LONG.name, "web"]


@pytest.mark.parametrize("width", [72, 80, 100, 120, 200])
def test_wide_characters_keep_the_columns(width: int) -> None:
    """Whatever a file is called or a program says: nothing is wider than the terminal, and the columns stand."""
    texts = ["設定ファイルが壊れています。" * 8, "e\u0301" * 200, "x" * 300, "🙂 " * 60]
    odd = [status(name, Phase.FAILED, Reason.EXIT_CODE, name) for name in texts]
    lines = [plain(line) for line in table([*odd, WEB], NOW, width)]
    assert max(map(cells, lines)) <= width
    places = {cells(line[: line.index(" Failed ")]) for line in lines if " Failed " in line}
    assert len(places) == 1


WRONG = controller(frozen=True, frozen_reason="it said \x1b[2J")


def test_control_characters_are_shown_and_not_obeyed() -> None:
    """Nobody's text steers the terminal."""
    evil = status("evil\x1b[31m", Phase.FAILED, Reason.EXIT_CODE, "it said \x1b[2J\u202e")
    told = "".join(map(escaped, [*table([evil], NOW, 80), *details(evil, NOW, 80), *problem_lines(WRONG, [], 80)]))
    assert told.count("\\x1b[2J") == 3
    assert not [steering for steering in ("\x1b[2J", "\u202e", "evil\x1b") if steering in told]


def test_a_text_is_cut_and_wrapped_by_cells() -> None:
    """A wide character takes two, a combining one none; a word that is too long is broken."""
    assert (cells("設定"), cells("e\u0301")) == (4, 1)
    assert [cut("abcdef", 6), cut("abcdefg", 6), cut("設定設定", 6)] == ["abcdef", "abcde…", "設定…"]
    assert wrapped("a bc def ghijklmnop q", 5) == ["a bc", "def", "ghijk", "lmnop", "q"]
    assert wrapped("設定設定 a", 5) == ["設定", "設定", "a"]
    assert wrapped("one two three four", 5, lines_max=2) == ["one", "two …"]
    assert wrapped("", 5) == [""]
    assert wrapped("to be copied", 5, whole_words=True) == ["to be", "copied"]
    assert wrapped("a bc  d e", 6, taken=3, hanging="- ") == ["a", "- bc", "- d e"]
    assert wrapped("a  b", 6) == ["a  b"]


def test_a_long_sentence_about_one_sandbox_is_wrapped() -> None:
    """Nothing of it is lost."""
    lines = shown(details(status("web", Phase.FAILED, Reason.EXIT_CODE, "so it is " * 40), NOW, 80)).splitlines()
    assert max(map(cells, lines)) <= 80
    assert " ".join(" ".join(lines).split()).count("so it is") == 40
    assert all(line.startswith("  ") for line in lines[1:] if line)


@pytest.mark.parametrize(
    ("heartbeat", "told"),
    [
        (ALIVE, "controller alive for 3h12m (pid 4711)"),
        (Heartbeat(12, NOW - 5), "controller alive (pid 12)"),
        (Heartbeat(4711, NOW + HOUR), "controller alive for 3h12m (pid 4711)"),
        (Heartbeat(None, NOW - HOUR), "no controller is running: it ended 1h ago · the rest is 1m old"),
        (Heartbeat(None, NOW - 42), "no controller is running: it ended 42s ago · the rest is 42s old"),
        (Heartbeat(None, 0), "no controller is running · the rest is 1m old"),
        (
            Heartbeat(4711, NOW - 50),
            "no heartbeat for 50s: controller killed or hung (pid 4711) · the rest is 50s old",
        ),
        (
            Heartbeat(4711, NOW - 50, locked=True),
            "no heartbeat for 50s: controller hung, or cannot write (pid 4711) · the rest is 50s old",
        ),
        (Heartbeat(4711, NOW - 5, locked=False), "the controller has died (pid 4711) · the rest is 5s old"),
        (
            Heartbeat(4711, NOW - 5, locked=True, unwritten_since=NOW - 30, unwritten_why="No space left on device"),
            "not written for 30s: No space left on device · controller alive (pid 4711) · the rest is 1m old",
        ),
        (
            Heartbeat(4711, NOW - 5, locked=True, unwritten_since=NOW - 720, unwritten_why="No space left on device"),
            "not written for 12m: No space left on device · controller alive (pid 4711) · the rest is 12m old",
        ),
        (
            Heartbeat(None, NOW - 5, unwritten_since=NOW - 720, unwritten_why="No space left on device"),
            "not written for 12m: No space left on device · no controller is running: it ended 5s ago "
            "· the rest is 12m old",
        ),
        (
            Heartbeat(4711, NOW, locked=True, unwritten_since=NOW - 9),
            "controller alive (pid 4711), in its first pass · the rest is 1m old",
        ),
    ],
)
def test_whether_a_controller_is_alive(heartbeat: Heartbeat, told: str) -> None:
    """Alive, ended, dead, or without a heartbeat; what it cannot write; and how old everything else is then."""
    (line,) = banner(controller(), heartbeat, NOW, None)
    assert plain(line).startswith(f"{told} · commit 4ab01c9d3f2e · engine answer")


def test_a_heading_that_just_fits_is_one_line() -> None:
    """It takes as much of the line as there is."""
    (line,) = banner(controller(pid=4194304), Heartbeat(4194304, NOW), NOW, 79)
    assert cells(plain(line)) == 79
    assert len(banner(controller(pid=4194304), Heartbeat(4194304, NOW), NOW, 78)) == 2


@pytest.mark.parametrize(
    ("uncommitted", "text"),
    [(False, "4ab01c9d3f2e ·"), (True, "4ab01c9d3f2e + changes ·"), (None, "4ab01c9d3f2e, changes unknown ·")],
)
def test_what_is_not_committed_shows(uncommitted: bool | None, text: str) -> None:
    """What is applied is more than the commit says."""
    lines = banner(controller(uncommitted=uncommitted), ALIVE, NOW, None)
    assert f"commit {text}" in shown(lines)


def test_a_heading_that_is_too_long_has_several_lines() -> None:
    """It is broken between what it says."""
    lines = banner(controller(available=False, commit=""), Heartbeat(4711, NOW - 50), NOW, 80)
    assert (
        shown(lines)
        == """\
no heartbeat for 50s: controller killed or hung (pid 4711) · the rest is 50s old
no git commit · engine was unavailable
"""
    )


def test_what_is_wrong_with_the_whole_says_what_to_do() -> None:
    """But what is told of a sandbox is not told twice."""
    broken = {"web.yaml": ("web.yaml:1:1: told",), "Bad.yaml": ("Bad.yaml: rename it",)}
    wrong = controller(
        available=False,
        unavailable_reason="no engine is there; start Docker",
        scan_error="cannot open the directory /etc/sandboxes.d: Permission denied",
        frozen=True,
        policy_error="policy.yaml:3:1: unknown key",
        pass_error="ValueError: see the log",  # noqa: S106 - it is none
        broken=broken,
        unmanaged=("web (4f4f): its labels are not complete",),
        notes=("more: is a directory, which is ignored",),
    )
    held = status("web", Phase.HELD, Reason.INVALID_FILE, "web.yaml:1:1: told")
    assert (
        shown(problem_lines(wrong, [held], None))
        == """\
! the engine is not available: no engine is there; start Docker
! nothing is removed: cannot open the directory /etc/sandboxes.d: Permission denied
! the last pass failed: ValueError: see the log
! the last good policy is in force: policy.yaml:3:1: unknown key
! Bad.yaml: rename it
! unmanaged container, left alone: web (4f4f): its labels are not complete
- more: is a directory, which is ignored
"""
    )


@pytest.mark.parametrize(("share", "filled"), [(0, 0), (0.5, 16), (1, 32), (7, 32), (-1, 0)])
def test_a_bar_is_as_full_as_it_should_be(share: float, filled: int) -> None:
    """And never longer than a bar."""
    drawn = plain(bar(share))
    assert (drawn.count("━"), drawn.count("─")) == (filled, 32 - filled)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_one_sandbox_in_full() -> None:
    """What to do, times as dates, conditions as a table, ports as addresses, the last failure, the attestation."""
    web = status(
        "web",
        Phase.BACKOFF,
        Reason.OOM_KILLED,
        "it was killed: out of memory",
        image="docker.io/library/busybox:1.36",
        digest="docker.io/library/busybox@sha256:abab",
        container_name="reconciler.default.web.14d5154c",
        container_id="4f" * 32,
        ports={3000: 63737, 8080: 63738},
        fingerprint="14d5154c" * 8,
        started_at=NOW - HOUR,
        exit_code=137,
        oom_killed=True,
        exited_at=NOW - 60,
        restarts=2,
        failures=3,
        failure=Failure(reason=Reason.OOM_KILLED, message="it was killed: out of memory", at=NOW - 59),
        retry_at=NOW + 4,
        attested=Attestation(
            at=NOW - 300,
            ok=False,
            container_id="4f" * 32,
            policy="0f3c" * 16,
            mismatches=("mem_limit: 1g -> 512m",),
            notes=("NewKnob 1",),
        ),
    )
    assert (
        shown(details(web, NOW, None))
        == """\
web  Backoff, not ready
  OOMKilled: it was killed: out of memory
  Raise `mem_limit`, or let it use less; what is in a tmpfs counts.

  file         web.yaml
  image        docker.io/library/busybox:1.36
  digest       docker.io/library/busybox@sha256:abab
  container    reconciler.default.web.14d5154c 4f4f4f4f4f4f
  port         3000 at 127.0.0.1:63737
  port         8080 at 127.0.0.1:63738
  fingerprint  14d5154c14d5
  started      2023-11-14 21:13:20 (1h ago)
  restarts     2
  last exit    code 137, out of memory, 2023-11-14 22:12:20 (1m ago)

  CONDITION       REASON                SINCE
  Synced     no   OOMKilled             2023-11-14 22:08:20 (5m ago)
  Ready      no   OOMKilled             2023-11-14 22:08:20 (5m ago)

  LAST FAILURE
  OOMKilled, 3 failures in a row, 2023-11-14 22:12:21 (59s ago)
  it was killed: out of memory
  next attempt at 2023-11-14 22:13:24 (in 4s)

  ATTESTATION
  verification failed against policy 0f3c0f3c0f3c, 2023-11-14 22:08:20 (5m ago)
  mem_limit: 1g -> 512m
  not known to this version: NewKnob 1
"""
    )


def test_of_a_new_sandbox_little_is_known() -> None:
    """What is not known takes no line."""
    assert shown(details(SandboxStatus(name="web"), NOW, 80)).split() == [
        *("web", "Starting,", "not", "ready", "Absent", *Reason.ABSENT.means.split()),
        *("file", "none:", "deleted", "restarts", "0"),
    ]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    store = Store(tmp_path / "state")
    store.lock()
    store.write_controller(controller())
    for one in (WEB, API):
        store.write_status(one)
    store.release()
    return store.directory


def run(state: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--state", str(state), "status", *words])


def test_json_tells_of_the_heartbeat(state: Path) -> None:
    """Beside the files as they are."""
    told = json.loads(run(state, "-o", "json").output)
    assert list(told) == ["controller", "heartbeat", "sandboxes"]
    assert told["heartbeat"] == {
        "alive": False,
        "pid": None,
        "at": (state / "lock").stat().st_mtime,
        "locked": False,
        "unwritten_since": 0,
        "unwritten_why": "",
    }
    (state / "lock").write_text(f"{os.getpid()}\n")
    assert json.loads(run(state, "-o", "json").output)["heartbeat"]["alive"] is True


def test_that_no_controller_runs_is_no_error(state: Path) -> None:
    """After `apply` none does; what is not as declared is one."""
    done = run(state)
    assert (done.exit_code, "no controller is running: it ended" in done.output) == (1, True)
    Store(state).forget("api")
    done = run(state)
    assert (done.exit_code, "no controller is running: it ended" in done.output) == (0, True)
    assert run(state, "web").exit_code == 0


def test_a_controller_that_died_or_cannot_write_is_an_error(state: Path) -> None:
    """What is shown is then not what is, of one sandbox as of all."""
    Store(state).forget("api")
    ended = (state / "lock").read_bytes()
    dead = b"4711".ljust(20) + ended[20:]
    unwritten = ended[:20] + b"1700000000".ljust(20) + ended[40:60] + b"No space left on device".ljust(67) + b"\n"
    for line, told in (dead, "the controller has died (pid 4711)"), (unwritten, "No space left on device"):
        (state / "lock").write_bytes(line)
        for words in ([], ["web"], ["-o", "json"]):
            done = run(state, *words)
            assert (done.exit_code, told in done.output or words[:1] == ["-o"]) == (1, True)


def test_a_controller_that_has_written_nothing_yet_is_named(tmp_path: Path) -> None:
    """Nobody is told to begin what has begun."""
    store = Store(tmp_path)
    assert "start one with `reconciler run`" in run(tmp_path).output
    store.lock()
    assert f"the controller (pid {os.getpid()}) has not written to {tmp_path} yet" in run(tmp_path).output
    store.release()


def test_only_the_table_is_watched_and_only_on_a_terminal(state: Path) -> None:
    """Everything else has an end."""
    for words in (["--watch"], ["web", "--watch"], ["-o", "json", "--watch"]):
        done = run(state, *words)
        assert (done.exit_code, "and nothing else" in done.output) == (2, True)
