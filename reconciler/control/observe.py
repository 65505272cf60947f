"""One observation: one list call, and an inspection of what is new, changed or asked for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.control.sources import Volumes
from reconciler.control.spread import Spread, over_threads
from reconciler.engine.host import EngineHost
from reconciler.engine.protocol import EngineReader
from reconciler.model import labels
from reconciler.model.desired import Desired
from reconciler.model.errors import EngineRefused, EngineUnavailable, Refusal
from reconciler.model.policy import Policy
from reconciler.model.world import EngineFacts, Foreign, Image, Inspection, Network, Observed, Summary, World
from reconciler.planning.recall import Recall


@dataclass(frozen=True, slots=True)
class _Seen:
    summary: Summary
    inspection: Inspection
    at: float


class Observer:
    """Observes one instance on one engine. It remembers inspections until something changes or `forget` is called.

    `known` are containers that were there before; they are there until the engine says of them that they are not.
    """

    def __init__(
        self,
        engine: EngineReader,
        instance: str,
        host: EngineHost,
        spread: Spread = over_threads,
        known: Iterable[str] = (),
    ) -> None:
        self._engine, self._instance, self._host, self._spread = engine, instance, host, spread
        self.volumes = Volumes(host)
        self._facts: EngineFacts | None = None
        self._network: Network | None = None
        self._seen: dict[str, _Seen] = {}
        self._images: dict[str, Image] = {}
        self._known = set(known)
        self._recall = Recall()

    def gone(self, container: str) -> None:
        """The engine has said that it has removed the container."""
        self._known.discard(container)

    def forget(self, container: str) -> None:
        """What is remembered of one container is doubtful, or, with no name, of the network."""
        self._seen.pop(container, None)
        if not container:
            self._network = None

    def forget_image(self, reference: str) -> None:
        self._images.pop(reference, None)

    def forget_all(self) -> None:
        """Everything is doubtful: the next observation asks for all of it."""
        self._facts, self._network = None, None
        self._seen.clear()
        self._images.clear()

    def observe(self, desired: Desired, policy: Policy, now: float) -> World:
        """Raises `EngineUnavailable`, also when the engine answers in part: half a world is none."""
        try:
            facts, summaries = self._look()
        except EngineRefused as error:
            raise EngineUnavailable(f"the engine does not let itself be looked at: {error}") from error
        self._recall.next_pass()
        foreign = tuple(
            Foreign(summary.id, summary.name, why)
            for summary in summaries
            if (why := self._recall(_foreign, summary.id, summary, self._instance))
        )
        strange = {found.id for found in foreign}
        ours = [summary for summary in summaries if summary.id not in strange]
        self._confirm_gone({summary.id for summary in ours})
        self._inspect(ours, now)
        return World(
            instance=self._instance,
            engine=facts,
            network=self._network,
            containers=tuple(self._recall(_observed, id_, seen) for id_, seen in self._seen.items()),
            foreign=foreign,
            images=self._present(_references(desired, policy)),
            sources=self.volumes.examined(desired.declared.values(), policy, facts.data),
        )

    def _look(self) -> tuple[EngineFacts, tuple[Summary, ...]]:
        if self._facts is None:
            self._facts = self._engine.facts()
        if self._network is None or self._network.why_unfit or self._network.unfiltered:
            network = self._engine.network()
            self._network = network and replace(network, unfiltered=self._host.unfiltered(network, self._facts))
        return self._facts, self._engine.containers()

    def _confirm_gone(self, listed: set[str]) -> None:
        """What a list leaves out may still run; two would run in its place if that were believed."""
        missing = sorted(self._known - listed)
        for container, inspection in zip(missing, self._spread(self._inspected, missing), strict=True):
            if inspection is not None:
                raise EngineUnavailable(f"the engine answers in part: its list leaves out container {container}")
        self._known = listed

    def _inspect(self, summaries: list[Summary], now: float) -> None:
        current = {summary.id: summary for summary in summaries}
        self._seen = {id_: seen for id_, seen in self._seen.items() if current.get(id_) == seen.summary}
        missing = [summary for summary in summaries if summary.id not in self._seen]
        found = self._spread(self._inspected, [summary.id for summary in missing])
        for summary, inspection in zip(missing, found, strict=True):
            if inspection is not None:
                self._seen[summary.id] = _Seen(summary, inspection, now)

    def _inspected(self, container: str) -> Inspection | None:
        """None for a container that is gone."""
        try:
            return self._engine.inspect(container)
        except EngineRefused as error:
            if error.refusal is Refusal.NOT_FOUND:
                return None
            raise EngineUnavailable(f"the engine answers in part: {error}") from error

    def _present(self, references: Iterable[str]) -> dict[str, Image]:
        for reference in references:
            if reference not in self._images:
                try:
                    image = self._engine.image(reference)
                except EngineRefused:
                    image = None
                if image is not None:
                    self._images[reference] = image
        return dict(self._images)


def _references(desired: Desired, policy: Policy) -> set[str]:
    images = {declaration.sandbox.image for declaration in desired.declared.values()}
    return {image for image in {*images, policy.defaults.image} if image}


def _foreign(summary: Summary, instance: str) -> str:
    """Why a container that carries our label is not ours; empty when it is. An image can bring labels, but no name."""
    sandbox = summary.labels.get(labels.SANDBOX, "")
    fingerprint = summary.labels.get(labels.FINGERPRINT, "")
    if not re.fullmatch(labels.SANDBOX_NAME, sandbox) or not re.fullmatch(r"[0-9a-f]{64}", fingerprint):
        return "its labels are not complete"
    if summary.name != labels.container_name(instance, sandbox, fingerprint):
        return "its name is not the one that its labels ask for"
    if labels.parse_ports(summary.labels.get(labels.PORTS, "")) is None:
        return "its label of ports cannot be read"
    return ""


def _observed(seen: _Seen) -> Observed:
    summary, inspection = seen.summary, seen.inspection
    return Observed(
        id=summary.id,
        name=summary.name,
        sandbox=summary.labels[labels.SANDBOX],
        fingerprint=summary.labels[labels.FINGERPRINT],
        ports=labels.parse_ports(summary.labels.get(labels.PORTS, "")) or {},
        state=inspection.state,
        health=inspection.health,
        created_at=summary.created_at,
        inspection=inspection,
        inspected_at=seen.at,
    )
