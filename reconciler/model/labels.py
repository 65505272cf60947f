"""The labels and names that make a container ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.spec.fields import OWN_LABELS

PREFIX = OWN_LABELS

INSTANCE = PREFIX + "instance"
SANDBOX = PREFIX + "sandbox"
SOURCE = PREFIX + "source"
"""Whose sandbox it is, of several directories that are kept by controllers of one instance."""
FINGERPRINT = PREFIX + "fingerprint"
SALT = PREFIX + "salt"
"""Without which nobody can work out the fingerprint: only root sees the labels of a container, and nothing tells it."""
PORTS = PREFIX + "ports"
"""The host ports that were chosen for the container: `3000:61234,8080:61235`."""

SANDBOX_NAME = r"^[a-z][a-z0-9-]{0,40}$"
INSTANCE_NAME = SANDBOX_NAME


@dataclass(frozen=True, slots=True)
class Owner:
    """Who a controller is: its instance, its source, and the sources whose sandboxes it was asked to take over.

    `host` is the only one of which the source was derived; empty when somebody named the source.
    """

    instance: str
    source: str = ""
    adopted: frozenset[str] = frozenset()
    host: str = ""

    def acts_for(self, source: str) -> bool:
        """Containers from before there were sources have none, and count as owned."""
        return source in {"", self.source} or source in self.adopted


def container_name(instance: str, sandbox: str, fingerprint: str) -> str:
    """Neither part may hold a dot, so no two instances ever form the same name."""
    return f"reconciler.{instance}.{sandbox}.{fingerprint[:8]}"


def sandbox_of(name: str) -> str | None:
    """The sandbox of which `container_name` formed the name; None for one that it never forms."""
    match name.split("."):
        case ["reconciler", _, sandbox, _]:
            return sandbox
    return None


def network_name(instance: str) -> str:
    """Of the network of an instance."""
    return f"reconciler.{instance}"


def ports_label(ports: Mapping[int, int]) -> str:
    """Such as `3000:61000,4000:61001`; `parse_ports` reads it."""
    return ",".join(f"{target}:{port}" for target, port in sorted(ports.items()))


def parse_ports(label: str) -> dict[int, int] | None:
    """What `ports_label` wrote, None for what it never writes."""
    if not label:
        return {}
    if not re.fullmatch(r"\d{1,5}:\d{1,5}(,\d{1,5}:\d{1,5})*", label):
        return None
    return {int(target): int(port) for target, port in (pair.split(":") for pair in label.split(","))}
