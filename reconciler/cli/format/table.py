"""The sandboxes as a table, first those that are not as declared."""

from collections.abc import Iterable

from reconciler.cli.format.terminal import Line, Part, Style, cells, cut, dim, green, red, wrapped, yellow
from reconciler.model.plan import Reason
from reconciler.model.status import ConditionType, Phase, SandboxStatus
from reconciler.planning.exits import with_last_output
from reconciler.spec.units import age_text

COLUMNS = ("NAME", "PHASE", "READY", "SYNCED", "ADDRESS", "RESTARTS", "AGE")
ON_ANOTHER_HOST = tuple(f"{title} THERE" if title == "ADDRESS" else title for title in COLUMNS)
NAME_MIN, ADDRESS_MAX, MESSAGE_MIN = 12, 22, 40
"""Cells: a name is cut to no less, an address to no more, and a message stands under its row when it has less."""

LINES_MAX = 4
"""Of a message; `reconciler status NAME` shows all of it."""

GAP, INDENT = "  ", "    "
BAR_CELLS = 32

UNDER_WAY = frozenset({Phase.PULLING, Phase.STARTING, Phase.UPDATING, Phase.STOPPING})

PLAIN = frozenset({Reason.RUNNING, Reason.HEALTHY, Reason.STOPPED, Reason.COMPLETED})
"""Reasons that say nothing beside the phase."""

Cell = tuple[str, Style]


def table(
    statuses: Iterable[SandboxStatus], now: float, width: int | None, titles: tuple[str, ...] = COLUMNS
) -> list[Line]:
    """Fits the width; without one each sandbox has one line, and nothing is cut."""
    found = sorted(statuses, key=lambda status: (status.as_declared, status.name))
    rows = [_row(status, now) for status in found]
    columns = _columns(rows, width, titles)
    taken = sum(columns) + len(GAP) * len(columns)
    beside = width is None or width - taken >= MESSAGE_MIN
    indent = " " * taken if beside else INDENT
    room = None if width is None else width - len(indent)
    lines: list[Line] = [dim(GAP.join([*map(str.ljust, titles, columns), *(["MESSAGE"] if beside else [])]).rstrip())]
    for status, row in zip(found, rows, strict=True):
        *line, gap = (part for cell, column in zip(row, columns, strict=True) for part in _fitted(cell, column))
        message = _message(status, room)
        if beside and message:
            line += [gap, *message.pop(0)]
        lines += [line, *([indent, *more] for more in message)]
    return lines


def explanation(status: SandboxStatus) -> str:
    """The reason and the message; without the reason where the phase says as much."""
    expected = status.reason in PLAIN or (status.message and status.phase in UNDER_WAY)
    message = with_last_output(status)
    return message if expected else f"{status.reason}: {message}".removesuffix(": ")


def addresses(status: SandboxStatus) -> str:
    """Its address on the engine's host: `127.0.0.1:61000,61001`; empty when it has none."""
    return "127.0.0.1:" + ",".join(map(str, status.ports.values())) if status.ready and status.ports else ""


def phase_style(status: SandboxStatus) -> Style:
    """Green where all is as declared, yellow where something is under way, red for the rest."""
    if status.as_declared:
        return green
    return yellow if status.phase in UNDER_WAY | {Phase.WAITING} else red


def bar(share: float) -> list[Part]:
    """A progress bar with its percentage."""
    done = round(max(0.0, min(share, 1.0)) * BAR_CELLS)
    return [green("━" * done), dim("─" * (BAR_CELLS - done)), f" {share:4.0%}".replace("%", " %")]


def _row(status: SandboxStatus, now: float) -> list[Cell]:
    address, age = addresses(status), _age(status, now)
    return [
        (status.name, str),
        (status.phase, phase_style(status)),
        _answer(status, ConditionType.READY),
        _answer(status, ConditionType.SYNCED),
        (address or "-", str if address else dim),
        (str(status.restarts), str if status.restarts else dim),
        (age or "-", str if age else dim),
    ]


def _answer(status: SandboxStatus, kind: ConditionType) -> Cell:
    """A `no` is in the colour of an error only when it is not as declared."""
    condition = status.condition(kind)
    if condition is None:
        return "-", dim
    return ("yes", green) if condition.status else ("no", str if status.as_declared else phase_style(status))


def _age(status: SandboxStatus, now: float) -> str:
    """How long it has been ready, or not ready."""
    ready = status.condition(ConditionType.READY)
    return age_text(now - ready.since) if ready else ""


def _columns(rows: list[list[Cell]], width: int | None, titles: tuple[str, ...]) -> list[int]:
    """The width of each column: what the widest cell needs, unless that is too much."""
    name, phase, ready, synced, address, *others = (
        max(cells(title), *(cells(row[index][0]) for row in rows), 0) for index, title in enumerate(titles)
    )
    if width is not None:
        address = min(address, ADDRESS_MAX)
        rest = sum((phase, ready, synced, address, *others)) + len(GAP) * (len(COLUMNS) - 1)
        name = min(name, max(NAME_MIN, width - rest))
    return [name, phase, ready, synced, address, *others]


def _fitted(cell: Cell, width: int) -> tuple[Part, str]:
    """What the cell shows, and the blanks up to the next one."""
    text, style = cell
    shown = cut(text, width)
    return style(shown), " " * (width - cells(shown)) + GAP


def _message(status: SandboxStatus, width: int | None) -> list[list[Part]]:
    """Its lines; without a width one, or none."""
    text = explanation(status)
    if width is None:
        return [[text]] if text else []
    style: Style = dim if status.as_declared else str
    lines: list[list[Part]] = [[style(line)] for line in (wrapped(text, width, lines_max=LINES_MAX) if text else ())]
    return lines if status.progress is None else [bar(status.progress), *lines]
