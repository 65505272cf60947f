"""`reconciler plan`: what people read of a plan, as a text and as Markdown."""

import json
from dataclasses import replace
from typing import Any

import click
import pytest

from reconciler.cli.format import plan_markdown, plan_text
from reconciler.cli.format.plan_entries import Entry, as_json, entries, summary
from reconciler.cli.format.terminal import escaped
from reconciler.model.desired import Desired
from reconciler.model.errors import Problem
from reconciler.model.plan import Plan, Reason
from reconciler.model.world import State
from reconciler.planning.describe import configuration
from tests.scene import NOW, Scene, up_to

SECRET = "correct-horse-battery-staple"  # noqa: S105 - it must not turn up anywhere


def remembered(scene: Scene, name: str, **keys: Any) -> None:
    """A running container, and the status that knows what it was made from."""
    container = scene.container(name, **keys)
    scene.remember(name, container, configuration=configuration(scene.rendered(name, 61000, **keys).spec))


def decided(scene: Scene) -> tuple[Plan, Desired]:
    return scene.plan(), scene.desired()


def text(scene: Scene, width: int = 80) -> str:
    plan, desired = decided(scene)
    told = plan_text.lines(entries(plan, desired, NOW), width)
    return click.unstyle("\n".join([*map(escaped, told), summary(plan, desired), ""]))


def markdown(scene: Scene) -> str:
    plan, desired = decided(scene)
    return "\n".join([*plan_markdown.lines(entries(plan, desired, NOW), summary(plan, desired)), ""])


@pytest.fixture
def edited() -> Scene:
    """Something of everything."""
    scene = Scene(policy=up_to(4))
    scene.declare("same")
    scene.container("same")
    remembered(scene, "web", environment={"TOKEN": SECRET, "OLD": SECRET}, labels={"tier": "front"}, command=["serve"])
    scene.declare("web", mem_limit="256m", environment={"TOKEN": SECRET + "2", "NEW": SECRET}, labels={"team": "a|b"})
    scene.container("gone")
    scene.container("off")
    scene.declare("off", state="stopped")
    scene.declare("new")
    scene.declare("held", suspend="ask @octocat")
    scene.declare("greedy", mem_limit="1g")
    scene.broken.add("bad")
    return scene


def test_a_plan_is_read_from_what_is_done_to_what_needs_somebody(edited: Scene) -> None:
    """Each sandbox with the reason, each field with old and new; unchanged ones are only counted."""
    assert (
        text(edited)
        == """\
- remove   gone    its file is gone
- stop     off     the file says `state: stopped`
~ replace  web     its configuration has changed
    command            ["serve"] -> nothing
    environment.NEW    (added)
    environment.OLD    (removed)
    environment.TOKEN  (changed)
    labels.team        nothing -> a|b
    labels.tier        front -> nothing
    mem_limit          512m -> 256m
. wait     new     4 of 4 slots are used; stop or remove one, or raise
                   sandboxes_max; used by gone, off, same, web
! hold     held    it is suspended: ask @octocat
! refuse   greedy  the policy forbids it; the running container is left
                   unchanged
    greedy.yaml: mem_limit 1g is over the policy's ceiling (at most 512m)
! broken   bad     invalid file; the running container is left unchanged until
                   it is fixed
    bad.yaml:1:1: it is broken
Plan: 1 to replace, 1 to stop, 1 to remove, 1 waits, 1 held, 1 refused, 1 broken, 1 unchanged.
"""
    )


def test_markdown_is_a_summary_a_table_and_details(edited: Scene) -> None:
    """What nobody may overlook comes before the table; nobody is mentioned, and no cell ends too early."""
    assert (
        markdown(edited)
        == """\
**Plan: 1 to replace, 1 to stop, 1 to remove, 1 waits, 1 held, 1 refused, 1 broken, 1 unchanged.**

> [!CAUTION]
> Not accepted, or on hold: <code>held</code>, <code>greedy</code>, <code>bad</code>.

| sandbox | what | why |
|---|---|---|
| <code>gone</code> | **remove** | its file is gone |
| <code>off</code> | **stop** | the file says &#96;state: stopped&#96; |
| <code>web</code> | **replace** | its configuration has changed |
| <code>new</code> | **wait** | 4 of 4 slots are used; stop or remove one, or raise sandboxes&#95;max; used by \
gone, off, same, web |
| <code>held</code> | **hold** | it is suspended: ask &#64;&#8203;octocat |
| <code>greedy</code> | **refuse** | the policy forbids it; the running container is left unchanged |
| <code>bad</code> | **broken** | invalid file; the running container is left unchanged until it is fixed |

<details><summary>replace <code>web</code></summary>

| field | old | new |
|---|---|---|
| <code>command</code> | <code>&#91;"serve"&#93;</code> | <code>nothing</code> |
| <code>environment.NEW</code> |  | <code>(added)</code> |
| <code>environment.OLD</code> |  | <code>(removed)</code> |
| <code>environment.TOKEN</code> |  | <code>(changed)</code> |
| <code>labels.team</code> | <code>nothing</code> | <code>a&#124;b</code> |
| <code>labels.tier</code> | <code>front</code> | <code>nothing</code> |
| <code>mem&#95;limit</code> | <code>512m</code> | <code>256m</code> |

</details>

<details open><summary>refuse <code>greedy</code></summary>

- greedy.yaml: mem&#95;limit 1g is over the policy's ceiling (at most 512m)

</details>

<details open><summary>broken <code>bad</code></summary>

- bad.yaml:1:1: it is broken

</details>
"""
    )


