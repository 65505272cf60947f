"""Observes the engine: one list call, and an inspection of each container that is new or may have changed."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from reconciler.control.parallel import ParallelMap, over_threads
from reconciler.control.pin import Pin
from reconciler.control.volumes import Volumes
from reconciler.engine.host import EngineHost
from reconciler.engine.protocol import EngineReader
from reconciler.model import labels
from reconciler.model.desired import Desired
from reconciler.model.errors import EngineRefused, EngineUnavailable, OwnershipUnclear, Refusal
from reconciler.model.labels import Owner
from reconciler.model.plan import Create, Outcome, Pull, Reason, Remove
from reconciler.model.world import (
    EngineFacts,
    Event,
    Happening,
    Image,
    Inspection,
    Network,
    Observed,
    Summary,
    Unmanaged,
    World,
)
from reconciler.planning import ownership
from reconciler.planning.memo import Memo
from reconciler.spec.mistake import Mistake
from reconciler.spec.policy import Policy


@dataclass(frozen=True, slots=True)
class _Seen:
    summary: Summary
    inspection: Inspection
    at: float


class Observer:
    """Observes one instance on one engine. Inspections are kept until an event, an action or the list tells otherwise.

    `known` are ids of containers that were ours before: they exist until the engine says that they do not.
    """

    def __init__(
        self,
        engine: EngineReader,
        owner: Owner,
        host: EngineHost,
        pin: Pin,
        parallel_map: ParallelMap = over_threads,
        known: Iterable[str] = (),
    ) -> None:
        self._engine, self._owner, self._host, self._pin = engine, owner, host, pin
        self._parallel_map = parallel_map
        self.volumes = Volumes(host)
        self._facts: EngineFacts | None = None
        self._network: Network | None = None
        self._seen: dict[str, _Seen] = {}
        self._images: dict[str, Image] = {}
        self._known = set(known)
        self._ours: AbstractSet[str] = set(known)
        self._memo = Memo()

    def heard(self, event: Event) -> None:
        """Its container may have changed."""
        self._forget(event.container, gone=event.what is Happening.REMOVED)

    def done(self, outcome: Outcome) -> None:
        """What was acted on has changed; a container that was created is ours, even if it is renamed later."""
        action, failure, container = outcome.action, outcome.failure, outcome.container
        self._forget(container, gone=isinstance(action, Remove) and failure is None)
        if isinstance(action, Create) and container:
            self._ours = self._ours | {container}
        if isinstance(action, Pull) or failure is Reason.IMAGE_PULL_FAILED:
            self._images.pop(outcome.planned.rendered.image if outcome.planned.rendered else "", None)
        if failure is Reason.ENGINE_UNAVAILABLE:
            self.invalidate_all()

    def _forget(self, container: str, *, gone: bool) -> None:
        """Forgets a container, or the network if the id is empty; `gone` says that the engine has removed it."""
        self._seen.pop(container, None)
        if gone:
            self._known.discard(container)
        if not container:
            self._network = None

    def invalidate_all(self) -> None:
        """Everything may have changed: the next observation asks for all of it."""
        self._facts, self._network = None, None
        self._seen.clear()
        self._images.clear()

    def observe(self, desired: Desired, policy: Policy, now: float) -> World:
        """Raises `EngineUnavailable`, also when the engine answers only in part.

        A container that cannot be read becomes `Unmanaged` and affects no other. Raises `OwnershipUnclear` when the
        source was derived from this host, and the engine is on another one.
        """
        try:
            facts, summaries = self._look()
        except EngineRefused as error:
            raise EngineUnavailable(f"the engine does not show what there is: {error}") from error
        self._memo.next_pass()
        self._confirm_gone({summary.id for summary in summaries})
        by_labels = {one.id: self._memo(ownership.not_ours_by_labels, one.id, one, self._owner) for one in summaries}
        unreadable = self._inspect([summary for summary in summaries if not by_labels[summary.id]], now)
        misnamed = [found for seen in self._seen.values() if (found := self._not_ours_by_proof(seen))]
        self._ours = (self._ours | self._seen.keys() - {found.id for found in misnamed}) & by_labels.keys()
        return World(
            owner=self._owner,
            engine=facts,
            network=self._network,
            containers=tuple(self._memo(_observed, one, self._seen[one]) for one in self._seen if one in self._ours),
            unmanaged=(*filter(None, by_labels.values()), *unreadable, *misnamed),
            images=self._present(desired, policy),
            sources=self.volumes.examined(desired.declared.values(), policy, facts.data, self._writable),
        )

    def _look(self) -> tuple[EngineFacts, tuple[Summary, ...]]:
        summaries = self._engine.containers()
        if self._known.isdisjoint(one.id for one in summaries):  # no other engine has a container of the same id
            self._pin.check()
        if self._facts is None:
            self._facts = self._engine.facts()
            self._check_host(self._facts.host)
        if self._network is None or self._network.why_unfit or self._network.why_unfiltered:
            network = self._engine.network()
            if network:
                network = replace(network, why_unfiltered=self._host.why_unfiltered(network, self._facts))
            self._network = network
        return self._facts, summaries

    def _check_host(self, host: str) -> None:
        remote = self._host.remote  # whose name may be the same
        if self._owner.host and (remote or host not in {"", self._owner.host}):
            raise OwnershipUnclear(
                f"the engine is on {remote or host}, and this is {self._owner.host}: say with --source whose sandboxes "
                "these are, by a name that no other directory's controller has"
            )

    def _not_ours_by_proof(self, seen: _Seen) -> Unmanaged | None:
        summary = seen.summary
        if summary.id in self._ours or not ownership.is_misnamed(summary, self._owner):
            return None
        image = self._image(seen.inspection.image_id)
        return ownership.not_ours_by_proof(summary, seen.inspection, image, self._owner)

    def _confirm_gone(self, listed: set[str]) -> None:
        """A container missing from the list may still run, and trusting the list would start a second one."""
        missing = sorted(self._known - listed)
        for container, inspection in zip(missing, self._parallel_map(self._inspected, missing), strict=True):
            if inspection is not None:
                raise EngineUnavailable(f"the engine answers in part: its list leaves out container {container[:12]}")
        self._known = listed

    def _inspect(self, summaries: list[Summary], now: float) -> list[Unmanaged]:
        """Inspects what is new or changed; returns those that cannot be inspected."""
        current = {summary.id: summary for summary in summaries}
        self._seen = {id_: seen for id_, seen in self._seen.items() if current.get(id_) == seen.summary}
        missing = [summary for summary in summaries if summary.id not in self._seen]
        found = self._parallel_map(self._inspected, [summary.id for summary in missing])
        unreadable = []
        for summary, inspection in zip(missing, found, strict=True):
            if isinstance(inspection, EngineRefused):
                unreadable.append(ownership.counted(summary, f"it cannot be inspected: {inspection}"))
            elif inspection is not None:  # the kernel is asked by this thread alone: others would only wait for it
                self._seen[summary.id] = _Seen(summary, self.volumes.witnessed(summary.id, inspection), now)
        return unreadable

    def _inspected(self, container: str) -> Inspection | EngineRefused | None:
        """None for a container that is gone; the error for one that cannot be inspected."""
        try:
            return self._engine.inspect(container)
        except EngineRefused as error:
            if error.refusal is Refusal.NOT_FOUND:
                return None
            return error

    def _writable(self) -> Mapping[str, str]:
        try:
            return self._engine.writable()
        except EngineRefused as error:
            raise EngineUnavailable(f"the engine answers in part: {error}") from error

    def _present(self, desired: Desired, policy: Policy) -> dict[str, Image]:
        """Those of the references, and of the containers that were made when a reference meant another one."""
        references = _references(desired, policy)
        self._keep(references)
        known = {image.id for image in self._images.values()}
        inspections = [seen.inspection for seen in self._seen.values()]
        moved = {one.image_id for one in inspections if one.spec and one.spec.image in references} - known
        self._keep(moved)
        return dict(self._images)

    def _keep(self, references: Iterable[str]) -> None:
        for reference in sorted(references):
            if reference not in self._images and (image := self._image(reference)):
                self._images[reference] = image

    def _image(self, reference: str) -> Image | None:
        try:
            return self._engine.image(reference)
        except (EngineRefused, Mistake):
            return None


def _references(desired: Desired, policy: Policy) -> set[str]:
    images = {declaration.sandbox.image for declaration in desired.declared.values()}
    return {image for image in {*images, policy.defaults.image} if image}


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
