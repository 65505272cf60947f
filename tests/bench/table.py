"""What is told: figures beside their references, as Markdown or JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench.measure import Sample

MB = 1_000_000


@dataclass(frozen=True)
class Goal:
    """At most so many times the reference, plus so much, in the figure's unit."""

    times: float = 0.0
    plus: float = 0.0

    def met(self, ours: Sample, reference: Sample | None) -> bool | None:
        """None where the reference was not measured."""
        if self.times and reference is None:
            return None
        return ours.median <= self.times * (reference.median if reference else 0) + self.plus

    def text(self, unit: str) -> str:
        parts = [f"{self.times:.2f} of it"] if self.times and not (self.times == 1 and self.plus) else []
        if self.plus or not self.times:
            parts.append(("+ " if self.times else "") + quantity(self.plus, unit))
        return f"≤ {' '.join(parts)}"


@dataclass(frozen=True)
class Line:
    """One figure; without a goal it is only told. `note` is for below the table."""

    row: int
    figure: str
    ours: Sample
    against: str = ""
    reference: Sample | None = None
    goal: Goal | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        if self.reference is None or not self.reference.median:
            return None
        return self.ours.median / self.reference.median

    @property
    def met(self) -> bool | None:
        return self.goal.met(self.ours, self.reference) if self.goal else None


def markdown(machine: dict[str, str], lines: list[Line]) -> str:
    return "\n".join([*(f"{key}: {value}  " for key, value in machine.items()), "", *_table(lines), *_notes(lines)])


def as_json(machine: dict[str, str], lines: list[Line]) -> dict[str, Any]:
    return {"machine": machine, "figures": [_object(line) for line in lines]}


def _object(line: Line) -> dict[str, Any]:
    return {
        "row": line.row,
        "figure": line.figure,
        "unit": line.ours.unit,
        "median": line.ours.median,
        "values": line.ours.values,
        "against": line.against,
        "reference": line.reference.median if line.reference else None,
        "reference_values": line.reference.values if line.reference else None,
        "ratio": line.ratio,
        "spread": line.ours.spread,
        "goal": line.goal.text(line.ours.unit) if line.goal else None,
        "met": line.met,
        "note": line.note,
    }


def _table(lines: list[Line]) -> Iterator[str]:
    cells = [("#", "figure", "ours", "reference", "ratio", "spread", "goal", "met"), *map(_cells, lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        yield _row(row, widths)
        if number == 0:
            yield _row(["-" * width for width in widths], widths)


def _row(cells: Iterable[str], widths: list[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"


def _cells(line: Line) -> tuple[str, ...]:
    unit = line.ours.unit
    told = quantity(line.reference.median, line.reference.unit) if line.reference else "not measured"
    spreads = [sample.spread for sample in (line.ours, line.reference) if sample and sample.spread is not None]
    return (
        str(line.row),
        line.figure,
        quantity(line.ours.median, unit),
        f"{line.against} {told}" if line.against else "",
        "" if line.ratio is None else f"{line.ratio:.2f}" if line.ratio >= 0.1 else f"{line.ratio:.3f}",
        ", ".join(f"{spread:.0%}" for spread in spreads),
        line.goal.text(unit) if line.goal else "",
        {True: "yes", False: "no", None: ""}[line.met],
    )


def _notes(lines: list[Line]) -> Iterator[str]:
    yield ""
    yield "Medians; the spread is (most - least) / median, ours and the reference's; an empty goal is only told."
    yield from (f"- row {line.row}, {line.figure}: {line.note}" for line in lines if line.note)


def quantity(value: float, unit: str) -> str:
    """With three digits that count; seconds below one as milliseconds."""
    if unit == "s" and abs(value) < 1:
        value, unit = value * 1000, "ms"
    digits = 0 if value == round(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} {unit}".strip()
