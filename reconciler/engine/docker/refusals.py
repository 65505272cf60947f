"""Why an engine said no. Status codes alone do not tell: a missing user, a bad sysctl and a taken port are all 500."""

import re

from reconciler.model.errors import Refusal

CONFLICT = 409

SIGNS: tuple[tuple[Refusal, re.Pattern[str]], ...] = (
    # At the end, as the middle of a message may quote a sandbox's command.
    (Refusal.PORT_TAKEN, re.compile(r"(port is already allocated|address already in use)\W*$", re.I)),
    (
        Refusal.NAME_TAKEN,
        re.compile(r"name .* is already in use|network .* already (exists|used)|UNIQUE.*\.Name", re.I),
    ),
    (Refusal.IMAGE_MISSING, re.compile(r"no such image|image not known", re.I)),
    (Refusal.NOT_FOUND, re.compile(r"no such container|no container with name or id", re.I)),
    (Refusal.BUSY, re.compile(r"container state improper", re.I)),  # Podman's 500 for what is a conflict elsewhere
)

WANTS_LOGIN = "the registry has no such image, or wants a login"

PULL_SIGNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    # Each has a space, as a message may quote a reference, which has none.
    ("the registry allows no more pulls for now", re.compile(r"toomanyrequests: |too many requests|rate limit", re.I)),
    ("the registry's certificate is not trusted", re.compile(r"x509: ", re.I)),
    (
        "no usable answer from the registry",
        re.compile(
            r"dial tcp|no such host|lookup \S+ on|pinging container registry|i/o timeout|TLS handshake|tls: "
            r"|timed out|deadline exceeded|Timeout exceeded|connection (refused|reset|broken)|is unreachable"
            r"|(^|: )(unexpected )?EOF|malformed HTTP|error parsing HTTP|HTTP (response|status)"
            r"|unexpected status(?!.*: 401 Unauthorized$)"
            r"|unknown: \d{3} |unexpected media type|invalid character '|of JSON input|cannot unmarshal"
            r"|missing signature|unsupported .* type",
            re.I,
        ),
    ),
    ("the image is for other platforms only", re.compile(r"no matching manifest|no image found in .* index", re.I)),
    ("no space left to store the image", re.compile(r"no space left", re.I)),
    (
        WANTS_LOGIN,
        re.compile(
            r"access denied|denied: |unauthorized: |: 401 Unauthorized$|is denied|authentication required"
            r"|no basic auth",
            re.I,
        ),
    ),
    (
        "the registry has no such image",
        re.compile(r"manifest unknown|name unknown|manifest for .* not found|: not found", re.I),
    ),
)


def refusal(status: int, message: str) -> Refusal:
    """The kind of refusal; a conflict with what the container does at the moment is `BUSY`."""
    for kind, sign in SIGNS:
        if sign.search(message):
            return kind
    return Refusal.BUSY if status == CONFLICT else Refusal.OTHER


def not_pulled(message: str) -> str:
    """Why an image could not be pulled, in our own words: an engine quotes whatever answered at the registry's address.

    A refused connection, silence and an answer that no registry gives read the same: no open port is revealed.
    """
    return next(
        (why for why, sign in PULL_SIGNS if sign.search(message)), "the engine's log says why it cannot be pulled"
    )
