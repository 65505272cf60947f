"""Which containers are made of the same, without a hash that tells anybody what that is.

Neighbours read the names of containers over DNS, and many read statuses. A value of `environment` may be one of few:
whoever can work out the same hash finds it by trying them all. So a hash of values needs a secret salt.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from reconciler.model.container import ContainerSpec
from reconciler.model.labels import SALT
from reconciler.model.rendered import Rendered
from reconciler.model.status import SandboxStatus
from reconciler.model.world import Observed

EPOCH = 2
"""Raised when `render` changes what it renders, so that running sandboxes are replaced by what is meant now."""

NEWER = frozenset({"hostname", "stop_signal"})
"""Knobs that came later than the epoch: where they are left out, the fingerprint is what it was without them."""


def salt_of(sandbox: str, containers: Iterable[Observed], secret: bytes) -> str:
    """The salt that the sandbox's container has, so that nothing is replaced which has not changed.

    Of several containers the one that runs counts, then the newest. Where none has a salt, it is made of the secret.
    """
    salts = [(container.up, container.created_at, found) for container in containers if (found := _salt(container))]
    return max(salts)[2] if salts else hmac.digest(secret, sandbox.encode(), "sha256").hex()[:32]


def _salt(container: Observed) -> str:
    """Empty for one of a version without salts, and for what is none."""
    spec = container.inspection.spec
    found = spec.labels.get(SALT, "") if spec else ""
    return found if re.fullmatch("[0-9a-f]{32}", found) else ""


class Fingerprints(NamedTuple):
    """`public` covers no value of `environment`, `salted` covers all. `salted_with` is a hash of the salt."""

    public: str
    salted: str
    salted_with: str


def fingerprints(spec: ContainerSpec, salt: str) -> Fingerprints:
    """The same for the same spec and salt, in every process."""
    without_values = _fields(spec) | {"environment": dict.fromkeys(spec.environment, "")}
    public = hashlib.sha256(_text([EPOCH, without_values]).encode()).hexdigest()
    salted = hmac.digest(salt.encode(), _text([public, spec.environment]).encode(), "sha256").hex()
    return Fingerprints(public, salted, hashlib.sha256(salt.encode()).hexdigest())


def is_about(status: SandboxStatus, rendered: Rendered) -> bool:
    """Whether what is remembered is about what is rendered now; of values nothing is known under another salt.

    That is so in a plan that nobody carries out, and after a restart for what has no container.
    """
    if status.salted_with != rendered.salted_with:
        return status.public_fingerprint == rendered.public_fingerprint
    return status.fingerprint == rendered.fingerprint


def _fields(value: object) -> dict[str, object]:
    """A mapping that is no dictionary, or a part of the spec by its fields."""
    if isinstance(value, Mapping):
        return dict(value)
    return {
        name: said
        for name in type(value).__slots__  # type: ignore[attr-defined]
        if (said := getattr(value, name)) is not None or name not in NEWER
    }


_text = json.JSONEncoder(default=_fields, sort_keys=True).encode
