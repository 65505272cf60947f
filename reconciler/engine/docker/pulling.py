"""How far a pull is, from the messages that the engine streams meanwhile."""

from collections.abc import Mapping
from typing import Any

THERE = frozenset({"Pull complete", "Already exists"})


class PullProgress:
    """Hears the messages of one pull; its text is for people: `3 of 7 layers, 45 %`."""

    def __init__(self) -> None:
        self._fractions: dict[str, float] = {}

    def hear(self, message: Mapping[str, Any]) -> None:
        """Takes one message in; those that are not about a layer are ignored."""
        layer, status = message.get("id"), message.get("status")
        if not isinstance(layer, str) or not isinstance(status, str):
            return
        if status == "Pulling fs layer":
            self._fractions[layer] = 0.0
        elif status in THERE:
            self._fractions[layer] = 1.0
        elif status == "Downloading" and layer in self._fractions:
            detail = message.get("progressDetail") or {}
            self._fractions[layer] = detail.get("current", 0) / max(detail.get("total") or 0, 1)

    @property
    def share(self) -> float | None:
        """0 to 1, each layer weighing the same; None before the first layer is known."""
        if not self._fractions:
            return None
        return round(sum(min(fraction, 1.0) for fraction in self._fractions.values()) / len(self._fractions), 3)

    def __str__(self) -> str:
        if self.share is None:
            return "asking the registry"
        there = sum(fraction == 1.0 for fraction in self._fractions.values())
        return f"{there} of {len(self._fractions)} layers, {self.share:.0%}".replace("%", " %")
