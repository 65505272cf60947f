"""Whose a container is: by its labels and its name, and by what it is when somebody has renamed it."""

import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.main import cli
from reconciler.control.settings import Settings
from reconciler.model.capabilities import ALL
from reconciler.model.container import MOUNTED, Deviation
from reconciler.model.errors import OwnershipUnclear
from reconciler.model.labels import Owner
from reconciler.model.world import EngineFacts, Image, Inspection, State, Summary, Unmanaged
from reconciler.planning import ownership
from reconciler.planning.backoff import MIN_READY_SECONDS
from tests.house import IMAGE, House
from tests.scene import Scene

RENAMED = "somebody-renamed-it"


def labels_of(house: House, name: str) -> dict[str, str]:
    found = house.engine.inspect(house.id_of(name)).spec
    assert found is not None
    return dict(found.labels)


def ready_at_once(house: House) -> None:
    """What has failed and starts from now on need not run for a while before `apply` is content."""
    house.engine.clock = lambda: time.time() - MIN_READY_SECONDS


def unmanaged(house: House) -> list[str]:
    """`NAME: WHY` of each."""
    controller = house.store.controller()
    assert controller is not None
    told = (line.split(" (")[0].rpartition(": ") for line in controller.unmanaged)
    return [f"{name}: {why}" for why, _, name in told]


@pytest.fixture
def pair(house: House) -> House:
    for name in ("web", "other"):
        house.declare(name)
    house.apply()
    return house


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_renamed_container_gets_its_name_back_and_disturbs_nobody(pair: House, state: str) -> None:
    """One odd container is its own trouble: a killed neighbour comes back, a new file is read, nothing runs twice."""
    web = pair.id_of("web")
    pair.engine.give_name(web, RENAMED)
    pair.engine.kill(pair.id_of("other"))
    ready_at_once(pair)
    if state == "lost":
        pair.lose_state()
    pair.declare("new")
    assert pair.apply().available
    assert pair.running() == ["new", "other", "web"]
    assert pair.id_of("web") == web
    assert f"rename {RENAMED}" in pair.writes()
    assert pair.engine.raw_containers[web]["Name"].startswith("/reconciler.default.web.")


def test_a_renamed_container_is_replaced_when_its_file_has_changed(pair: House) -> None:
    """It is ours whatever its name: never two for one name."""
    pair.engine.give_name(pair.id_of("web"), RENAMED)
    pair.declare("web", mem_limit="256m")
    pair.apply()
    assert pair.running() == ["other", "web"]
    assert len(pair.engine.containers()) == 2


def test_one_that_was_renamed_and_changed_stands_for_its_sandbox(pair: House) -> None:
    """Without a state directory nobody can prove that it is ours: it is told, untouched, counted, and runs alone."""
    web = pair.id_of("web")
    pair.engine.give_name(web, RENAMED)
    pair.engine.update(web, Memory=1 << 30)
    pair.lose_state()
    pair.decree(sandboxes_max=2)
    pair.declare("new")
    pair.apply()
    assert unmanaged(pair)[0].startswith(f"{RENAMED}: its name is not ours, and its mem")
    assert pair.running() == ["other", "web"]
    assert (pair.status("web").reason, pair.status("new").reason) == ("Unmanaged", "LimitExceeded")
    assert "web (unmanaged)" in pair.status("new").message


@pytest.mark.parametrize("copied", ["by the image", "by another tool"])
def test_copied_labels_make_no_container_ours(pair: House, copied: str) -> None:
    """Images carry labels, and other tools copy them: such a container is told, never touched, and stops nobody."""
    own = labels_of(pair, "web")
    own.pop("reconciler.source")
    if copied == "by the image":
        pair.engine.add_image("copy:1", Labels=own)
        stranger = pair.engine.run_foreign("stranger", "copy:1")
    else:
        stranger = pair.engine.run_foreign("stranger", IMAGE, Labels=own)
    pair.engine.kill(pair.id_of("other"))
    pair.lose_state()
    pair.apply()
    assert unmanaged(pair)[0].startswith("stranger: its ")
    assert all("stranger" not in call for call in pair.writes())
    assert pair.engine.inspect(stranger).state == "running"
    assert pair.running() == ["other", "web", "web"]


def test_a_container_that_cannot_be_inspected_is_its_own_trouble(pair: House) -> None:
    """The engine refuses to describe one: the others are looked after, and nothing runs beside it."""
    web = pair.refuse_to_inspect("web")
    pair.engine.kill(pair.id_of("other"))
    ready_at_once(pair)
    assert pair.apply().available
    assert pair.running() == ["other", "web"]
    assert pair.status("web").reason == "Unmanaged"
    assert unmanaged(pair)[0].startswith(f"{web}: it cannot be inspected: layer")


