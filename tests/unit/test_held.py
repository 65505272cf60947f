"""What is judged of a container as it is, where its file says nothing."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.container import BindMount, PublishedPort
from reconciler.model.labels import Owner
from reconciler.model.world import Image, Inspection, Source
from reconciler.planning.held import drifted, forbidden
from reconciler.spec.policy import Policy
from tests.scene import Scene


def made(**spec: Any) -> Inspection:
    """A container as we make them, but for these knobs."""
    inspection = Scene().container("web").inspection
    assert inspection.spec
    return replace(inspection, spec=replace(inspection.spec, **spec))


VOLUME = (BindMount("/srv/data", "/data", read_only=True),)
WRITTEN = (BindMount("/srv/data", "/data", read_only=False),)


@pytest.mark.parametrize(
    ("spec", "policy", "found"),
    [
        ({}, {}, []),
        ({"image": "elsewhere.example/x"}, {}, []),
        (
            {"image": "busybox"},
            {"images": ["app:*"]},
            ["the policy does not allow the image docker.io/library/busybox:latest"],
        ),
        ({"image": "app:1"}, {"images": ["app:*"]}, []),
        ({"mem_limit": 1 << 30}, {}, ["mem_limit 1g is over the policy's ceiling"]),
        ({"user": "5:1000"}, {}, ["user 5:1000 is below the policy's minimum"]),
        ({"runtime": "runsc"}, {}, []),
        ({"runtime": "runsc"}, {"runtime": "runsc"}, []),
        ({"runtime": "runc"}, {"runtime": "runsc"}, ["runtime is runc, and the policy's is runsc"]),
        ({}, {"published": "8000-9999"}, ["port 61000 is outside of the policy's range"]),
        ({"ports": (PublishedPort(3000, 8000),)}, {"published": "8000-9999"}, []),
        ({"volumes": VOLUME}, {"volumes": [{"root": "/srv"}]}, []),
        ({"volumes": VOLUME}, {}, ["volume /srv/data: the policy allows no mount from there"]),
        ({"volumes": VOLUME}, {"volumes": [{"root": "/link"}]}, []),
        ({"volumes": WRITTEN}, {"volumes": [{"root": "/srv"}]}, ["volume /srv/data: the policy allows it read-only"]),
    ],
)
def test_what_the_policy_forbids_of_what_runs(spec: dict[str, Any], policy: dict[str, Any], found: list[str]) -> None:
    """A sentence each; the built-in list of images is about what is pulled from now on."""
    told = forbidden(made(**spec), Policy.model_validate(policy), None, {"/link": Source("/srv")})
    assert list(told) == found


def test_an_image_that_is_no_reference_is_forbidden_by_a_list() -> None:
    """Such a container is of somebody else's making."""
    (told,) = forbidden(made(image="UPPER"), Policy(images=("app:*",)), None, {})
    assert told.startswith("image ")


def test_what_its_own_image_brings_along_is_judged() -> None:
    """Of another image that its reference has come to mean, nothing is said; nor of what no engine has told."""
    inspection = made(read_only=True)
    image = Image("app:1", inspection.image_id, "", volumes=("/data",))
    assert list(forbidden(inspection, Policy(), image, {})) == ["its image would write to a volume on /data"]
    assert forbidden(inspection, Policy(), replace(image, id="sha256:1"), {}) == ()
    assert forbidden(replace(inspection, spec=None), Policy(), image, {}) == ()


OWNER = Owner("default")


@pytest.mark.parametrize("knob", ["mem_limit", "memswap_limit", "cpus", "pids_limit", "restart_policy"])
def test_what_an_engine_changes_of_a_container_that_is_there_is_held_to_what_it_was_made_from(knob: str) -> None:
    """As far as somebody remembers; the floor holds without any memory."""
    (found,) = drifted(made(), OWNER, {knob: "another"})
    assert (found.knob, found.expected) == (knob, "another")
    assert drifted(made(), OWNER, {"image": "another"}) == ()
    assert [str(one) for one in drifted(made(privileged=True), OWNER, {})] == ["privileged: true should be false"]
    assert drifted(replace(made(), spec=None), OWNER, {knob: "another"}) == ()


def test_a_container_of_another_instances_network_has_drifted() -> None:
    """The network is the owner's."""
    assert {one.knob for one in drifted(made(), Owner("other"), {})} == {"network_mode"}
