"""Whether the kernel says of a container what the engine says, and whose processes are in it."""

from collections.abc import Iterable, Iterator
from math import inf

from reconciler.model.container import ContainerSpec
from reconciler.model.kernel import Process
from reconciler.model.plan import Reason
from reconciler.model.rendered import Mismatch
from reconciler.model.world import Inspection
from reconciler.planning.describe import said

KERNEL = "kernel."
"""How the knobs begin of which the kernel tells."""

DRIFT = frozenset({Reason.DRIFTED, Reason.KERNEL_MISMATCH})
"""Causes of what is done as somebody has changed a container."""

LIMITS = {"mem_limit": (65_536, 0), "memswap_limit": (65_536, 0), "cpus": (0.0001, 0.01), "pids_limit": (0, 0)}
"""By how much less and how much more is the same: memory comes in pages, and systemd rounds up to whole percents."""


def beside_the_engine(inspection: Inspection) -> Iterator[Mismatch]:
    """What the kernel says otherwise than the engine: limits, and rights of what its first process has begun."""
    spec, facts = inspection.spec, inspection.kernel
    if spec is None or facts is None:
        return
    for knob, (less, more) in LIMITS.items():
        limit, actual = getattr(spec, knob), getattr(facts, knob)
        limit = limit if limit > 0 else inf
        if actual is not None and not limit - less <= actual <= limit + more:
            yield Mismatch(KERNEL + knob, _limit(knob, limit), _limit(knob, actual))
    for process in facts.processes:
        for knob, expected, right in _other_rights(spec, process) if process.own else ():
            yield Mismatch(KERNEL + knob, expected, f"{right} (pid {process.pid})")


def foreign(inspection: Inspection) -> tuple[str, ...]:
    """A sentence about each kind of process that was put into it, with rights that are not its own."""
    spec, facts = inspection.spec, inspection.kernel
    if spec is None or facts is None:
        return ()
    others = {one.pid: [*_other_rights(spec, one)] for one in facts.processes if not one.own}
    return tuple(
        f"foreign process {pid}: {', '.join(f'{knob} {right}' for knob, _, right in rights)}"
        for pid, rights in others.items()
        if rights
    )


def unread(inspection: Inspection) -> Iterator[Mismatch]:
    """What the kernel does not say; nothing of what does not run, or has just ended."""
    facts = inspection.kernel
    if facts and facts.why_unknown:
        yield Mismatch(f"{KERNEL}facts", "known", f"unknown ({facts.why_unknown})")
    elif facts:
        yield from (Mismatch(KERNEL + knob, "known", "unknown") for knob in LIMITS if getattr(facts, knob) is None)


def cause_of(drift: Iterable[Mismatch]) -> Reason:
    """Why a container is repaired, by who knows of it: the engine, or the kernel alone."""
    return Reason.KERNEL_MISMATCH if all(one.knob.startswith(KERNEL) for one in drift) else Reason.DRIFTED


def _limit(knob: str, value: float) -> str:
    return "unlimited" if value == inf else said(knob, value if knob == "cpus" else int(value))


def _other_rights(spec: ContainerSpec, process: Process) -> Iterator[tuple[str, str, str]]:
    """In which it has others than a sandbox has, with what those are."""
    if process.user != spec.user:
        yield "user", spec.user, process.user
    if process.capabilities:
        yield "capabilities", "none", f"{process.capabilities:x}"
    if not process.no_new_privileges:
        yield "no_new_privileges", "true", "false"
    if not process.seccomp:
        yield "seccomp", "on", "off"
