"""The sentence about a sandbox that has ended: why first, then its last output."""

import re

from reconciler.model.plan import Reason
from reconciler.model.status import SandboxStatus
from reconciler.model.world import Inspection
from reconciler.spec.text import LINE_MAX, printable
from reconciler.spec.units import size_text

KILLED = 137
"""The exit code of whom somebody else, or the kernel, has killed."""

EXITS = frozenset({Reason.EXITED, Reason.EXIT_CODE})

FORBIDDEN = re.compile(r"permission denied|operation not permitted|\bEACCES\b|\bEPERM\b", re.IGNORECASE)
FORBIDDEN_LINES = 15
"""So many of the last lines may tell that it was not allowed something: as many as a stack has."""

ERROR = re.compile(r"\b(\w*error|\w*exception|panic|fatal)\b[^:]{0,40}: ", re.IGNORECASE)
"""In the line that says more than those after it, which tell where in a program, and of which version."""


def for_memory(inspection: Inspection, status: SandboxStatus) -> bool:
    """Whether a container was killed for its memory: by the engine's word, or by what the kernel had said before.

    On cgroups of version 2, engines lose many of the kernel's kills.
    """
    return inspection.oom_killed or (inspection.exit_code == KILLED and status.oom_kills > 0)


def exit_message(inspection: Inspection, status: SandboxStatus) -> str:
    """Why a container has ended by itself."""
    if not for_memory(inspection, status):
        killed = inspection.exit_code == KILLED
        return f"killed ({KILLED}), perhaps for memory" if killed else f"exited with code {inspection.exit_code}"
    return f"killed: over mem_limit {size_text(inspection.spec.mem_limit)}" if inspection.spec else "killed: no memory"


def with_last_output(status: SandboxStatus) -> str:
    """The status's message; of what ended by itself, with the last error in its output or what helps, in one line."""
    words = [line.strip() for line in status.last_output if line.strip()]
    if status.reason not in EXITS or not status.message or not status.exit_code or not words:
        return status.message
    if any(map(FORBIDDEN.search, words[-FORBIDDEN_LINES:])):
        user = status.configuration.get("user", "its user")
        return f"permission denied: the image may expect root; use one for {user}, or a tmpfs"
    said = next(filter(ERROR.search, reversed(words)), words[-1])
    return f"{status.message}: {printable(said, LINE_MAX - len(status.reason) - len(status.message) - 8)}"
