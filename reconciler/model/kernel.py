"""What the kernel itself says of a container that runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Process:
    """The rights of a process. `own` is one that descends from the container's first; others were put into it.

    `user` are the least of its user ids and of its group ids, as the container counts them; `capabilities` are the bits
    of its largest set, and `seccomp` says whether its system calls are filtered.
    """

    pid: int
    own: bool
    user: str
    capabilities: int
    no_new_privileges: bool
    seccomp: bool


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """The limits of its cgroup, named as those of a `ContainerSpec`, and one of each kind of its processes.

    A limit is infinite where there is none, and None where it cannot be read. `label` is how AppArmor or SELinux
    confines its first process, `oom_kills` how many the kernel has killed for memory. `why_unknown` says why its
    processes cannot be judged: then there are none.
    """

    mem_limit: float | None = None
    memswap_limit: float | None = None
    cpus: float | None = None
    pids_limit: float | None = None
    processes: tuple[Process, ...] = ()
    label: str = ""
    oom_kills: int = 0
    why_unknown: str = ""

    def __str__(self) -> str:
        return f"unknown: {self.why_unknown}" if self.why_unknown else ", ".join(filter(None, ("read", self.label)))
