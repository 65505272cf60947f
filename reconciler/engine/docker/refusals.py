"""Why an engine said no. Status codes alone do not tell: a missing user, a bad sysctl and a taken port are all 500."""

import re

from reconciler.model.errors import Refusal

CONFLICT = 409

SIGNS: tuple[tuple[Refusal, re.Pattern[str]], ...] = (
    # At the end, as the middle of a message may quote a sandbox's command.
    (Refusal.PORT_TAKEN, re.compile(r"(port is already allocated|address already in use)\W*$", re.I)),
    (Refusal.NAME_TAKEN, re.compile(r"name .* is already in use|network .* already (exists|used)", re.I)),
    (
        Refusal.IMAGE_MISSING,
        re.compile(
            r"no such image|image not known|manifest unknown|manifest for .* not found|pull access denied"
            r"|repository does not exist|access to the resource is denied",
            re.I,
        ),
    ),
    (Refusal.NOT_FOUND, re.compile(r"no such container|no container with name or id", re.I)),
    (Refusal.BUSY, re.compile(r"container state improper", re.I)),  # Podman's 500 for what is a conflict elsewhere
)


def refusal(status: int, message: str) -> Refusal:
    """What kind of no it is; a conflict with what the container does at the moment is `BUSY`."""
    for kind, sign in SIGNS:
        if sign.search(message):
            return kind
    return Refusal.BUSY if status == CONFLICT else Refusal.OTHER
