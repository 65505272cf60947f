"""`attest` finds every knob that differs from what was rendered, whoever turned it."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.engine.docker import decode
from reconciler.engine.docker.decode_spec import MUST_BE_EMPTY
from reconciler.engine.docker.encode import encode
from reconciler.model.plan import Reason
from reconciler.model.rendered import Mismatch, Rendered
from reconciler.model.world import Network, State
from reconciler.planning.attest import attest, start_blockers
from tests.fake_container import inspected
from tests.scene import Scene, read, readback

SECRET = "correct-horse-battery-staple"  # noqa: S105 - it must not turn up anywhere


@pytest.fixture
def rendered() -> Rendered:
    keys: dict[str, Any] = {
        "environment": {"TOKEN": SECRET},
        "command": ["serve"],
        "tmpfs": ["/run:size=8m"],
        "healthcheck": {"test": ["CMD", "true"]},
        "labels": {"team": "blue"},
        "working_dir": "/srv",
        "hostname": "web",
        "stop_signal": "SIGINT",
    }
    return Scene().rendered("web", 61000, **keys)


def knobs(rendered: Rendered, raw: dict[str, Any]) -> set[str]:
    return {mismatch.knob for mismatch in attest(rendered, read(raw))}


def test_what_is_as_rendered_has_no_mismatch(rendered: Rendered) -> None:
    """A faithful readback, with the image's own environment beside ours, is right."""
    assert knobs(rendered, readback(rendered, State.RUNNING, {})) == set()


OF_THE_IMAGE: dict[str, Any] = {
    "Entrypoint": ["/entry"],
    "Cmd": ["serve", "--all"],
    "WorkingDir": "/app/",
    "StopSignal": "SIGQUIT",
    "Env": ["PATH=/bin", "MODE=safe"],
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 2_000_000_000, "Retries": 5},
    "Labels": {"maintainer": "x", "reconciler.sandbox": "another"},
}
IMAGE = decode.image("app:1", {"Id": "sha256:0", "Config": OF_THE_IMAGE})


def left_open(**own: Any) -> tuple[Rendered, dict[str, Any]]:
    """A sandbox that leaves to its image what `own` does not say, and its container as Docker makes it."""
    rendered = Scene().rendered("web", 61000, **{"environment": {"TOKEN": SECRET}, **own})
    body = encode(rendered.spec)
    return rendered, inspected("1" * 64, "web", body, {"Id": "sha256:0", "Config": OF_THE_IMAGE}, 0)


OWN: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a command": {"command": ["other"]},
    "an entrypoint": {"entrypoint": ["/other"]},
    "a directory": {"working_dir": "/srv"},
    "a name": {"hostname": "web"},
    "a signal": {"stop_signal": "INT"},
    "a check without a time": {"healthcheck": {"test": ["CMD", "false"]}},
    "a check with a time": {"healthcheck": {"test": ["CMD", "false"], "start_period": "5s"}},
    "the same variable": {"environment": {"MODE": "other"}},
    "the same label": {"labels": {"maintainer": "y"}},
}


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_what_a_file_leaves_to_the_image_is_the_images(own: dict[str, Any]) -> None:
    """As an engine merges the two, nothing differs."""
    rendered, raw = left_open(**own)
    assert attest(rendered, read(raw), IMAGE) == ()


NOT_OF_THE_IMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "command": ({"Cmd": ["sh"]}, "command"),
    "no command": ({"Cmd": None}, "command"),
    "entrypoint": ({"Entrypoint": ["sh"]}, "entrypoint"),
    "no entrypoint": ({"Entrypoint": None}, "entrypoint"),
    "directory": ({"WorkingDir": "/tmp"}, "working_dir"),
    "signal": ({"StopSignal": "SIGKILL"}, "stop_signal"),
    "no signal": ({"StopSignal": ""}, "stop_signal"),
    "no directory": ({"WorkingDir": ""}, "working_dir"),
    "check": ({"Healthcheck": {"Test": ["CMD", "false"], "Interval": 2_000_000_000, "Retries": 5}}, "healthcheck"),
    "no check": ({"Healthcheck": None}, "healthcheck"),
    "variable": ({"Env": [f"TOKEN={SECRET}", "PATH=/bin", "MODE=fast"]}, "environment.MODE"),
    "no variable": ({"Env": [f"TOKEN={SECRET}", "PATH=/bin"]}, "environment.MODE"),
    "one more": ({"Env": [f"TOKEN={SECRET}", "PATH=/bin", "MODE=safe", "LD_PRELOAD=x"]}, "environment.LD_PRELOAD"),
}


