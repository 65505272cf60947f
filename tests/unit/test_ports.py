"""Which host port each container port is published on."""

from collections.abc import Callable

import pytest

from reconciler.model.plan import Reason
from reconciler.model.world import State
from reconciler.planning.ports import allocate_ports
from reconciler.spec.policy import Policy
from tests.scene import Scene


def allocated(scene: Scene, published: range | None = None, seed: int | None = 0) -> dict[str, dict[int, int]]:
    world = scene.world()
    return allocate_ports(scene.files, world, scene.statuses, published or Policy().published_ports, seed)


def taken(scene: Scene, state: State) -> None:
    scene.failed("web", Reason.PORT_TAKEN, scene.container("web", state), ports={3000: 61000})


def fixed_by_another(scene: Scene, state: State) -> None:
    scene.container("web", state)
    scene.declare("other", ports=[{"target": 80, "published": 61000}])


KEPT: dict[str, tuple[Callable[[Scene], object], bool]] = {
    "what runs has it": (lambda scene: scene.container("web"), True),
    "what has exited has it": (lambda scene: scene.container("web", State.EXITED), True),
    "a status has it": (lambda scene: scene.remember("web", ports={3000: 61000}), True),
    "what runs has it, though a start found it taken": (lambda scene: taken(scene, State.RUNNING), True),
    "what runs has it, beside what a start found to be taken": (
        lambda scene: (scene.container("web"), taken(scene, State.CREATED)),
        True,
    ),
    "it was found to be taken": (lambda scene: taken(scene, State.CREATED), False),
    "something else has failed": (
        lambda scene: scene.failed("web", Reason.START_FAILED, ports={3000: 61000}),
        True,
    ),
    "another file fixes it": (lambda scene: fixed_by_another(scene, State.EXITED), False),
    "another file fixes it, and it runs": (lambda scene: fixed_by_another(scene, State.RUNNING), True),
    "another file fixes it, and one of two runs": (
        lambda scene: (scene.container("web", State.EXITED, created_at=1), fixed_by_another(scene, State.RUNNING)),
        True,
    ),
    "only an older one has it, that is down": (
        lambda scene: (
            scene.container("web", State.EXITED, created_at=1),
            scene.container("web", State.EXITED, port=61999, created_at=2),
        ),
        False,
    ),
    "an older one has it, that runs": (
        lambda scene: (
            scene.container("web", created_at=1),
            scene.container("web", State.EXITED, port=61999, created_at=2),
        ),
        True,
    ),
    "nobody has it": (lambda _: None, False),
}


@pytest.mark.parametrize("situation", KEPT)
def test_a_port_is_kept_while_it_can_be(situation: str) -> None:
    """From the container that counts, else from the last status."""
    change, kept = KEPT[situation]
    scene = Scene()
    scene.declare("web", ports=[3000])
    change(scene)
    assert (allocated(scene)["web"][3000] == 61000) is kept


def test_a_port_that_the_file_says_is_that_one() -> None:
    """Whatever it was before."""
    scene = Scene()
    scene.container("web")
    scene.declare("web", ports=[{"target": 3000, "published": 18080}, 4000])
    ports = allocated(scene)["web"]
    assert ports[3000] == 18080
    assert ports[4000] >= 61000


def test_without_a_seed_none_is_drawn() -> None:
    """A plan that nobody carries out says that it will be."""
    scene = Scene()
    scene.declare("web", ports=[3000])
    assert allocated(scene, seed=None) == {"web": {3000: 0}}
    scene.container("web")
    assert allocated(scene, seed=None) == {"web": {3000: 61000}}


def test_another_seed_draws_another_port() -> None:
    """And so does another sandbox or another port of the container."""
    scene = Scene()
    for name in ("web", "other"):
        scene.declare(name, ports=[3000, 4000])
    drawn = [port for seed in (0, 1) for ports in allocated(scene, seed=seed).values() for port in ports.values()]
    assert len(set(drawn)) == 8
    assert allocated(scene) == allocated(scene)


@pytest.mark.parametrize("held_by", ["a container", "a status", "a file"])
def test_no_port_that_somebody_has_is_drawn(held_by: str) -> None:
    """Nor twice the same: of three ports only one is left."""
    scene = Scene()
    scene.declare("web", ports=[3000])
    if held_by == "a container":
        scene.container("gone", State.EXITED, port=8000)
    elif held_by == "a status":
        scene.declare("a", ports=[80])
        scene.remember("a", ports={80: 8000})
    else:
        scene.declare("a", ports=[{"target": 80, "published": 8000}])
    scene.container("other", State.EXITED, port=8002)
    drawn = {allocated(scene, range(8000, 8003), seed)["web"][3000] for seed in range(9)}
    assert drawn == {8001}


def test_where_none_is_free_the_engine_will_say_so() -> None:
    """One that is in use is asked for."""
    scene = Scene()
    scene.declare("web", ports=[1, 2, 3])
    assert sorted(allocated(scene, range(8000, 8002))["web"].values()) == [8000, 8000, 8001]


@pytest.mark.parametrize(
    ("published", "drawn"),
    [
        (range(1, 65536), range(61000, 65536)),
        (range(8000, 61001), range(61000, 61001)),
        (range(65535, 65536), range(65535, 65536)),
        (range(8000, 8001), range(8000, 8001)),
    ],
)
def test_random_ports_are_above_those_of_outgoing_connections(published: range, drawn: range) -> None:
    """Unless the policy allows none of them."""
    scene = Scene()
    scene.declare("web", ports=[3000])
    assert all(allocated(scene, published, seed)["web"][3000] in drawn for seed in range(20))
