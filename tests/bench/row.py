"""One line of the table, and the whole of it as text and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.measure import Figure

__all__ = ["Row", "as_table", "compared", "write"]


@dataclass(frozen=True)
class Row:
    """What was measured. `floor` is the same work by the bare library, done right; `peer` the tool people use.

    `ratio` is `ours` over `floor`, or over `peer` where there is no floor. `goal` is in words; `met` is None where no
    goal is stated. Figures with `_mb` are peak memory.
    """

    name: str
    ours: float
    unit: str
    n: int
    command: str
    peer: float | None = None
    floor: float | None = None
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    ours_mb: float | None = None
    peer_mb: float | None = None
    floor_mb: float | None = None
    note: str = ""


def compared(
    name: str, found: dict[str, Figure], n: int, *, part: str = "warm", most: float | None = None, note: str = ""
) -> Row:
    """Return the row of `ours` against `floor` and `peer`; `most` is the goal for its ratio."""
    seconds = {side: round(getattr(figure, part), 3) for side, figure in found.items()}
    base = seconds.get("floor", seconds.get("peer"))
    ratio = seconds["ours"] / base if base else None
    return Row(
        name=name,
        **seconds,
        **{f"{side}_mb": round(figure.mb) for side, figure in found.items()},
        unit="CPU s",
        n=n,
        command=f"make bench ONLY={name}",
        ratio=None if ratio is None else round(ratio, 3),
        goal=f"<= {most:g} x {'floor' if 'floor' in found else 'peer'}" if most else "",
        met=None if most is None or ratio is None else ratio <= most,
        note=note,
    )


_COLUMNS = ("name", "ours", "floor", "peer", "ratio", "unit", "n", "goal", "met", "ours_mb", "floor_mb", "peer_mb")


def as_table(rows: list[Row]) -> str:
    """Return the rows as text, one a line, notes below."""
    cells = [list(_COLUMNS), *([_text(getattr(row, c)) for c in _COLUMNS] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    notes = [f"{row.name}: {row.note}" for row in rows if row.note]
    return "\n".join([*lines, "", *notes])


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "MISSED"
    return f"{value:.3g}" if isinstance(value, float) and value < 100 else str(value)


def write(rows: list[Row], path: Path) -> None:
    """Write the rows as JSON in place of those of the same name; others stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text()) if path.is_file() else []
    fresh = {row.name for row in rows}
    kept = [line for line in before if line["name"] not in fresh]
    path.write_text(json.dumps([*kept, *map(asdict, rows)], indent=1) + "\n")