@pytest.mark.parametrize(
    ("changed", "knob"),
    [
        ({"Cmd": ["sh"]}, "command"),
        ({"Entrypoint": ["sh"]}, "entrypoint"),
        ({"WorkingDir": "/tmp"}, "working_dir"),
        ({"Hostname": "another"}, "hostname"),
        ({"StopSignal": "SIGKILL"}, "stop_signal"),
        ({"Healthcheck": {"Test": ["CMD", "true"]}}, "healthcheck"),
        ({"Env": ["A=b"]}, "environment.A"),
    ],
)
def test_what_even_the_image_does_not_say_is_drift(changed: dict[str, Any], knob: str) -> None:
    """An image that says nothing leaves nothing open."""
    rendered = Scene().rendered("web", 61000)
    raw = inspected("1" * 64, "web", encode(rendered.spec), {"Id": "sha256:0", "Config": {}}, 0)
    bare = decode.image("app:1", {"Id": "sha256:0", "Config": None})
    assert attest(rendered, read(raw), bare) == ()
    raw["Config"] |= changed
    assert [one.knob for one in attest(rendered, read(raw), bare)] == [knob]


@pytest.mark.parametrize(("changed", "knob"), NOT_OF_THE_IMAGE.values(), ids=NOT_OF_THE_IMAGE)
def test_what_is_not_the_images_is_drift(changed: dict[str, Any], knob: str) -> None:
    """Although the file does not say it; where nobody knows the image, no drift is made up."""
    rendered, raw = left_open()
    raw["Config"] |= changed
    found = attest(rendered, read(raw), IMAGE)
    assert [one.knob for one in found] == [knob]
    assert attest(rendered, read(raw)) == ()
    assert not any(value in str(found) for value in (SECRET, "fast", "safe", "x should"))


def test_only_the_image_that_a_container_was_made_from_counts() -> None:
    """A reference may mean another one by now: that is no drift, as long as the old one is not known either."""
    scene = Scene()
    scene.declare("web")
    scene.container("web")
    scene.brought = {"working_dir": "/elsewhere"}
    assert scene.plan().sandboxes[0].cause is Reason.DRIFTED
    scene.image_id = "sha256:1"
    assert scene.plan().sandboxes[0].cause is Reason.RUNNING


WRONG_HOST: dict[str, Any] = {
    "Memory": 0,
    "MemorySwap": -1,
    "NanoCpus": 0,
    "PidsLimit": None,
    "CapAdd": ["SYS_ADMIN"],
    "CapDrop": None,
    "SecurityOpt": ["no-new-privileges:false"],
    "Privileged": True,
    "NetworkMode": "host",
    "PortBindings": {"3000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "61000"}]},
    "PublishAllPorts": True,
    "IpcMode": "host",
    "CgroupnsMode": "host",
    "PidMode": "host",
    "UTSMode": "host",
    "UsernsMode": "host",
    "Init": None,
    "ReadonlyRootfs": True,
    "ShmSize": 1 << 36,
    "Tmpfs": {"/run": "rw"},
    "Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}],
    "LogConfig": {"Type": "json-file", "Config": {}},
    "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
    "AutoRemove": True,
}


def test_every_rendered_knob_has_a_wrong_value_here(rendered: Rendered) -> None:
    """The table is whole: a knob that is rendered anew must be given a wrong value too."""
    assert WRONG_HOST.keys() == encode(rendered.spec)["HostConfig"].keys()


@pytest.mark.parametrize("knob", WRONG_HOST)
def test_every_rendered_knob_is_compared(rendered: Rendered, knob: str) -> None:
    """One wrong value in HostConfig is one mismatch at least."""
    assert knobs(rendered, readback(rendered, State.RUNNING, {knob: WRONG_HOST[knob]}))


@pytest.mark.parametrize("knob", MUST_BE_EMPTY)
def test_every_knob_that_is_never_set_is_compared(rendered: Rendered, knob: str) -> None:
    """What reconciler never sets must not be set by anybody."""
    assert knobs(rendered, readback(rendered, State.RUNNING, {knob: ["x"]})) == {knob}


@pytest.mark.parametrize(("score", "found"), [(200, set()), (-500, {"OomScoreAdj"})])
def test_who_dies_first_harms_nobody(rendered: Rendered, score: int, found: set[str]) -> None:
    """A rootless engine passes its own OOM score on; a lower one would let others be killed instead."""
    assert knobs(rendered, readback(rendered, State.RUNNING, {"OomScoreAdj": score})) == found


def test_what_an_engine_says_that_nobody_knows_is_shown_and_stops_nothing(rendered: Rendered) -> None:
    """Or a newer engine would end all sandboxes; what is empty is not said, and what is known stays a reason."""
    raw = readback(rendered, State.RUNNING, {"NewKnob": {"of": 30}, "NewSwitch": False, "Devices": ["/dev/sda"]})
    raw["Config"] |= {"NewName": "x\x1b", "OnBuild": ["x"]}
    assert read(raw).notes == ("NewKnob {'of': 30}", "NewName x\\x1b")
    assert knobs(rendered, raw) == {"Devices"}


@pytest.mark.parametrize("key", ["Interval", "Timeout", "StartInterval"])
@pytest.mark.parametrize(("time", "found"), [(1_000_000, {"healthcheck"}), (0, set()), (1_000_000_000, set())])
def test_the_images_own_check_is_not_too_frequent(key: str, time: int, found: set[str]) -> None:
    """What the file leaves to the image is bound as the file's would be."""
    rendered = Scene().rendered("web", 61000)
    raw = readback(rendered, State.RUNNING, {})
    raw["Config"] = {**raw["Config"], "Healthcheck": {"Test": ["CMD", "true"], key: time}}
    assert knobs(rendered, raw) == found


def test_an_images_start_interval_is_not_too_frequent_beside_the_files_own_check() -> None:
    """An engine takes it from the image where the file does not say it."""
    rendered = Scene().rendered("web", 61000, healthcheck={"test": "true"})
    raw = readback(rendered, State.RUNNING, {})
    raw["Config"] = {**raw["Config"], "Healthcheck": {**raw["Config"]["Healthcheck"], "StartInterval": 1_000_000}}
    assert knobs(rendered, raw) == {"healthcheck"}


SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("said", "answered", "found"),
    [
        ({}, {"StartPeriod": 5 * SECOND}, set()),
        ({"start_period": "5s"}, {"StartPeriod": 9 * SECOND}, {"healthcheck"}),
        ({"start_interval": "2s"}, {"StartInterval": 0}, set()),
        ({}, {"Retries": 9}, {"healthcheck"}),
    ],
)
def test_what_a_check_leaves_out_is_the_images(said: dict[str, str], answered: dict[str, int], found: set[str]) -> None:
    """As engines fill it in; one before API 1.44 has no interval at the start."""
    rendered = Scene().rendered("web", 61000, healthcheck={"test": ["CMD", "true"], **said})
    raw = readback(rendered, State.RUNNING, {})
    raw["Config"] = {**raw["Config"], "Healthcheck": {**raw["Config"]["Healthcheck"], **answered}}
    assert knobs(rendered, raw) == found


