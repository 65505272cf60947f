"""The whole container that a sandbox under a policy turns into."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.model.container import ContainerSpec


@dataclass(frozen=True, slots=True)
class Rendered:
    """One container, ready to be created.

    `fingerprint` is of all of it and salted; `public_fingerprint` has no value of `environment`; `salted_with` is
    a hash of the salt. `ports` maps container ports to host ports on 127.0.0.1. `policy` is the fingerprint of the
    policy that allowed it. `require_kernel_facts` is that policy's.
    """

    sandbox: str
    name: str
    fingerprint: str
    public_fingerprint: str
    salted_with: str
    ports: Mapping[int, int]
    policy: str
    spec: ContainerSpec
    require_kernel_facts: bool = False

    @property
    def image(self) -> str:
        """In full, with its tag or digest."""
        return self.spec.image


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A knob of a container that differs from what was rendered. Both values are fit to be shown."""

    knob: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.knob}: {self.actual} should be {self.expected}"