def test_an_exchanged_mount_makes_no_container_somebody_elses(pair: House) -> None:
    """What the kernel tells of mounts is no configuration: a renamed container is stopped for it, not let be."""
    found = pair.engine.inspect(pair.id_of("web"))
    (summary,) = (one for one in pair.engine.containers() if one.id == pair.id_of("web"))
    exchanged = replace(found, deviations=(Deviation(MOUNTED, "not /srv/data at /data"),))
    image = Image("app:1", found.image_id, "")
    assert ownership.not_ours_by_proof(summary, exchanged, image, pair.settings.owner) is None


@pytest.mark.parametrize(("named", "counts"), [("stranger", False), ("reconciler.default.web.00000000", True)])
def test_a_source_that_an_image_brings_along_keeps_nobody_out(house: House, named: str, counts: bool) -> None:
    """Of another source is what also has the name that a controller gives."""
    own = {"instance": "default", "source": "another", "sandbox": "web", "fingerprint": "0" * 64, "ports": ""}
    house.engine.run_foreign(named, IMAGE, Labels={f"reconciler.{key}": value for key, value in own.items()})
    house.declare("web")
    house.apply()
    assert (house.status("web").reason == "OwnedByAnother") is counts


# --- several sources -------------------------------------------------------------------------------------------------


def test_another_directory_of_the_same_instance_removes_nothing(pair: House) -> None:
    """What another source owns is held, told, and counted under the limit."""
    second = pair.another("second", sandboxes_max=3)
    second.declare("web", mem_limit="256m")
    second.declare("mine")
    second.declare("more")
    second.apply()
    assert second.running() == ["mine", "other", "web"]
    assert second.status("web").reason == "OwnedByAnother"
    assert f"--adopt {pair.settings.owner.source}" in second.status("web").message
    assert second.status("more").reason == "LimitExceeded"
    assert len(unmanaged(second)) == 2


def test_a_directory_that_has_moved_is_adopted_by_name(pair: House) -> None:
    """What was owned is replaced, as labels cannot change; nothing has to be remembered for it."""
    second = pair.another("second")
    second.declare("web")
    adopted = second.adopting(pair.settings.owner.source)
    adopted.apply()
    assert adopted.running() == ["other", "web"]
    assert adopted.status("other").message.endswith("no file declares it; `reconciler approve` removes it")
    adopted.approve()
    adopted.apply()
    assert adopted.running() == ["web"]
    assert labels_of(adopted, "web")["reconciler.source"] == second.settings.owner.source
    second.lose_state()
    second.apply()
    assert second.writes() == []


@pytest.mark.parametrize(("label", "acts"), [("", True), ("mine", True), ("old", True), ("another", False)])
def test_whom_an_owner_acts_for(label: str, acts: bool) -> None:
    """Its own source, those that it adopted, and containers from before there were sources."""
    assert Owner("default", "mine", frozenset({"old"})).acts_for(label) is acts


HERE = socket.gethostname()


@pytest.mark.parametrize(("source", "fails"), [("", True), ("mine", False)])
@pytest.mark.parametrize(
    ("address", "name"), [("unix:///fake.sock", "elsewhere"), ("tcp://elsewhere", HERE), ("ssh://elsewhere", "")]
)
def test_the_source_must_be_named_for_an_engine_elsewhere(
    house: House, address: str, name: str, source: str, fails: bool
) -> None:
    """Where the engine's host is another one, be it of the same name, this host's id and paths say nothing."""
    house.engine.about = EngineFacts("Docker", "20.10", "1.41", ALL, host=name)
    house.host = address
    house.source = source
    house.declare("web")
    if fails:
        with pytest.raises(OwnershipUnclear, match=r"the engine is on elsewhere, .*--source"):
            house.apply()
    assert house.engine.containers() == () if fails else house.apply().available


def test_two_controllers_of_one_instance_and_engine_exclude_each_other(house: House) -> None:
    """Also with different directories and state directories; when the first one ends, the second can begin."""
    about: dict[str, Any] = {"name": "Docker", "version": "1", "api_version": "1", "capabilities": ALL}
    house.engine.about = EngineFacts(**about, id=f"engine of {house.root}")
    second = house.another("second")
    first = house.controller()
    first.work()
    with pytest.raises(OwnershipUnclear, match="another controller manages instance default"):
        second.apply()
    first.apply(0)
    assert second.apply().available


