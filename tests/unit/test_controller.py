"""The controller over the fake engine: what no table shows, because it takes several passes."""

import json
import os
import time
from collections.abc import Callable
from copy import deepcopy

import pytest

from reconciler.control.clock import SystemClock
from reconciler.control.controller import Controller
from reconciler.control.executor import Executor
from reconciler.control.messages import EngineEvent, LogRateExceeded, Notice
from reconciler.engine.docker.decode import NO_TRAFFIC_BETWEEN
from reconciler.engine.protocol import PullProgressed
from reconciler.model.errors import EngineRefused, EngineUnavailable, PolicyUnknown, Refusal
from reconciler.model.plan import Reason, SandboxPlan
from reconciler.model.status import Approval, Phase
from reconciler.model.world import Event, Happening
from tests.house import IMAGE, House
from tests.waiting import eventually


class TickingClock(SystemClock):
    """Goes on by half a second whenever somebody asks, and not by itself."""

    ticked = 0.0

    def monotonic(self) -> float:
        self.ticked += 0.5
        return self.ticked


def once(house: House, call: str, fault: Exception, *, after: bool = False) -> None:
    """The next call of this kind fails, before or after it has taken effect."""

    def strike(made: str) -> None:
        if made.startswith(call):
            house.engine.before_call = house.engine.after_call = lambda _: None
            raise fault

    if after:
        house.engine.after_call = strike
    else:
        house.engine.before_call = strike


LOST = EngineUnavailable("the reply was lost")


def test_a_sandbox_takes_three_calls_besides_looking(house: House) -> None:
    """Create, verify, start: a new sandbox costs no call that could be spared."""
    house.declare("web")
    assert house.apply().available
    assert house.writes() == ["create_network", "create web", "start web"]
    assert house.engine.calls.count("containers") == 3  # one more, as a new network is looked at before it is used
    assert house.status("web").phase is Phase.RUNNING


def test_once_converged_nothing_is_written_to_the_engine(house: House) -> None:
    """A second pass only looks."""
    house.declare("web")
    house.apply()
    house.apply()
    assert house.writes() == []


