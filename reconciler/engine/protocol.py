"""What reconciler asks of an engine: one method, one call.

Each method raises `EngineUnavailable` when there is no answer that can be trusted, and `EngineRefused` when the
engine says no. What is already as wanted (started, stopped, gone) is success. Containers are named by their full id.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from reconciler.model.container import ContainerSpec
from reconciler.model.output import Output
from reconciler.model.world import EngineFacts, Event, Happening, Image, Inspection, Network, Summary, Written

SUBSCRIBED = Event("", Happening.SUBSCRIBED)
"""The first of all events: what happens from now on will be told, what happened before must be looked for."""

PullProgressed = Callable[[str, float | None], None]
"""Is told how far a pull is: for people, and as a share from 0 to 1, None as long as nobody knows."""


class EngineReader(Protocol):
    """The calls that change nothing."""

    def facts(self) -> EngineFacts:
        """What the engine says about itself."""

    def identity(self) -> str:
        """What tells this engine from every other, on one line."""

    def containers(self) -> tuple[Summary, ...]:
        """All containers, in any state, that carry this instance's label."""

    def writable(self) -> Mapping[str, str]:
        """The paths of the host that any containers can write, whoever's they are, each with who that is."""

    def inspect(self, container: str) -> Inspection:
        """All that is known of one container."""

    def network(self) -> Network | None:
        """The instance's network, None when there is none."""

    def image(self, reference: str) -> Image | None:
        """The image of a reference or of a full id, None when the engine does not have it."""

    def output(self, container: str, since: bytes) -> Iterator[list[Output]]:
        """What the container has said and says, from the moment `since` on (empty: all); ends when the container does.

        Who reads too slowly may miss the end of it while the container runs: asked again afterwards, the engine has it.
        """

    def written(self) -> tuple[Written, ...]:
        """What each container that carries this instance's label has written; the engine adds it up file by file."""

    def volume_sizes(self) -> Mapping[str, int]:
        """The bytes in each volume of the engine, by name."""

    def events(self) -> Iterator[Event]:
        """`SUBSCRIBED`, then what happens to this instance; ends or raises `EngineUnavailable` with the connection."""


class Engine(EngineReader, Protocol):
    """All calls."""

    def create_network(self) -> None:
        """Creates the instance's bridge network, with traffic between containers off."""

    def remove_network(self, network: str) -> None:
        """Removes a network, by its id, to which nothing is connected."""

    def pull(self, reference: str, progress: PullProgressed) -> None:
        """Pulls the image; `progress` is told now and then how far it is, and may end it by raising."""

    def create(self, name: str, spec: ContainerSpec) -> str:
        """Creates the container and returns its id."""

    def start(self, container: str) -> None:
        """Starts a container."""

    def stop(self, container: str, grace_seconds: int) -> None:
        """Sends the stop signal, and kills after `grace_seconds`."""

    def rename(self, container: str, name: str) -> None:
        """Gives a container another name."""

    def unpause(self, container: str) -> None:
        """Lets a paused container go on."""

    def remove(self, container: str) -> None:
        """Removes a container that does not run, with its anonymous volumes."""