@pytest.mark.parametrize("knob", ["MaskedPaths", "ReadonlyPaths"])
def test_what_the_engine_hides_stays_hidden(rendered: Rendered, knob: str) -> None:
    """An empty list of hidden paths is a mismatch."""
    assert knobs(rendered, readback(rendered, State.RUNNING, {knob: []})) == {knob}


WRONG_CONFIG: dict[str, Any] = {
    "Image": "other:1",
    "User": "0:0",
    "Cmd": ["other"],
    "StopTimeout": 1,
    "Tty": True,
    "OpenStdin": True,
    "WorkingDir": "/",
    "Hostname": "another",
    "StopSignal": "SIGKILL",
    "Healthcheck": {"Test": ["NONE"]},
    "Env": ["TOKEN=other"],
    "Labels": {},
}


@pytest.mark.parametrize("key", WRONG_CONFIG)
def test_every_part_of_the_process_is_compared(rendered: Rendered, key: str) -> None:
    """One wrong value in Config is one mismatch at least."""
    raw = readback(rendered, State.RUNNING, {})
    raw["Config"] = {**raw["Config"], key: WRONG_CONFIG[key]}
    assert knobs(rendered, raw)


def test_another_network_is_a_mismatch(rendered: Rendered) -> None:
    """A container that somebody connected to a second network is not what was rendered."""
    raw = readback(rendered, State.RUNNING, {})
    raw["NetworkSettings"]["Networks"]["bridge"] = {}
    assert knobs(rendered, raw) == {"networks"}


def test_a_port_that_is_really_open_elsewhere_is_a_mismatch(rendered: Rendered) -> None:
    """What counts is where the port is published, not only where it was asked for."""
    raw = readback(rendered, State.RUNNING, {})
    raw["NetworkSettings"]["Ports"] = {"3000/tcp": [{"HostIp": "::", "HostPort": "61000"}]}
    assert knobs(rendered, raw) == {"ports"}


def test_anonymous_volumes_of_the_image_are_no_mismatch(rendered: Rendered) -> None:
    """An image may bring volumes; a named one, or a bind, is somebody else's doing."""
    raw = readback(rendered, State.RUNNING, {})
    raw["Mounts"] = [{"Type": "volume", "Name": "a" * 64, "Driver": "local", "Destination": "/data", "RW": True}]
    assert knobs(rendered, raw) == set()
    raw["Mounts"] = [{"Type": "volume", "Name": "named", "Driver": "local", "Destination": "/data", "RW": True}]
    assert knobs(rendered, raw) == {"Mounts"}