def test_who_only_waits_is_written_after_the_others_have_begun(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands that wait for a slot keep nobody from starting; what is acted on is written before."""
    submit, written = Executor.submit, list[list[str]]()

    def noted(executor: Executor, planned: SandboxPlan) -> None:
        written.append(house.store.names())
        submit(executor, planned)

    house.decree(sandboxes_max=2)
    house.declare("first")
    house.apply()
    monkeypatch.setattr(Executor, "submit", noted)
    house.declare("second")
    house.declare("third")
    house.apply()
    assert written == [["first", "second"]]
    assert house.store.names() == ["first", "second", "third"]


def test_a_replacement_stops_the_old_one_only_after_the_new_one_was_verified(house: House) -> None:
    """The order of the calls is the promise."""
    house.declare("web")
    house.apply()
    house.declare("web", mem_limit="256m")
    house.apply()
    assert house.writes() == ["create web", "stop web", "start web", "remove web"]
    created = next(index for index, call in enumerate(house.engine.calls) if call.startswith("create "))
    assert house.engine.calls[created + 1].startswith("inspect ")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", ["create_network", "create ", "inspect ", "stop ", "start ", "remove ", "containers"])
def test_a_call_that_fails_or_whose_reply_is_lost_is_made_good(house: House, call: str, after: bool) -> None:
    """Wherever the engine goes away during a replacement, the next controller ends at exactly what is declared."""
    if call != "create_network":
        house.declare("web")
        house.apply()
    house.declare("web", mem_limit="256m")
    once(house, call, LOST, after=after)
    house.apply()
    house.apply()
    assert house.running() == ["web"]
    assert len(house.engine.containers()) == 1
    spec = house.engine.inspect(house.id_of("web")).spec
    assert spec is not None
    assert spec.mem_limit == 256 << 20
    assert house.status("web").failures == 0


def test_a_container_that_is_not_as_rendered_is_removed_and_never_started(house: House) -> None:
    """What an engine, or a stranger, makes of our container is looked at before it runs."""
    house.declare("web")
    started: list[str] = []

    def tamper(call: str) -> None:
        if call.startswith("create "):
            house.engine.update(house.id_of("web"), Privileged=True)
        if call.startswith("start "):
            started.append(call)

    house.engine.after_call = tamper
    house.apply()
    assert started == []
    assert house.engine.containers() == ()
    status = house.status("web")
    assert (status.phase, status.failures) == (Phase.BACKOFF, 1)
    assert "privileged: true" in str(status.attested)


@pytest.mark.parametrize("change", ["update", "connect"])
def test_what_was_changed_while_the_old_one_stopped_is_never_started(house: House, change: str) -> None:
    """An old container may take minutes to stop: what was verified before that is verified again."""
    house.declare("web")
    house.apply()
    house.declare("web", mem_limit="256m")
    old, started = house.id_of("web"), list[str]()

    def tamper(call: str) -> None:
        if call.startswith("stop "):
            (new,) = (one.id for one in house.engine.containers() if one.id != old)
            if change == "update":
                house.engine.update(new, Memory=1 << 30)
            else:
                house.engine.connect(new, "bridge")
        if call.startswith("start "):
            started.append(call)

    house.engine.after_call = tamper
    house.apply()
    assert started == []
    assert house.status("web").failure is not None
    assert house.running() == []


def watch_limit(house: House, limit: int) -> Callable[[str], None]:
    def check(_: str) -> None:
        if house.engine.down is None:
            up = [raw for raw in house.engine.raw_containers.values() if raw["State"]["Status"] == "running"]
            assert len(up) <= limit

    return check


def test_the_limit_holds_after_every_single_call(house: House) -> None:
    """Not even in the middle of replacements do more run than may."""
    house.engine.after_call = watch_limit(house, 5)
    for name in "abcdefgh":
        house.declare(name)
    house.apply()
    for name in "abcdefgh":
        house.declare(name, mem_limit="256m")
    house.apply()
    assert house.running() == list("abcde")
    house.remove("a")
    house.apply()
    assert house.running() == list("bcdef")


def test_an_engine_that_is_down_is_told_and_changes_nothing(house: House) -> None:
    """The status says why; the sandboxes' own statuses stay."""
    house.declare("web")
    house.apply()
    house.engine.down = "connection refused"
    status = house.apply()
    assert (status.available, "connection refused" in status.unavailable_reason) == (False, True)
    assert house.status("web").phase is Phase.RUNNING


def test_an_engine_that_answers_in_part_is_none(house: House) -> None:
    """When one inspection fails the whole observation is worth nothing: nothing is removed or created."""
    house.declare("a")
    house.declare("b")
    house.apply()
    house.remove("a")
    once(house, "inspect ", EngineUnavailable("truncated"))
    status = house.apply()
    assert not status.available
    assert house.writes() == []


def test_a_list_that_leaves_something_out_is_not_believed(house: House) -> None:
    """A container that was there is gone only when the engine says so of itself; also after a restart."""
    house.declare("web")
    house.apply()
    listing = house.engine.containers
    house.engine.containers = lambda: ()  # type: ignore[method-assign]
    house.declare("web", mem_limit="256m")
    assert "its list leaves out container" in house.apply().unavailable_reason
    assert house.writes() == []
    house.engine.containers = listing  # type: ignore[method-assign]
    house.engine.remove_by_force(house.id_of("web"))
    assert house.apply().available
    assert house.running() == ["web"]


@pytest.mark.parametrize("file", ["My-App.yaml", "my_app.yaml", "my-app.YAML"])
def test_a_file_that_gets_a_wrong_name_removes_nothing(house: House, file: str) -> None:
    """What it declared runs on and is told to be held, with the file that holds it; a name mended goes on."""
    house.declare("my-app")
    house.apply()
    kept = house.id_of("my-app")
    wrong, right = (house.root / "sandboxes.d" / name for name in (file, "my-app.yaml"))
    right.rename(wrong)
    house.apply()
    assert house.writes() == []
    status = house.status("my-app")
    assert (status.phase, status.reason, status.file) == (Phase.RUNNING, Reason.INVALID_FILE, file)
    assert file in status.message
    wrong.rename(right)
    house.apply()
    assert (house.status("my-app").phase, house.id_of("my-app")) == (Phase.RUNNING, kept)


def test_a_port_that_two_publish_holds_both_as_they_are(house: House) -> None:
    """Who had it keeps it; which file is meant, nobody can know."""
    port = {"target": 3000, "published": 18080}
    house.declare("web", ports=[port])
    house.apply()
    kept = house.id_of("web")
    house.declare("web", ports=[port], mem_limit="64m")
    house.declare("new", ports=[port])
    house.apply()
    assert house.writes() == []
    assert {house.status(name).reason for name in ("web", "new")} == {Reason.INVALID_FILE}
    house.remove("new")
    house.apply()
    assert (house.running(), house.id_of("web") != kept) == (["web"], True)


def test_changes_wait_while_a_merge_is_under_way(house: House) -> None:
    """What runs is looked after by the last reading; what is said meanwhile counts when the merge is over."""
    git = house.root / ".git"
    git.mkdir()
    house.declare("web")
    house.declare("gone")
    controller = house.controller(TickingClock())
    eventually(lambda: controller.work() or house.running() == ["gone", "web"])
    (git / "MERGE_HEAD").touch()
    house.declare("web", mem_limit="64m")
    house.remove("gone")
    controller.tell(Notice.FILES_CHANGED)
    eventually(lambda: controller.work() or controller.status.scan_error)
    house.engine.calls.clear()
    house.engine.exit(house.id_of("web"), 1)
    eventually(lambda: controller.work() or house.running() == ["gone", "web"])
    assert house.writes() == ["start web"]
    assert controller.status.scan_error.startswith("a git merge is under way since ")
    (git / "MERGE_HEAD").unlink()
    eventually(lambda: controller.work() or house.status("web").configuration.get("mem_limit") == "64m")
    eventually(lambda: controller.work() or house.running() == ["web"])


def test_a_controller_that_begins_in_the_middle_of_a_merge_waits_too(house: House) -> None:
    """Nobody has told it what should be: what runs is left as it is, with the reason."""
    house.declare("web")
    house.apply()
    house.remove("web")
    (house.root / ".git").mkdir()
    (house.root / ".git" / "MERGE_HEAD").touch()
    assert house.apply().frozen
    assert (house.running(), house.status("web").reason) == (["web"], Reason.CHANGES_WAIT)
    assert house.writes() == []


def test_a_change_that_nobody_has_told_is_found_by_the_resync(house: House) -> None:
    """Hints may be lost: the resync alone converges."""
    house.declare("web")
    controller = house.controller(TickingClock())
    eventually(lambda: controller.work() or house.running() == ["web"])
    house.declare("web", mem_limit="64m")
    house.declare("new")
    eventually(lambda: controller.work() or house.running() == ["new", "web"])
    eventually(lambda: controller.work() or house.status("web").configuration.get("mem_limit") == "64m")


def test_a_directory_in_the_directory_is_noted_and_no_mistake(house: House) -> None:
    """As `validate` does; sandboxes that are all as declared are so."""
    (house.root / "sandboxes.d" / "more").mkdir()
    house.declare("web")
    status = house.apply()
    (note,) = status.notes
    assert note.startswith("more: is a directory, which is ignored")
    assert (status.broken, status.frozen) == ({}, False)


def test_a_directory_that_was_away_is_not_believed_when_it_comes_back_empty(house: House) -> None:
    """Not even when it has the same inode, as file systems give that of a directory which is gone to the next one."""
    house.declare("web")
    house.apply()
    directory, away = house.settings.directory, house.root / "away"
    controller = house.controller()
    controller.work()

    def collect(times: int) -> None:
        for _ in range(times):
            controller.tell(Notice.FILES_CHANGED)
            time.sleep(0.3)
            controller.work()

    directory.rename(away)
    collect(1)
    assert controller.status.scan_error
    (away / "web.yaml").unlink()
    away.rename(directory)
    collect(3)
    assert house.running() == ["web"]
    assert house.status("web").reason is Reason.DIRECTORY_REPLACED
    house.declare("web")
    collect(1)
    assert house.status("web").reason is Reason.RUNNING
    controller.apply(0)


def test_a_crash_loop_rests_without_a_word_from_the_engine(house: House) -> None:
    """`apply` hears no events: each exit is seen all the same, and the second one rests."""
    house.declare("crash")

    def crash(call: str) -> None:
        if call.startswith("start "):
            house.engine.exit(house.id_of("crash"), 3)

    house.engine.after_call = crash
    house.apply()
    assert house.writes().count("start crash") == 2
    assert (house.status("crash").phase, house.status("crash").failures) == (Phase.BACKOFF, 2)


def test_a_crash_loop_reserves_a_slot_for_as_long_as_nobody_else_wants_it(house: House) -> None:
    """It is told for whom; who has never failed gets it, and then the crash loop waits."""
    house.decree(sandboxes_max=1)
    house.declare("bad", image="missing:3")
    status = house.apply()
    assert (status.slots_used_by, status.slots_reserved_for) == ((), ("bad",))
    house.declare("good")
    status = house.apply()
    assert (status.slots_used_by, status.slots_reserved_for) == (("good",), ())
    assert house.status("bad").reason is Reason.LIMIT_EXCEEDED


def test_unhealthy_is_told_when_it_begins_and_when_it_ends(house: House) -> None:
    """Each once, however often it is looked at; with restart no it is left up all the while."""
    house.declare("web", healthcheck={"test": ["CMD", "true"]}, restart="no")
    for health in ("starting", "healthy", "unhealthy", "unhealthy", "healthy", "healthy"):
        house.apply(1)
        house.engine.set_health(house.id_of("web"), health, "no answer")
        house.apply(1)
    told = [json.loads(line) for line in (house.root / "state" / "journal.jsonl").read_text().splitlines()]
    assert [(line["cause"], line["result"], line["message"]) for line in told if not line["action"]] == [
        ("Unhealthy", "Unhealthy", "its health check fails: no answer"),
        ("Healthy", "ok", "its health check passes again"),
    ]
    assert (house.status("web").failures, house.status("web").restarts, house.writes()) == (1, 0, [])


@pytest.mark.parametrize("moved", [False, True])
def test_what_takes_the_place_of_ours_with_another_command_is_drift(house: House, moved: bool) -> None:
    """It has the name and all labels of ours, and the file leaves the command to the image, which may have moved."""
    house.declare("web")
    house.apply()
    raw = deepcopy(house.engine.raw_containers[house.id_of("web")])
    house.engine.remove_by_force(raw["Id"])
    own = {key: raw["Config"][key] for key in ("User", "Env", "Labels", "ExposedPorts", "StopTimeout")}
    forged = {**own, "HostConfig": raw["HostConfig"], "Cmd": ["mine"]}
    container = house.engine.run_foreign(raw["Name"][1:], IMAGE, **forged)
    if moved:
        house.engine.add_image(IMAGE)
    house.apply()
    assert container not in {one.id for one in house.engine.containers()}
    assert house.running() == ["web"]


def test_a_second_network_is_removed(house: House) -> None:
    """While it cannot be, what needs the network waits, and nothing else does."""
    house.declare("web")
    house.apply()
    labels = {"reconciler.instance": "default"}
    house.engine.add_network("reconciler.default", options=dict(NO_TRAFFIC_BETWEEN), own_labels=labels)
    house.declare("alone", network_mode="none")
    house.declare("other")

    def refuse(call: str) -> None:
        if call.startswith("remove_network"):
            raise EngineRefused(Refusal.OTHER, "it has active endpoints")

    house.engine.before_call = refuse
    house.apply(timeout_seconds=2)
    assert house.running() == ["alone", "web"]
    assert house.status("other").reason is Reason.NETWORK_UNFIT
    house.engine.before_call = lambda _: None
    house.apply()
    assert house.running() == ["alone", "other", "web"]


def test_an_approval_is_good_for_exactly_what_waited(house: House) -> None:
    """After it is used nothing is left of it."""
    for name in "abcde":
        house.declare(name)
    house.apply()
    for name in "abcd":
        house.remove(name)
    pending_approval = house.apply().pending_approval
    assert pending_approval is not None
    assert house.running() == list("abcde")
    ids = tuple(id_ for found in pending_approval.containers.values() for id_ in found)
    house.store.approve(Approval(containers=ids, at=0))
    house.apply()
    assert house.running() == ["e"]
    assert house.store.approved() == frozenset()


def test_a_broken_policy_is_an_error_at_the_start(house: House) -> None:
    """Nothing begins without knowing what is allowed."""
    (house.root / "policy.yaml").write_text("sandboxes_max: many")
    with pytest.raises(PolicyUnknown):
        house.apply()


def test_a_fault_of_our_own_ends_a_pass_and_not_the_controller(house: House) -> None:
    """It is told, and nothing is changed."""
    house.declare("web")
    once(house, "containers", ZeroDivisionError("a bug"))
    assert "ZeroDivisionError" in house.apply().pass_error
    house.apply()
    assert house.running() == ["web"]


def test_corrupt_statuses_do_not_stop_anything(house: House) -> None:
    """A state directory full of garbage is set aside; containers and ports stay."""
    house.declare("web")
    house.apply()
    ports = house.status("web").ports
    for path in (house.root / "state" / "status" / "web.json", house.root / "state" / "controller.json"):
        path.write_text("\0garbage")
    house.apply()
    assert house.writes() == []
    assert house.status("web").ports == ports


def test_a_controller_gives_signs_of_life_while_it_works(house: House) -> None:
    """Every ten seconds and not more often; the end leaves nobody behind."""
    house.declare("web", healthcheck={"test": ["CMD", "true"]})
    clock, beats = TickingClock(), 0

    def collect(call: str) -> None:
        nonlocal beats
        if call == "containers":
            beats += house.store.heartbeat().at > 0
            os.utime(house.root / "state" / "lock", (0, 0))

    house.engine.before_call = collect
    house.apply(100, clock)
    assert 1 + 5 <= beats <= 1 + 10
    assert house.store.heartbeat().pid is None


def test_a_pull_under_way_is_told_as_a_share(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the status file while the pull lasts, and not afterwards."""
    house.engine.registry["other:2"] = {}
    house.declare("web", image="other:2")
    pull = house.engine.pull

    def half(reference: str, progress: PullProgressed) -> None:
        progress("1 of 2 layers, 50 %", 0.5)
        eventually(lambda: house.status("web").progress == 0.5)
        pull(reference, progress)

    monkeypatch.setattr(house.engine, "pull", half)
    house.apply()
    assert (house.status("web").phase, house.status("web").progress) == (Phase.RUNNING, None)


def pass_once_more(controller: Controller) -> None:
    passes = controller.status.passes
    eventually(lambda: controller.work() or controller.status.passes > passes)


def test_the_commit_follows_at_the_next_resync(house: House) -> None:
    """Also when it changes and no file of ours does."""
    repository = house.root / ".git"
    repository.mkdir()
    (repository / "HEAD").write_text("1" * 40)
    controller = house.controller()
    controller.work()
    (repository / "HEAD").write_text("2" * 40)
    for message, commit in ((Notice.ENGINE_DISCONNECTED, "1" * 40), (Notice.RESYNC_ASKED, "2" * 40)):
        controller.tell(message)
        pass_once_more(controller)
        assert controller.status.commit == commit
    controller.apply(0)


def test_what_is_pulled_is_judged_before_anything_is_made_of_it(house: House) -> None:
    """Its check is calmed at once; what is refused never becomes a container, and the next pass says why."""
    often = {"Test": ["CMD", "true"], "Interval": 1_000_000}
    house.engine.registry = {"often:1": {"Healthcheck": often}, "loud:1": {"Labels": {"a": "x" * 70_000}}}
    for name in ("often", "loud"):
        house.declare(name, image=f"{name}:1")

    def pass_check(call: str) -> None:
        if call.startswith("start "):
            house.engine.set_health(house.id_of("often"), "healthy")

    house.engine.after_call = pass_check
    house.apply()
    assert [call for call in house.writes() if "loud" in call] == ["pull loud:1"]
    assert (house.status("loud").phase, house.status("loud").reason) == (Phase.REFUSED, Reason.POLICY_VIOLATION)
    assert "68k of labels" in house.status("loud").message
    check = house.engine.raw_containers[house.id_of("often")]["Config"]["Healthcheck"]
    assert check == {"Test": ["CMD", "true"], "Interval": 1_000_000_000}
    house.apply()
    assert house.writes() == []


def test_who_says_too_much_is_stopped_and_started_again_with_backoff(house: House) -> None:
    """At once after the first time, then later and later."""
    house.declare("web")
    house.apply()
    controller = house.controller()
    controller.work()

    def goes_on() -> None:
        controller.tell(LogRateExceeded("web", house.id_of("web"), time.time()))
        controller.work()

    eventually(lambda: goes_on() or house.status("web").failures == 2)
    eventually(lambda: controller.work() or house.status("web").phase is Phase.BACKOFF)
    assert house.status("web").reason is Reason.LOG_RATE_EXCEEDED
    assert house.running() == []
    controller.apply(0)


def test_who_has_written_too_much_is_stopped_for_good(house: House) -> None:
    """Another controller knows it from the status, asks nothing more in its passes, and a changed file mends it."""
    house.decree(limits={"disk": "1m"})
    house.engine.add_image("app:1", Volumes={"/data": {}})
    house.declare("web")
    house.apply()
    house.engine.fill(house.id_of("web"), 600_000)
    house.engine.fill(house.id_of("web"), 600_000, volume="/data")
    controller = house.controller()
    controller.tell(Notice.RESYNC_ASKED)
    eventually(lambda: controller.work() or house.status("web").reason is Reason.DISK_EXCEEDED)
    eventually(lambda: controller.work() or house.status("web").phase is Phase.FAILED)
    controller.apply(0)
    house.apply()
    assert house.writes() == []
    assert not {"written", "volume_sizes"} & set(house.engine.calls)
    house.declare("web", mem_limit="256m")
    house.apply()
    assert house.running() == ["web"]


def test_a_sandbox_that_was_removed_is_forgotten(house: House) -> None:
    """Without a file and without a container there is no status."""
    house.declare("web")
    house.apply()
    house.remove("web")
    house.apply()
    assert house.store.statuses() == {}
    assert house.engine.containers() == ()


def test_a_missing_image_is_pulled_in_the_sandboxes_own_plan(house: House) -> None:
    """What is not there is pulled, and what cannot be pulled fails for that sandbox alone."""
    house.engine.registry["other:2"] = {}
    house.declare("web", image="other:2")
    house.declare("bad", image="missing:3")
    house.apply()
    assert house.running() == ["web"]
    assert house.status("web").digest.startswith("other@sha256:")
    assert house.status("bad").phase is Phase.BACKOFF


def test_a_taken_random_port_is_drawn_anew(house: House) -> None:
    """A stranger on our port costs one attempt."""
    house.declare("web")
    house.apply()
    port = house.status("web").ports[3000]
    house.engine.exit(house.id_of("web"), 1)
    binding = {"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
    house.engine.run_foreign("stranger", IMAGE, ExposedPorts={"3000/tcp": {}}, HostConfig={"PortBindings": binding})
    house.apply()
    assert house.status("web").reason == "PortTaken"
    status = house.status("web").model_copy(update={"retry_at": 0.0})
    (house.root / "state" / "status" / "web.json").write_text(status.model_dump_json())
    house.apply()
    assert house.running() == ["web"]
    assert house.status("web").ports[3000] != port


@pytest.mark.parametrize(("whose", "looks"), [("of a sandbox", 1), ("a stranger's", 1), ("gone before", 0)])
def test_a_removal_is_looked_at_unless_the_last_list_told_it(house: House, whose: str, looks: int) -> None:
    """The engine tells of a removal after it has answered who asked for it; by then the list may be without it."""
    house.declare("web")
    house.apply()
    web = house.id_of("web")
    labels = {"reconciler.instance": "default", "reconciler.sandbox": "web", "reconciler.fingerprint": "0" * 64}
    stranger = house.engine.run_foreign("stranger", IMAGE, Labels=labels)
    gone = {"of a sandbox": web, "a stranger's": stranger, "gone before": "f" * 64}[whose]
    controller = house.controller()
    controller.work()
    house.engine.calls.clear()
    controller.tell(EngineEvent(Event(gone, Happening.REMOVED)))
    time.sleep(0.3)  # passes rest for a moment
    controller.work()
    assert house.engine.calls.count("containers") == looks
    controller.apply(0)


def test_a_network_is_looked_at_before_anything_starts_in_it(house: House) -> None:
    """What the engine makes of a request for a network may be unfit, also on a fresh host."""

    def spoil(call: str) -> None:
        if call == "create_network":
            for network in house.engine.raw_networks.values():
                network["Options"] = {}

    house.declare("web")
    house.engine.after_call = spoil
    house.apply()
    assert (house.running(), house.status("web").reason) == ([], Reason.NETWORK_UNFIT)


def test_an_approval_does_not_outlive_the_file_that_came_back(house: House) -> None:
    """What is declared again needs another approval when it goes again."""
    house.decree(removals={"max": 0, "share": 0})
    house.declare("web")
    house.apply()
    house.remove("web")
    house.apply()
    house.approve()
    house.declare("web")
    house.apply()
    house.remove("web")
    house.apply()
    assert house.running() == ["web"]
    assert house.status("web").reason == Reason.REMOVAL_BUDGET_EXCEEDED
