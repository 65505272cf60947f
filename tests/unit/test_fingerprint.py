"""Nobody finds a value of `environment` in what many can read; and a salt moves no container."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.container import ContainerSpec
from reconciler.model.labels import FINGERPRINT, SALT
from reconciler.model.plan import Reason
from reconciler.model.rendered import Rendered
from reconciler.model.world import State
from reconciler.planning.attest import attest
from reconciler.planning.fingerprint import fingerprints, is_about, salt_of
from tests.fake_engine import FakeEngine
from tests.house import IMAGE, House
from tests.scene import NOW, SECRET, Scene, observed, read, readback

Keys = dict[str, Any]

SAID: dict[str, tuple[Keys, Keys]] = {
    "a file": ({"environment": {"PIN": "?"}}, {}),
    "the policy": ({}, {"defaults": {"environment": {"PIN": "?"}}}),
}
"""Where a value may stand: the keys of a sandbox, and of the policy."""


def home(root: Path, where: str, value: str) -> House:
    """A host of somebody's own, on which all is as on the other one, but perhaps for the value."""
    (root / "sandboxes.d").mkdir(parents=True)
    house = House(root, FakeEngine(), source="known to all")
    house.engine.add_image(IMAGE)
    keys, policy = (_filled(one, value) for one in SAID[where])
    house.decree(**policy)
    house.declare("web", **keys)
    house.declare("failing", **{**keys, "image": "missing:1"})
    house.apply(2)
    return house


def _filled(keys: Keys, value: str) -> Keys:
    return {key: _filled(one, value) if isinstance(one, dict) else one.replace("?", value) for key, one in keys.items()}


def hashes(house: House) -> set[str]:
    """The first 8 digits of all that stand in names, statuses and the journal."""
    names = " ".join(one.name for one in house.engine.containers())
    files = "".join(path.read_text() for path in (house.root / "state").rglob("*.json*"))
    return {*re.findall(r"\.([0-9a-f]{8})\b", names), *re.findall(r"\b([0-9a-f]{8})[0-9a-f]{8,}\b", files)}


@pytest.mark.parametrize("where", SAID)
def test_no_value_is_found_by_guessing(tmp_path: Path, where: str) -> None:
    """Whoever knows all but a PIN tries each at home, and compares: none looks more right than another."""
    told = hashes(home(tmp_path / "host", where, "4711"))
    right, *wrong = (hashes(home(tmp_path / guess, where, guess)) & told for guess in ("4711", "4712", "4713"))
    assert wrong == [right, right]


def labels_of(house: House, name: str = "web") -> dict[str, str]:
    found = house.engine.inspect(house.id_of(name)).spec
    assert found is not None
    return dict(found.labels)


def test_the_salt_is_told_nowhere(house: House) -> None:
    """Nor once somebody has changed the container, and all labels are compared."""
    house.declare("web", environment={"PIN": "1"})
    house.apply()
    salt = labels_of(house)[SALT]
    house.engine.update(house.id_of("web"), Privileged=True)
    house.apply()
    told = [*(path.read_text() for path in (house.root / "state").rglob("*") if path.is_file()), *house.engine.calls]
    assert not any(salt in text for text in told)
    assert salt not in f"{house.engine.inspect(house.id_of('web'))} {house.engine.containers()}"


def test_another_controller_replaces_nothing_that_has_not_changed(house: House) -> None:
    """Each has a secret of its own; the salt comes from the container, and goes on to its successors."""
    house.declare("web", environment={"PIN": "1"})
    house.apply()
    first, container = labels_of(house), house.id_of("web")
    house.apply()
    house.lose_state()
    house.apply()
    assert house.id_of("web") == container
    house.declare("web", environment={"PIN": "2"})
    house.apply()
    second = labels_of(house)
    assert house.id_of("web") != container
    assert second[SALT] == first[SALT]
    assert second[FINGERPRINT] != first[FINGERPRINT]


@pytest.mark.parametrize("salt", ["", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "0" * 32 + "\n"])
def test_what_is_no_salt_is_not_inherited(house: House, salt: str) -> None:
    """Its container is replaced, once."""
    house.declare("web")
    house.apply()
    house.engine.raw_containers[house.id_of("web")]["Config"]["Labels"][SALT] = salt
    house.apply()
    assert re.fullmatch("[0-9a-f]{32}", labels_of(house)[SALT])
    house.apply()
    assert house.writes() == []


