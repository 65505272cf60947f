"""The actions that stop, remove, create and start containers, in an order that never lets two of a sandbox run."""

from collections.abc import Iterable, Iterator, Sequence

from reconciler.model.plan import NEW, Action, Create, Pull, Remove, Start, Stop, Verify
from reconciler.model.world import Observed, State
from reconciler.planning.images import fitted
from reconciler.planning.wanted import Wanted
from reconciler.spec.sandbox import PullPolicy

GRACE_SECONDS = 10
"""How long a container is given to stop when nothing says otherwise."""

FORCED_GRACE_SECONDS = 1
"""The longest that a container which has drifted, or is forbidden, is given: its own time was chosen by its author."""


def stops(containers: Iterable[Observed], grace_seconds_max: int | None = None) -> Iterator[Action]:
    """Each with its own grace period, or a shorter one."""
    for container in containers:
        spec = container.inspection.spec
        own = spec.stop_grace_period if spec else None
        grace = GRACE_SECONDS if own is None else own
        yield Stop(container.id, grace if grace_seconds_max is None else min(grace, grace_seconds_max))


def removes(containers: Iterable[Observed]) -> Iterator[Action]:
    """Of those that are not being removed already."""
    for container in containers:
        if container.state is not State.REMOVING:
            yield Remove(container.id)


def stop_and_remove(containers: Sequence[Observed], grace_seconds_max: int | None = None) -> Iterator[Action]:
    """Of whatever state they are in."""
    yield from stops((container for container in containers if container.up), grace_seconds_max)
    yield from removes(containers)


def creation(wanted: Wanted, before: Sequence[Observed]) -> Iterator[Action]:
    """The new container is created and verified, the old ones are stopped, the new one is started, the old ones go.

    A container that has the new one's name has to go before that is created.
    """
    rendered, pull = wanted.rendered, wanted.sandbox.pull_policy
    image = wanted.situation.world.images.get(rendered.image)
    in_the_way = [other for other in before if other.name == rendered.name]
    if pull is PullPolicy.ALWAYS or (pull is PullPolicy.MISSING and image is None):
        yield Pull(rendered.image)
        image = None  # which one it will be is not known yet
    yield from stop_and_remove(in_the_way)
    yield Create(fitted(rendered, image))
    yield from start_after(wanted, [other for other in before if other not in in_the_way], NEW)


def start_after(wanted: Wanted, others: Sequence[Observed], container: str) -> Iterator[Action]:
    """The start of a container, after which none of the others runs.

    A container that cannot be started stops nobody, so it is verified first; and it is verified again after the others
    have stopped, as it may have been changed meanwhile. What may start by itself later goes before.
    """
    yield Verify(wanted.rendered, container)
    unsafe = [other for other in others if not wanted.stays_down(other)]
    if way := (*stops(other for other in others if other.up), *removes(unsafe)):
        yield from way
        yield Verify(wanted.rendered, container)
    yield Start(container)
    if wanted.rendered.spec.volumes:  # which the engine looks up anew at each start
        yield Verify(wanted.rendered, container)
    yield from removes(other for other in others if wanted.stays_down(other))
