"""What an engine can do: who sets each knob of the security floor."""

from collections.abc import Mapping
from enum import Enum, StrEnum, auto


class Knob(StrEnum):
    """What the floor asks of an engine, and not of the controller."""

    MEMORY = "memory"
    SWAP = "swap"
    CPU = "cpu"
    PIDS = "pids"
    CAPABILITIES = "capabilities"
    NO_NEW_PRIVILEGES = "no-new-privileges"
    SECCOMP = "seccomp"
    CGROUP_NAMESPACE = "cgroup namespaces"
    NEIGHBOURS = "the isolation of neighbours"
    LOOPBACK = "ports on loopback only"


class SetBy(Enum):
    """Who sets a knob."""

    SPEC = auto()
    """Of each container."""
    NODE = auto()
    """The engine's own configuration, for all containers."""
    NOBODY = auto()


Capabilities = Mapping[Knob, SetBy]
"""What is left out is set by nobody."""

ALL = dict.fromkeys(Knob, SetBy.SPEC)
