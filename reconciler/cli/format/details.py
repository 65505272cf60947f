"""Everything known about one sandbox, in blocks."""

from collections.abc import Callable
from datetime import datetime

from click import style, unstyle

from reconciler.cli.format.table import bar, explanation, phase_style
from reconciler.cli.format.terminal import cells, dim, good, wrapped, wrong
from reconciler.model.status import SandboxStatus
from reconciler.spec.text import printable
from reconciler.spec.units import MIB, age_text

Block = Callable[[SandboxStatus, float], list[str]]
"""Lines about one thing as of a moment; none when there is nothing to say."""

TEXT_MAX = 2000
SHORT_ID = 12
INDENT = "  "


def details(status: SandboxStatus, now: float, width: int | None) -> list[str]:
    """All blocks that have something to say, with an empty line between them; their sentences fit the width."""
    blocks = (block(status, now) for block in BLOCKS)
    lines = [line for block in blocks if block for line in ("", *block)][1:]
    return [piece for line in lines for piece in _fitted(line, width)]


def moment(at: float, now: float) -> str:
    """A time of this host's clock and how far it is: `2026-07-05 14:03:22 (3h12m ago)`; empty for never."""
    if not at:
        return ""
    away = f"{age_text(now - at)} ago" if at <= now else f"in {age_text(at - now)}"
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S} ({away})"


def _summary(status: SandboxStatus, _: float) -> list[str]:
    phase = phase_style(status)(f"{status.phase}, {'ready' if status.ready else 'not ready'}")
    lines = [f"{style(printable(status.name), bold=True)}{INDENT}{phase}"]
    if status.progress is not None:
        lines.append(INDENT + bar(status.progress))
    return [*lines, *_indented(explanation(status)), *_indented("" if status.as_declared else status.reason.means)]


def _container(status: SandboxStatus, now: float) -> list[str]:
    fields = [
        ("file", status.file or "none: deleted"),
        ("image", status.image),
        ("digest", status.digest or status.image_id),
        ("container", f"{status.container_name} {status.container_id[:SHORT_ID]}".strip()),
        *(("port", f"{inside} at 127.0.0.1:{outside}") for inside, outside in status.ports.items()),
        ("fingerprint", status.fingerprint[:SHORT_ID]),
        ("started", moment(status.started_at, now)),
        ("restarts", str(status.restarts)),
        ("disk", _disk(status)),
        ("last exit", _exit(status, now)),
    ]
    return [f"{INDENT}{dim(f'{name:13}')}{printable(value, TEXT_MAX)}" for name, value in fields if value]


def _exit(status: SandboxStatus, now: float) -> str:
    if status.exit_code is None:
        return ""
    memory = ", out of memory" if status.oom_killed else ""
    return f"code {status.exit_code}{memory}, {moment(status.exited_at, now)}".removesuffix(", ")


def _disk(status: SandboxStatus) -> str:
    """What its container has written; empty before the first measurement."""
    written = status.disk_bytes.get(status.container_id)
    return "" if written is None else f"{written / MIB:.1f}m written"


def _conditions(status: SandboxStatus, now: float) -> list[str]:
    told = {"", status.message, status.failure.message if status.failure else ""}
    rows = []
    for one in status.conditions:
        rows.append(f"{INDENT}{one.type:10} {'yes' if one.status else 'no':5}{one.reason:22}{moment(one.since, now)}")
        rows += [] if one.message in told else _indented(f"{INDENT}{one.message}")
    return [*_title(f"{'CONDITION':10} {'':5}{'REASON':22}SINCE"), *rows] if rows else []


def _failure(status: SandboxStatus, now: float) -> list[str]:
    if status.failure is None:
        return []
    failure = status.failure
    row = f", {status.failures} failures in a row" if status.failures > 1 else ""
    again = f"next attempt at {moment(status.retry_at, now)}" if status.retry_at > now else ""
    first = f"{wrong(failure.reason)}{row}, {moment(failure.at, now)}"
    return [*_title("LAST FAILURE"), INDENT + first, *_indented(failure.message), *_indented(again)]


def _last_output(status: SandboxStatus, _: float) -> list[str]:
    """The status has the lines escaped already."""
    return [*_title("LAST OUTPUT"), *map(dim, map(INDENT.__add__, status.last_output))] if status.last_output else []


def _attestation(status: SandboxStatus, now: float) -> list[str]:
    if status.attested is None:
        return []
    attested = status.attested
    result = good("verified") if attested.ok else wrong("verification failed")
    against = f"against policy {printable(attested.policy[:SHORT_ID])}, {moment(attested.at, now)}"
    mismatches = [line for mismatch in attested.mismatches for line in _indented(mismatch)]
    notes = [line for note in attested.notes for line in _indented(f"not known to this version: {note}")]
    return [*_title("ATTESTATION"), f"{INDENT}{result} {against}", *mismatches, *notes]


def _title(text: str) -> list[str]:
    return [INDENT + dim(text)]


def _fitted(line: str, width: int | None) -> list[str]:
    """What has colours is a field, and stays whole."""
    if width is None or cells(line) <= width or unstyle(line) != line:
        return [line]
    return [INDENT + piece for piece in wrapped(line, width - len(INDENT))]


def _indented(text: str) -> list[str]:
    return [f"{INDENT}{printable(text, TEXT_MAX)}"] if text else []


BLOCKS: tuple[Block, ...] = (_summary, _container, _conditions, _failure, _last_output, _attestation)
"""In the order in which they are shown."""
