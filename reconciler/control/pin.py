"""Keeps a state directory to the one engine that it is about."""

from reconciler.engine.protocol import EngineReader
from reconciler.model.errors import EngineUnavailable
from reconciler.report.store import Store


class Pin:
    """The first engine that is seen is pinned in the state directory, until somebody takes that file away.

    Another one may come to be behind the same address: what the state says is not true of it. Which one answers is
    asked (`GET /info`, some 15 ms of an engine) where nothing else tells: when the list shows no container that was
    there before, as the id of one is on no other engine, and before whatever would happen on any engine alike.
    """

    def __init__(self, engine: EngineReader, store: Store) -> None:
        self._engine, self._store = engine, store

    def another(self) -> str:
        """Which engine answers now, if it is not the one that is pinned; empty if it is, or none is."""
        answers, pinned = self._engine.identity(), self._store.pinned()
        return answers if pinned and answers != pinned else ""

    def check(self) -> None:
        """Raises `EngineUnavailable` when it is another one.

        It holds for no more than the next call: there is no connection that is kept, to which it could be bound.
        """
        if another := self.another():
            accept = f"rm {self._store.pin_file}"
            raise EngineUnavailable(f"another engine answers than before; to accept it: {accept}; it is {another}")

    def keep(self) -> None:
        """Pins the engine that answers now, where none is pinned."""
        if not self._store.pinned():
            self._store.pin(self._engine.identity())