@pytest.mark.parametrize("named", ["boxes", "./boxes/", "x/../boxes", "boxes/../../BASE/boxes"])
def test_one_directory_is_one_source_however_it_is_written(tmp_path: Path, named: str) -> None:
    """A link is another source than what it leads to: it may lead elsewhere tomorrow."""
    (tmp_path / "boxes").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "boxes")

    def source(directory: Path) -> str:
        return Settings(directory, None, tmp_path / "state", "unix:///engine.sock", "default").owner.source

    assert source(tmp_path / named.replace("BASE", tmp_path.name)) == source(tmp_path / "boxes")
    assert source(tmp_path / "link") != source(tmp_path / "boxes")


def test_the_sources_of_a_variable_have_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path in one may have blanks."""
    monkeypatch.setenv("RECONCILER_ADOPT", "host:/srv/my boxes\nsecond\n")
    assert cli.make_context("reconciler", ["status"]).params["adopted"] == ("host:/srv/my boxes", "second")


OWNED = {"reconciler.sandbox": "web", "reconciler.fingerprint": "a" * 64, "reconciler.source": "mine"}
NAME = f"reconciler.default.web.{'a' * 8}"
INCOMPLETE = Unmanaged("1" * 64, NAME, "its labels are not complete")


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, None),
        ({"reconciler.source": ""}, None),
        ({"reconciler.ports": "3000:61000,80:61001"}, None),
        ({"reconciler.ports": "3000"}, INCOMPLETE),
        ({"reconciler.sandbox": ""}, INCOMPLETE),
        ({"reconciler.sandbox": "Web"}, INCOMPLETE),
        ({"reconciler.fingerprint": ""}, INCOMPLETE),
        ({"reconciler.fingerprint": "A" * 64}, INCOMPLETE),
        ({"reconciler.fingerprint": "a" * 63}, INCOMPLETE),
        ({"reconciler.source": "x"}, Unmanaged("1" * 64, NAME, "owned by x", "web", up=True, source="x")),
        (
            {"reconciler.source": "x", "reconciler.fingerprint": "b" * 64},
            Unmanaged("1" * 64, NAME, "owned by x"),
        ),
    ],
)
def test_a_container_is_ours_by_labels_that_are_complete(changed: dict[str, str], found: Unmanaged | None) -> None:
    """One of another source stands for its sandbox, if it has the name that only we give."""
    summary = Summary("1" * 64, NAME, OWNED | changed, State.RUNNING, None, 0)
    assert ownership.not_ours_by_labels(summary, Owner("default", "mine")) == found


def test_a_row_that_cannot_be_believed_counts_as_its_sandbox() -> None:
    """Nothing is started beside it, also while it is down."""
    summary = Summary("1" * 64, NAME, OWNED, State.EXITED, None, 0, why_unreadable="it is odd")
    assert ownership.not_ours_by_labels(summary, Owner("default", "mine")) == Unmanaged(
        "1" * 64, NAME, "it is odd", "web", up=False
    )


def test_a_misnamed_container_is_ours_when_only_we_can_have_made_it() -> None:
    """Its image must be there, as the labels could be its; one that has our source and was changed may be ours."""
    inspection = Scene().container("web").inspection
    changed = replace(inspection, deviations=(Deviation("Devices", "/dev/kmsg"),))
    image = Image("app:1", "sha256:0", "")
    copied = replace(image, labels={"reconciler.fingerprint": "a" * 64})
    summary = Summary("1" * 64, "other", OWNED, State.RUNNING, None, 0)
    unsourced = replace(summary, labels={key: OWNED[key] for key in OWNED if key != "reconciler.source"})
    gone, odd = "its image is gone", "its Devices: /dev/kmsg should be nothing"

    def told(summary: Summary, inspection: Inspection, image: Image | None) -> tuple[str, str | None] | None:
        found = ownership.not_ours_by_proof(summary, inspection, image, Owner("default", "mine"))
        return (found.why, found.sandbox) if found else None

    assert told(summary, inspection, image) is None
    assert told(summary, inspection, copied) == ("its labels are its image's", None)
    assert told(summary, inspection, None) == (f"its name is not ours, and {gone}", "web")
    assert told(unsourced, inspection, None) == (f"its name is not ours, and {gone}", None)
    assert told(summary, changed, image) == (f"its name is not ours, and {odd}", "web")
    assert told(unsourced, changed, image) == (f"its name is not ours, and {odd}", None)