def test_a_stranger_gives_no_salt(house: House) -> None:
    """It may be one that somebody knows."""
    house.declare("web")
    own = {"instance": "default", "sandbox": "web", "fingerprint": "0" * 64, "salt": "0" * 32}
    labels = {f"reconciler.{key}": value for key, value in own.items()}
    container = house.engine.create_foreign("stranger", IMAGE, Labels=labels)
    house.apply(1)
    house.engine.remove(container)
    house.apply()
    assert labels_of(house)[SALT] != own["salt"]


A, B = "a" * 32, "b" * 32

SALTS = {
    "of none": ([], ""),
    "of one": ([(State.EXITED, NOW, A)], A),
    "what runs before what is newer": ([(State.RUNNING, NOW - 9, A), (State.CREATED, NOW, B)], A),
    "the newer of two that are down": ([(State.EXITED, NOW - 9, A), (State.CREATED, NOW, B)], B),
    "what is down, as what runs has none": ([(State.RUNNING, NOW - 9, ""), (State.CREATED, NOW, B)], B),
    "two of the same moment": ([(State.RUNNING, NOW, A), (State.RUNNING, NOW, B)], B),
}


@pytest.mark.parametrize("name", SALTS)
def test_which_salt_is_inherited(name: str) -> None:
    """One, whatever the order in which containers are listed; where there is none, it is made of the secret."""
    found, salt = SALTS[name]
    containers = [_salted(*one, f"{number}" * 64) for number, one in enumerate(found)]
    assert salt_of("web", containers, SECRET) == salt_of("web", containers[::-1], SECRET)
    made = salt_of("web", (), SECRET)
    assert salt_of("web", containers, SECRET) == (salt or made)
    assert made not in {salt_of("web", (), b"another"), salt_of("other", (), SECRET)}


def _salted(state: State, created_at: float, salt: str, container: str) -> Any:
    rendered = Scene().rendered("web", 61000)
    rendered.spec.labels[SALT] = salt  # type: ignore[index]
    return observed(rendered, container, state, created_at=created_at)


def test_a_label_with_another_salt_is_told_without_it() -> None:
    """A mismatch is written into statuses and the journal."""
    rendered = Scene().rendered("web", 61000)
    raw = readback(rendered, State.RUNNING, {})
    raw["Config"]["Labels"] = {**raw["Config"]["Labels"], SALT: A}
    assert list(map(str, attest(rendered, read(raw)))) == [
        "labels.reconciler.salt: another or none should be the sandbox's own"
    ]


def rendered(value: str, secret: bytes = SECRET, **keys: Any) -> Rendered:
    scene = Scene(secret=secret)
    scene.declare("web", environment={"PIN": value}, **keys)
    found = scene.plan().sandboxes[0].rendered
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (rendered("1"), True),
        (rendered("2"), False),
        (rendered("1", b"another"), True),
        (rendered("2", b"another"), True),
        (rendered("1", cpus=0.5), False),
        (rendered("1", b"another", cpus=0.5), False),
    ],
)
def test_what_a_status_is_about(now: Rendered, same: bool) -> None:
    """Another value counts as a change, unless the salt is another, too: then nobody can tell."""
    scene = Scene()
    scene.declare("web", environment={"PIN": "1"})
    first = rendered("1")
    scene.failed(
        "web", Reason.IMAGE_PULL_FAILED, fingerprint=first.fingerprint, public_fingerprint=first.public_fingerprint
    )
    assert is_about(scene.statuses["web"], now) is same


def test_an_upgrade_replaces_nothing() -> None:
    """A knob that came later than the epoch counts where it is said; else it is what the epoch's first version made."""
    spec = ContainerSpec("x", "x", 1, 1, 1, 1, "x", {"A": "b"}, {}, 1)
    before = "0ffb9095b889765af61a756ce59b5d8246be81ab08942b215b8261b488cbb46c"
    assert fingerprints(spec, "").public == before
    assert fingerprints(replace(spec, hostname="web"), "").public != before
    assert fingerprints(replace(spec, stop_signal="SIGINT"), "").public != before


def test_an_upgrade_replaces_nothing_with_a_health_check() -> None:
    """What a file leaves out of its check is what it was in the epoch's first version."""
    found = Scene().rendered("web", 61000, healthcheck={"test": ["CMD", "true"]})
    assert found.public_fingerprint == "44c8e0a7a7cbac8c3bf8c8b3e44a66722e5b62fcf88a1bb4a6d82c91345c215c"


def test_public_fingerprints_are_the_same_everywhere() -> None:
    """Whatever the values and the salt; not for other names, nor for a variable that has none."""
    assert rendered("1").public_fingerprint == rendered("2", b"another").public_fingerprint
    without, scene = rendered(""), Scene()
    assert without.public_fingerprint == rendered("1").public_fingerprint
    assert scene.rendered("web", 61000).public_fingerprint != without.public_fingerprint