def test_json_has_everything_and_no_secret(edited: Scene) -> None:
    """Also what is unchanged; no form of a plan has a value of environment."""
    plan, desired = decided(edited)
    told = as_json(plan, desired, NOW)
    sandboxes = {planned["name"]: planned for planned in told["sandboxes"]}
    assert sandboxes.keys() == {"same", "web", "gone", "off", "new", "held", "greedy", "bad"}
    assert {"field": "mem_limit", "old": "512m", "new": "256m"} in sandboxes["web"]["changes"]
    assert sandboxes["bad"]["problems"] == [
        {"file": "bad.yaml", "line": 1, "column": 1, "message": "it is broken", "hint": "", "rule": ""}
    ]
    assert SECRET not in json.dumps(told) + text(edited) + markdown(edited)


def test_nothing_to_do_is_one_line() -> None:
    """When all is as declared there is nothing to read."""
    scene = Scene()
    scene.declare("web")
    scene.container("web")
    assert text(scene) == "Plan: nothing to do, 1 unchanged.\n"


def test_a_long_value_gets_lines_of_its_own() -> None:
    """What does not fit beside the other value is put below it, and nothing is wider than the terminal."""
    scene = Scene()
    remembered(scene, "web", command=["sh", "-c", "while true; do echo hello | nc -l 3000; done"])
    scene.declare("web", command=["sh", "-c", "while true; do echo good morning to all of you | nc -l 3000; done"])
    assert (
        text(scene)
        == """\
~ replace  web  its configuration has changed
    command
      - ["sh", "-c", "while true; do echo hello | nc -l 3000; done"]
      + ["sh", "-c", "while true; do echo good morning to all of you | nc -l
        3000; done"]
Plan: 1 to replace.
"""
    )


def test_texts_that_differ_late_are_told_apart() -> None:
    """A value is cut, and says by a hash that it is another one all the same."""
    scene = Scene()
    remembered(scene, "web", command=["x" * 400 + "1"])
    scene.declare("web", command=["x" * 400 + "2"])
    (change,) = scene.plan().sandboxes[0].changes
    assert change.actual != change.expected
    assert max(map(len, (change.actual, change.expected))) < 250


def test_without_a_memory_what_was_taken_away_is_not_guessed() -> None:
    """An image brings variables and labels too: those of the old container alone are told only when it is sure."""
    scene = Scene()
    scene.container("web", environment={"OLD": "1"}, labels={"tier": "front"})
    scene.declare("web", environment={"NEW": "1"})
    assert [change.knob for change in scene.plan().sandboxes[0].changes] == ["environment.NEW"]


def test_a_change_that_is_not_known_is_told_as_one() -> None:
    """Where no field differs the sentence says what may."""
    scene = Scene()
    remembered(scene, "web", environment={"A": "1"})
    scene.declare("web", environment={"A": "2"})
    planned = replace(scene.plan().sandboxes[0], changes=())
    (told,) = entries(Plan(sandboxes=(planned,)), scene.desired(), NOW)
    assert "a value of environment" in told.why


def test_what_rests_says_what_failed_and_until_when() -> None:
    """A failure is told with its reason and the time that is left."""
    scene = Scene()
    scene.declare("web")
    scene.failed("web", Reason.IMAGE_PULL_FAILED, retry_in=40)
    assert (
        text(scene)
        == """\
. wait     web  it failed (ImagePullFailed): it failed; it is tried again in 40s
Plan: nothing to do, 1 waits.
"""
    )


def test_a_port_that_will_be_drawn_is_not_made_up() -> None:
    """A plan that nobody carries out draws no port, which another one would be when it is carried out."""
    scene = Scene(seed=None)
    remembered(scene, "web")
    scene.declare("web", ports=[3000, 4000])
    assert "3000/tcp on 127.0.0.1:61000, 4000/tcp on 127.0.0.1:(random)" in text(scene, 200)


def test_files_that_no_sandbox_can_come_of_are_told() -> None:
    """They stand beside the broken ones."""
    scene = Scene()
    invalid_name = Problem("Bad Name.yaml", 0, 0, "is not NAME.yaml", "rename it to bad-name.yaml")
    plan, desired = scene.plan(), replace(scene.desired(), invalid_names={"badname": (invalid_name,)})
    assert entries(plan, desired, NOW) == [
        Entry("ignore", "Bad Name.yaml", "not the file of a sandbox", (), (str(invalid_name),))
    ]
    assert summary(plan, desired) == "Plan: nothing to do, 1 file ignored."


HOSTILE = {
    "<script>": "&#60;script&#62;",
    "@octocat": "&#64;&#8203;octocat",
    "#12": "&#35;&#8203;12",
    "a|b": "a&#124;b",
    "`x` *y* _z_": "&#96;x&#96; &#42;y&#42; &#95;z&#95;",
    "[a](https://b)": "&#91;a&#93;(https&#58;//b)",
    "&lt;": "&#38;lt;",
    "a\\|b": "a&#92;&#124;b",
}


@pytest.mark.parametrize("words", HOSTILE)
def test_text_is_no_markup(words: str) -> None:
    """What is somebody's text in a comment mentions nobody, links nothing and opens no tag."""
    assert plan_markdown.escaped(words) == HOSTILE[words]


def test_a_container_that_exited_is_started_with_the_reason() -> None:
    """What the engine knows of the exit is told."""
    scene = Scene()
    scene.declare("web")
    scene.container("web", State.EXITED, exit_code=3)
    assert text(scene) == "~ start    web  exited with code 3\nPlan: 1 to start.\n"
