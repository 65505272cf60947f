"""Everything known about one sandbox, in blocks."""

from collections.abc import Callable, Iterator
from datetime import datetime

from reconciler.cli.format.table import bar, explanation, phase_style
from reconciler.cli.format.terminal import Line, bold, cells, dim, green, red, wrapped
from reconciler.model.status import SandboxStatus
from reconciler.spec.units import MIB, age_text

Block = Callable[[SandboxStatus, float], Iterator[Line]]
"""Lines about one thing as of a moment; none when there is nothing to say."""

SHORT_ID = 12
INDENT = "  "


def details(status: SandboxStatus, now: float, width: int | None) -> list[Line]:
    """All blocks that have something to say, with an empty line between them; their sentences fit the width."""
    blocks = (list(block(status, now)) for block in BLOCKS)
    lines = [line for block in blocks if block for line in ("", *block)][1:]
    return [piece for line in lines for piece in _fitted(line, width)]


def moment(at: float, now: float) -> str:
    """A time of this host's clock and how far it is: `2026-07-05 14:03:22 (3h12m ago)`; empty for never."""
    if not at:
        return ""
    away = f"{age_text(now - at)} ago" if at <= now else f"in {age_text(at - now)}"
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S} ({away})"


def _summary(status: SandboxStatus, _: float) -> Iterator[Line]:
    phase = phase_style(status)(f"{status.phase}, {'ready' if status.ready else 'not ready'}")
    yield bold(status.name), INDENT, phase
    if status.progress is not None:
        yield [INDENT, *bar(status.progress)]
    yield from _sentences(explanation(status), "" if status.as_declared else status.reason.means)


def _container(status: SandboxStatus, now: float) -> Iterator[Line]:
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
        ("killed", status.oom_kills and f"{status.oom_kills} of its processes, for memory"),
    ]
    yield from ((INDENT, dim(f"{name:13}"), value) for name, value in fields if value)


def _exit(status: SandboxStatus, now: float) -> str:
    if status.exit_code is None:
        return ""
    memory = ", out of memory" if status.oom_killed else ""
    return f"code {status.exit_code}{memory}, {moment(status.exited_at, now)}".removesuffix(", ")


def _disk(status: SandboxStatus) -> str:
    """What its container has written; empty before the first measurement."""
    written = status.disk_bytes.get(status.container_id)
    return "" if written is None else f"{written / MIB:.1f}m written"


def _conditions(status: SandboxStatus, now: float) -> Iterator[Line]:
    told = {"", status.message, status.failure.message if status.failure else ""}
    if status.conditions:
        yield INDENT, dim(f"{'CONDITION':10} {'':5}{'REASON':22}SINCE")
    for one in status.conditions:
        yield INDENT, f"{one.type:10} {'yes' if one.status else 'no':5}{one.reason:22}{moment(one.since, now)}"
        if one.message not in told:
            yield INDENT + INDENT + one.message


def _failure(status: SandboxStatus, now: float) -> Iterator[Line]:
    if failure := status.failure:
        row = f", {status.failures} failures in a row" if status.failures > 1 else ""
        yield INDENT, dim("LAST FAILURE")
        yield INDENT, red(failure.reason), f"{row}, {moment(failure.at, now)}"
        again = f"next attempt at {moment(status.retry_at, now)}" if status.retry_at > now else ""
        yield from _sentences(failure.message, again)


def _last_output(status: SandboxStatus, _: float) -> Iterator[Line]:
    if status.last_output:
        yield INDENT, dim("LAST OUTPUT")
        yield from (dim(INDENT + line) for line in status.last_output)


def _attestation(status: SandboxStatus, now: float) -> Iterator[Line]:
    if attested := status.attested:
        result = green("verified") if attested.ok else red("verification failed")
        yield INDENT, dim("ATTESTATION")
        yield INDENT, result, f" against policy {attested.policy[:SHORT_ID]}, {moment(attested.at, now)}"
        yield from _sentences(
            attested.kernel and f"kernel {attested.kernel}",
            *attested.mismatches,
            *(f"not known to this version: {note}" for note in attested.notes),
        )


def _sentences(*texts: str) -> Iterator[Line]:
    return (INDENT + text for text in texts if text)


def _fitted(line: Line, width: int | None) -> list[Line]:
    """Sentences are wrapped; what has parts is a field, and stays whole."""
    if width is None or not isinstance(line, str) or cells(line) <= width:
        return [line]
    return [INDENT + piece for piece in wrapped(line, width - len(INDENT))]


BLOCKS: tuple[Block, ...] = (_summary, _container, _conditions, _failure, _last_output, _attestation)
"""In the order in which they are shown."""
