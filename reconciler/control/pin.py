"""Keeps a state directory to the one engine that it is about."""

from reconciler.engine.protocol import EngineReader
from reconciler.model.errors import EngineUnavailable
from reconciler.report.store import Store


class Pin:
    """The first engine that is seen is pinned in the state directory, until somebody takes that file away.

    Another one may come to be behind the same address: what the state says is not true of it.
    """

    def __init__(self, engine: EngineReader, store: Store) -> None:
        self._engine, self._store = engine, store

    def check(self) -> str:
        """Which engine answers now. Raises `EngineUnavailable` when it is not the one that is pinned."""
        answers, pinned = self._engine.identity(), self._store.pinned()
        if pinned and answers != pinned:
            accept = f"rm {self._store.pin_file}"
            raise EngineUnavailable(f"another engine answers than before; to accept it: {accept}; it is {answers}")
        return answers

    def keep(self) -> None:
        """Pins the engine that answers now, where none is pinned."""
        if not self._store.pinned():
            self._store.pin(self.check())