def test_labels_under_our_prefix_must_be_ours(rendered: Rendered) -> None:
    """An image may bring labels, but none of ours."""
    raw = readback(rendered, State.RUNNING, {})
    raw["Config"] = {**raw["Config"], "Labels": {**raw["Config"]["Labels"], "maintainer": "x", "reconciler.x": "y"}}
    assert knobs(rendered, raw) == {"labels.reconciler.x"}


def test_a_container_of_a_network_that_is_gone_is_stranded(rendered: Rendered) -> None:
    """A stopped container remembers its network by id; when that is another one it cannot be started again."""
    ours, gone = Network("reconciler.default", "n" * 64), Network("reconciler.default", "m" * 64)
    raw = readback(rendered, State.EXITED, {})
    raw["NetworkSettings"]["Networks"]["reconciler.default"] = {"NetworkID": "n" * 64}
    inspection = read(raw)
    assert start_blockers(rendered, inspection, None, ours) == attest(rendered, inspection)
    for network in (gone, None):
        (found,) = set(start_blockers(rendered, inspection, None, network)) - set(attest(rendered, inspection))
        there = network.id[:12] if network else "no network"
        assert found == Mismatch("network", there, f"{'n' * 12}, which is gone")


def test_a_container_without_a_network_is_in_none_that_could_be_gone() -> None:
    """The engine calls that a network too, with an id that is not ours."""
    rendered = Scene().rendered("web", 61000, network_mode="none")
    raw = readback(rendered, State.EXITED, {})
    raw["NetworkSettings"]["Networks"]["none"] = {"NetworkID": "o" * 64}
    for network in (Network("reconciler.default", "n" * 64), None):
        assert start_blockers(rendered, read(raw), None, network) == ()


def test_what_nobody_has_described_is_a_mismatch(rendered: Rendered) -> None:
    """Unknown is not good."""
    undescribed = replace(read(readback(rendered, State.RUNNING, {})), spec=None)
    assert list(map(str, attest(rendered, undescribed))) == ["container: unknown should be known"]


def test_the_check_of_a_file_is_not_that_of_its_image() -> None:
    """What the file says of it counts, whatever the image brings along."""
    rendered, raw = left_open(healthcheck={"test": ["CMD", "false"], "start_period": "5s"})
    raw["Config"]["Healthcheck"] = {**raw["Config"]["Healthcheck"], "StartPeriod": 9_000_000_000}
    assert [one.knob for one in attest(rendered, read(raw), IMAGE)] == ["healthcheck"]


def test_a_calmed_check_of_an_image_is_as_rendered() -> None:
    """One that would run too often was made to run once a second."""
    config = {**OF_THE_IMAGE, "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000}}
    rendered, raw = left_open()
    raw["Config"]["Healthcheck"] = {"Test": ["CMD", "true"], "Interval": 1_000_000_000}
    assert attest(rendered, read(raw), decode.image("app:1", {"Id": "sha256:0", "Config": config})) == ()


def test_a_label_of_the_image_is_the_images() -> None:
    """One that is another, or gone, is drift."""
    for labels in ({"maintainer": "y"}, {}):
        rendered, raw = left_open()
        raw["Config"]["Labels"].pop("maintainer")
        raw["Config"]["Labels"] |= labels
        assert [one.knob for one in attest(rendered, read(raw), IMAGE)] == ["labels.maintainer"]


def test_whose_value_is_missing_is_told() -> None:
    """The file's, or that of the image; of the salt only that it is another."""
    rendered, raw = left_open()
    raw["Config"] |= {"Env": ["PATH=/bin"], "Labels": {**raw["Config"]["Labels"], "reconciler.salt": "x"}}
    assert list(map(str, attest(rendered, read(raw), IMAGE))) == [
        "environment.MODE: another or none should be the value of the image",
        "environment.TOKEN: another or none should be the value declared",
        "labels.reconciler.salt: another or none should be the sandbox's own",
    ]


def test_no_value_of_environment_is_told(rendered: Rendered) -> None:
    """Neither the wrong value nor the right one is in a mismatch, nor in the text of what was rendered."""
    raw = readback(rendered, State.RUNNING, {})
    raw["Config"] = {**raw["Config"], "Env": [f"TOKEN={SECRET}x"]}
    found = attest(rendered, read(raw))
    assert found
    assert SECRET not in f"{found} {rendered} {read(raw)}"


def test_changes_are_said_as_in_yaml() -> None:
    """What a replacement changes is told in the words of the file."""
    scene = Scene()
    scene.declare("web", mem_limit="256m", cpus=0.5)
    scene.container("web")
    changes = {str(change.knob): (change.actual, change.expected) for change in scene.plan().sandboxes[0].changes}
    assert changes["mem_limit"] == ("512m", "256m")
    assert changes["cpus"] == ("1", "0.5")
