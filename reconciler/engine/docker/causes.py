"""What an engine's refusals mean, in our words: the cause first, ids last, a line of a terminal each."""

import re

from reconciler.engine.docker.refusals import refusal
from reconciler.model.errors import EngineRefused
from reconciler.spec.text import LINE_MAX, printable

CAUSES: tuple[tuple[str, str], ...] = (
    (r"(?:Bind for|listen tcp4?|host port(?: for)?) ([\d.]+:\d+).*already (?:allocated|in use)\W*$", "{} is in use"),
    (
        r'exec: "([^"]+)": (?:stat [^:]+: )?(?:executable file not found in \$PATH|no such file or directory)',
        "the image has no program {}",
    ),
    (r'exec: "([^"]+)": (?:stat [^:]+: )?permission denied', "permission denied: it cannot run {}"),
    (r"executable file `([^`]+)` not found", "the image has no program {}"),
    (
        r"the path `([^`]+)` (?:exists but it is not executable|is not a regular file)",
        "permission denied: it cannot run {}",
    ),
    (r"exec format error", "the image is for another kind of processor"),
    (
        r'name "?/?([^\s"]+)"? is already in use by (?:container )?"?([0-9a-f]{12})',
        "another container is called {}: {}",
    ),
    (r"no such image: (\S+)", "the image is not there: {}"),
    (r"no (?:such container|container with name or ID)\W+([0-9a-f]{12})", "the container is gone: {}"),
    (r"network (\S+) not found", "the network is gone: {}"),
    (r"network (\S+) is ambiguous", "two networks have one name: {}"),
    (r"bind source path does not exist: (\S+)", "no such file or directory: {}"),
    (r'error mounting "([^"]+)" to rootfs at "([^"]+)".*: ([^:]+)$', "{2}: cannot mount {0} at {1}"),
    (r'chdir to cwd \("([^"]+)"\)[^:]*: ([^:]+)', "{1}: cannot enter working_dir {0}"),
    (r"(?:unknown runtime specified|unknown or invalid runtime name:?) (\S+)", "the engine has no runtime {}"),
    (r"address pool|fully subnetted", "no addresses are left for a network; see the engine's default-address-pools"),
    (r"has active endpoints", "containers are still in the network"),
    (r"no space left on device\W*$", "no space is left on the engine's disk"),
    (r"cannot allocate memory\W*$", "no memory is left on the engine's host"),
    (r"removal of container \S+ is already in progress", "the engine is removing it already"),
    (r"cannot remove (?:a running )?container .*(?:running|stop)", "it still runs"),
    (r"paused container|container \S+ is paused", "it is paused"),
    (r"did not receive an exit event|tried to kill container", "it does not end, even when it is killed"),
)
"""A pattern in the engine's text, matched without case; and the meaning, filled in with the pattern's groups."""


def refused(status: int, text: str) -> EngineRefused:
    """The error for what an engine answered with this status code."""
    return EngineRefused(refusal(status, text), cause(text), printable(text))


def cause(text: str) -> str:
    """What the engine means. Of a text that matches nothing, the end: engines tell what failed before why it did."""
    text = text.strip().removesuffix(": unknown")
    for sign, meaning in CAUSES:
        if found := re.search(sign, text, re.IGNORECASE | re.DOTALL):
            return printable(meaning.format(*found.groups()), 2 * LINE_MAX)
    first, *more = reversed(text.split(": "))
    for part in more:
        if len(first) + len(part) + 2 > LINE_MAX:
            break
        first = f"{part}: {first}"
    return printable(first, LINE_MAX)
