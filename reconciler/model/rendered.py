"""The whole container configuration that a sandbox under a policy turns into."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Rendered:
    """One container, ready to be created.

    `body` is the whole request of `POST /containers/create` of the Docker Engine API. It holds the values of
    `environment`, and must be shown to nobody. `grace_seconds` is how long a stop waits before it kills.
    `ports` maps container ports to host ports on 127.0.0.1. `policy` is the fingerprint of the policy that allowed it.
    """

    sandbox: str
    name: str
    fingerprint: str
    image: str
    ports: Mapping[int, int]
    grace_seconds: int
    policy: str
    body: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A knob of a container that is not as rendered. Both values are fit to be shown."""

    knob: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.knob}: {self.actual} should be {self.expected}"
