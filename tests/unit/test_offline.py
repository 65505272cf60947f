"""`plan --against`: from a saved status follow the decisions that the controller itself would make."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reconciler.cli.main import cli
from reconciler.control.clock import SystemClock
from reconciler.control.reconcile import reconcile_once
from reconciler.model.capabilities import ALL, Knob, SetBy
from reconciler.model.plan import Plan, Reason, SandboxPlan, Verdict
from reconciler.model.status import Saved
from reconciler.planning.offline import plan_from
from reconciler.sources.directory import Directory
from tests.house import House
from tests.scene import without_fingerprints

NOW = time.time() + 60

WEB: dict[str, Any] = {
    "environment": {"TOKEN": "1", "OLD": "x"},
    "labels": {"tier": "front"},
    "command": ["serve"],
    "tmpfs": ["/run:size=8m"],
    "stop_grace_period": "5s",
}


@dataclass
class StoppedClock(SystemClock):
    at: float

    def now(self) -> float:
        return self.at


def saved(house: House) -> Saved:
    controller = house.store.controller()
    assert controller is not None
    whole = Saved(controller=controller, sandboxes=tuple(house.store.statuses().values()))
    return Saved.model_validate_json(whole.model_dump_json())


def by_status(house: House, told: Saved, now: float = NOW) -> Plan:
    return plan_from(told, Directory(house.settings.directory).scan(), house.settings.policy(), b"offline", now)


def by_engine(house: House, now: float = NOW) -> Plan:
    """What the controller, going on now, would do."""
    return reconcile_once(house.settings, house.engine, StoppedClock(now)).plan


def told(plans: Iterable[SandboxPlan]) -> list[tuple[Any, ...]]:
    return [
        (without_fingerprints(str(planned)), planned.message, planned.changes, planned.problems) for planned in plans
    ]


EDITS: dict[str, Callable[[House], object]] = {
    "nothing": lambda _: None,
    "a change": lambda house: house.declare("web", **{**WEB, "mem_limit": "64m", "command": ["other"]}),
    "what is taken away": lambda house: house.declare("web", environment={"TOKEN": "1"}),
    "a new name": lambda house: house.declare("web", **{**WEB, "environment": {"TOKEN": "1", "OLD": "x", "NEW": "2"}}),
    "a fixed port": lambda house: house.declare("web", **WEB, ports=[{"target": 3000, "published": 18080}]),
    "another port": lambda house: house.declare("web", **WEB, ports=[3000, 4000]),
    "no file": lambda house: house.remove("web"),
    "no file of what is held": lambda house: house.remove("held"),
    "a file too many": lambda house: house.declare("new"),
    "a place that gets free": lambda house: (house.remove("web"), house.declare("new")),
    "a broken file": lambda house: (house.root / "sandboxes.d" / "web.yaml").write_text("image: ["),
    "a name that is no sandbox's": lambda house: (house.root / "sandboxes.d" / "web.yaml").rename(
        house.root / "sandboxes.d" / "Web.yaml"
    ),
    "a file that is refused": lambda house: house.declare("web", mem_limit="8g"),
    "a stricter policy": lambda house: house.decree(sandboxes_max=3, images=["other:*"]),
    "labels of the policy": lambda house: house.decree(sandboxes_max=3, labels={"owner": "host"}),
    "state stopped": lambda house: house.declare("web", **WEB, state="stopped"),
    "suspended": lambda house: house.declare("web", **WEB, suspend="hands off"),
    "what was stopped runs": lambda house: house.declare("off"),
    "what was held goes on": lambda house: house.declare("held", cpus=0.5),
}


@pytest.fixture
def settled(house: House) -> House:
    """One that runs, one that runs and is held since, one that is stopped, one that has ended, one that waits."""
    house.decree(sandboxes_max=3)
    house.declare("web", **WEB)
    house.declare("held")
    house.declare("off", state="stopped")
    house.declare("ended", restart="no")
    house.apply()
    house.engine.exit(house.id_of("ended"), 0)
    house.declare("held", suspend="hands off")
    house.apply()
    return house


@pytest.mark.parametrize("edit", EDITS)
def test_a_saved_status_and_the_engine_lead_to_the_same(settled: House, edit: str) -> None:
    """What is done, why, and in which fields: all that a plan says but the pulls of images is equal."""
    before = saved(settled)
    EDITS[edit](settled)
    assert told(by_status(settled, before).sandboxes) == told(by_engine(settled).sandboxes)


def test_a_value_of_environment_is_compared_with_the_engine_alone(settled: House) -> None:
    """With it the name of the variable is told; without it, that values are not compared."""
    before = saved(settled)
    settled.declare("web", **{**WEB, "environment": {"TOKEN": "2", "OLD": "x"}})
    plan = by_status(settled, before)
    assert [planned.verdict for planned in plan.sandboxes if planned.sandbox == "web"] == [Verdict.KEEP]
    assert plan.unseen == "values of environment are not compared, as no status has them"
    for output in ("text", "json", "markdown"):
        assert plan.unseen in against(settled, before.model_dump_json(), "-o", output).stdout
    assert by_engine(settled).unseen == ""
    (planned,) = (planned for planned in by_engine(settled).sandboxes if planned.sandbox == "web")
    assert list(map(str, planned.changes)) == ["environment.TOKEN: (hidden) should be (changed)"]


def test_that_values_are_not_compared_is_told_where_there_are_some(house: House) -> None:
    """Nobody reads a note again that says nothing."""
    house.declare("web")
    house.apply()
    assert by_status(house, saved(house)).unseen == ""


def test_a_failure_rests_in_a_plan_too(house: House) -> None:
    """Neither a saved status nor a plan with an engine knows the salt of what has no container."""
    house.declare("web", image="missing:1", environment={"TOKEN": "1"})
    house.apply(1)
    before, now = saved(house), time.time()
    for plan in (by_status(house, before, now), by_engine(house, now)):
        assert [(planned.verdict, planned.cause) for planned in plan.sandboxes] == [
            (Verdict.WAIT, Reason.IMAGE_PULL_FAILED)
        ]


def test_a_container_is_not_taken_for_what_failed_to_replace_it(settled: House) -> None:
    """The status is about what its file says now, and its container is still the one before."""
    settled.declare("web", **{**WEB, "image": "missing:1"})
    settled.apply(1)
    before, now = saved(settled), time.time()
    assert told(by_status(settled, before, now).sandboxes) == told(by_engine(settled, now).sandboxes)


def test_the_salt_of_a_plan_is_nobodys(settled: House) -> None:
    """A plan is put where many read it: the names in it are others each time, for the same values."""
    before = saved(settled).model_dump_json()
    settled.declare("web", environment={"OTHER": "1"})
    plans = {against(settled, before, "-o", "json").stdout for _ in range(2)}
    assert len(plans) == 2
    assert len(set(map(without_fingerprints, plans))) == 1


def test_what_runs_of_a_container_that_nobody_remembers_still_counts(settled: House) -> None:
    """Of a status that lost what the container was made from, the decision is the same, and no field is told."""
    before = saved(settled)
    forgetful = before.model_copy(
        update={"sandboxes": tuple(one.model_copy(update={"configuration": {}}) for one in before.sandboxes)}
    )
    settled.declare("web", **{**WEB, "mem_limit": "64m"})
    plans = by_engine(settled).sandboxes
    expected = [replace(planned, changes=(), message="") if planned.changes else planned for planned in plans]
    assert told(by_status(settled, forgetful).sandboxes) == told(expected)


def removals_wait(house: House) -> None:
    house.decree(sandboxes_max=9, removals={"max": 1, "share": 0})
    for name in ("a", "b", "c"):
        house.declare(name)
    house.apply()
    for name in ("a", "b"):
        house.remove(name)
    house.apply()


def removals_are_used_up(house: House) -> None:
    house.decree(sandboxes_max=9, removals={"max": 1, "share": 0, "window": "24h"})
    for name in ("a", "b"):
        house.declare(name)
    house.apply()
    house.remove("a")
    house.apply()
    house.remove("b")


def another_owns_one_that_runs(house: House) -> None:
    house.decree(sandboxes_max=2)
    other = house.another("other")
    other.declare("web")
    other.apply()
    house.declare("web")
    house.apply()


def another_owns_one_that_is_stopped(house: House) -> None:
    another_owns_one_that_runs(house)
    house.engine.stop(house.id_of("web"), 0)
    house.apply()


def the_network_is_unfit(house: House) -> None:
    house.engine.add_network("reconciler.default")
    house.declare("web")
    house.apply()


def the_engine_is_unfit(house: House) -> None:
    house.engine.about = replace(house.engine.about, capabilities=ALL | {Knob.SWAP: SetBy.NOBODY})
    house.declare("web")
    house.apply()


def one_cannot_be_inspected(house: House) -> None:
    house.declare("web")
    house.apply()
    house.refuse_to_inspect("web")
    house.engine.kill(house.id_of("web"))
    house.apply()


def one_has_a_volume(house: House) -> None:
    data = house.root / "data"
    data.mkdir()
    house.decree(volumes=[{"root": str(house.root)}])
    house.declare("web", volumes=[{"source": str(data), "target": "/data"}])
    house.apply()


TROUBLES: dict[str, tuple[Callable[[House], None], Callable[[House], object]]] = {
    "removals wait": (removals_wait, lambda house: house.remove("c")),
    "removals wait under another policy": (removals_wait, lambda house: house.decree(removals={"max": 2, "share": 0})),
    "removals are used up": (removals_are_used_up, lambda _: None),
    "another's runs, and uses a slot": (
        another_owns_one_that_runs,
        lambda house: (house.declare("a"), house.declare("b")),
    ),
    "another's is stopped": (another_owns_one_that_is_stopped, lambda house: (house.declare("a"), house.declare("b"))),
    "one cannot be inspected": (one_cannot_be_inspected, lambda house: house.declare("a")),
    "one has a volume": (one_has_a_volume, lambda house: house.declare("a")),
    "the engine is unfit": (the_engine_is_unfit, lambda house: house.declare("a")),
    "the network is unfit": (the_network_is_unfit, lambda house: (house.declare("a"), house.declare("web", cpus=0.5))),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_hinders_the_controller_hinders_the_plan(house: House, trouble: str) -> None:
    """Removals that wait, what is not ours, a network in which nothing is started, volumes: none of it is forgotten."""
    begun, edit = TROUBLES[trouble]
    begun(house)
    before = saved(house)
    edit(house)
    assert told(by_status(house, before).sandboxes) == told(by_engine(house).sandboxes)


def test_a_slot_that_a_stranger_uses_is_not_given_away(house: House) -> None:
    """Also when nothing but its name is known; and nothing is started beside what may stand for a sandbox."""
    house.decree(sandboxes_max=2)
    house.declare("web")
    house.apply()
    before = saved(house)
    used = {"slots_used_by_unmanaged": ("stranger",)}
    strangers = before.model_copy(update={"controller": before.controller.model_copy(update=used)})
    house.declare("new")
    assert [planned.verdict for planned in by_status(house, strangers).sandboxes] == [Verdict.WAIT, Verdict.KEEP]
    assert [planned.verdict for planned in by_status(house, before).sandboxes] == [Verdict.CREATE, Verdict.KEEP]


def against(house: House, text: str, *more: str) -> Result:
    settings = house.settings
    options = ["--dir", str(settings.directory), "--policy", str(settings.policy_file)]
    return CliRunner().invoke(cli, [*options, "plan", "--against", "-", *more], input=text, env={"COLUMNS": "80"})


def test_the_command_reads_what_status_wrote(settled: House) -> None:
    """From `status -o json` to a plan, without an engine and without a state directory."""
    status = CliRunner().invoke(cli, ["--state", str(settled.settings.state), "status", "-o", "json"])
    same = against(settled, status.stdout)
    assert (same.exit_code, same.stdout.splitlines()[-1]) == (0, "Plan: nothing to do, 1 held, 3 unchanged.")
    settled.declare("web", **{**WEB, "cpus": 0.5})
    changed = against(settled, status.stdout)
    assert changed.exit_code == 2
    assert "    cpus  1 -> 0.5\n" in changed.stdout


@pytest.mark.parametrize("edit", ["a broken file", "a file that is refused", "a name that is no sandbox's"])
def test_a_file_that_cannot_be_applied_fails_the_plan(settled: House, edit: str) -> None:
    """As it would fail `apply`; also beside changes, which nobody should take for the whole."""
    before = saved(settled).model_dump_json()
    EDITS[edit](settled)
    assert against(settled, before).exit_code == 1
    settled.declare("held", cpus=0.5)
    changed = against(settled, before)
    assert "1 to replace" in changed.stdout
    assert changed.exit_code == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda told: told.pop("controller"), "is not a saved status"),
        (lambda told: told["sandboxes"].pop(), "does not hold all sandboxes"),
        (lambda told: told["controller"].update(available=False), "saved while no engine answered"),
    ],
)
def test_a_status_that_does_not_say_what_runs_is_an_error(
    settled: House, change: Callable[[dict[str, Any]], object], error: str
) -> None:
    """Unknown is not nothing: no plan is made from half a status."""
    told = saved(settled).model_dump(mode="json")
    change(told)
    failed = against(settled, json.dumps(told))
    assert failed.exit_code == 1
    assert error in failed.stderr


@pytest.mark.parametrize("output", ["text", "json", "markdown"])
def test_a_plan_in_the_middle_of_a_merge_says_that_it_waits(settled: House, output: str) -> None:
    """It shows what the files say all the same; nothing of it is done now, so it is no change."""
    told = saved(settled).model_dump_json()
    (settled.root / ".git").mkdir()
    (settled.root / ".git" / "MERGE_HEAD").touch()
    settled.remove("web")
    planned = against(settled, told, "-o", output)
    assert (planned.exit_code, planned.stderr) == (0, "")
    assert "a git merge is under way since" in planned.stdout
    assert "Plan: nothing to do yet, 1 to remove, 1 held, 2 unchanged." in planned.stdout
    if output == "json":
        plan = json.loads(planned.stdout)
        assert plan["waits"].startswith("a git merge is under way since")
        assert not plan["changes"]
    settled.declare("off", mem_limit="8g", state="stopped")
    assert against(settled, told, "-o", output).exit_code == 1


def test_a_policy_that_was_forgotten_is_told(settled: House) -> None:
    """The controller had a policy file; a plan without one is made, with a warning."""
    told = saved(settled).model_dump_json()
    done = CliRunner().invoke(cli, ["--dir", str(settled.settings.directory), "plan", "--against", "-"], input=told)
    assert done.exit_code == 0
    assert "give it with --policy" in done.stderr
