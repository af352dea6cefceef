"""The monitoring history of a pipeline as a page: figures over the batches, drift by column, decisions with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from airflow_mlops_provider.contracts.base import Json
from airflow_mlops_provider.contracts.decide import Decision
from airflow_mlops_provider.contracts.monitor import ColumnDrift, Shares
from airflow_mlops_provider.steps.history import DecisionLedger, Monitoring
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.pictures import Distance, history_picture, shares_picture

__all__ = ["monitoring_page"]

_WIDTH, _HEIGHT, _SIDE, _EDGE = 700, 120, 56, 12
_STYLE = (
    "body{font:14px sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:2px 6px;text-align:left;vertical-align:top}"
    "td:first-child,th{white-space:nowrap}svg{background:#fafafa;border:1px solid #ddd}"
    ".named{background:#f4b6b6}.drifted{background:#fbe6c0}.retrain{font-weight:bold}"
)
# A page is for people: of more than these nobody looks at pictures.
_PICTURED_BATCHES, _PICTURED_COLUMNS = 60, 50
# Half of the interval that covers 95 % of a normal error.
_ERRORS = 1.96


@dataclass(frozen=True, slots=True)
class _Point:
    batch: str
    value: float
    se: float
    estimated: bool


def monitoring_page(lake: Lake, pipeline: str) -> str:
    """Return the page's HTML; it has no script and loads nothing."""
    monitoring = Monitoring(lake, pipeline)
    measured, estimates = monitoring.lines("performance"), monitoring.lines("estimate")
    drift = monitoring.lines("drift")
    decisions = {made.batch: made for made in DecisionLedger(lake, pipeline).decisions()}
    batches = _in_order(measured, estimates, drift)
    parts = [f"<h1>{escape(pipeline)}</h1>"]
    parts += [_figure(name, points) for name, points in _series(batches, measured, estimates).items()]
    parts += [_columns(batches, drift), _pictures(batches, drift), _decisions(batches, measured, decisions)]
    if not batches:
        parts = [f"<h1>{escape(pipeline)}</h1><p>No batch was monitored yet.</p>"]
    return f"<!doctype html><title>{escape(pipeline)}</title><style>{_STYLE}</style>{''.join(parts)}"


def _in_order(*kinds: dict[str, Json]) -> list[str]:
    ends = {batch: line["end"] for lines in kinds for batch, line in lines.items()}
    return sorted(ends, key=lambda batch: (ends[batch], batch))


def _series(batches: Sequence[str], measured: dict[str, Json], estimates: dict[str, Json]) -> dict[str, list[_Point]]:
    """Return each metric's points in data time: what was measured, else what was estimated."""
    series: dict[str, list[_Point]] = {}
    for batch in batches:
        line = measured.get(batch) or estimates.get(batch)
        for name, found in (line["record"].get("metrics", {}) if line else {}).items():
            point = _Point(batch, found["value"], found.get("se") or 0.0, batch not in measured)
            series.setdefault(name, []).append(point)
    return series


def _figure(name: str, points: Sequence[_Point]) -> str:
    low = min(p.value - _ERRORS * p.se for p in points)
    high = max(p.value + _ERRORS * p.se for p in points)
    span = (high - low) or abs(high) or 1.0

    def y(value: float) -> float:
        return _HEIGHT - _EDGE - (value - low) / span * (_HEIGHT - 2 * _EDGE)

    step = (_WIDTH - 2 * _SIDE) / max(len(points) - 1, 1)
    marks = []
    for number, point in enumerate(points):
        x = _SIDE + number * step
        bounds = y(point.value - _ERRORS * point.se), y(point.value + _ERRORS * point.se)
        fill = "#fff" if point.estimated else "#1f5fa8"
        told = f"{point.batch}: {point.value:.4f}" + (f" (se {point.se:.4f})" if point.se else "")
        marks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bounds[0]:.1f}" y2="{bounds[1]:.1f}" stroke="#9bb8da"/>')
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y(point.value):.1f}" r="4" fill="{fill}" stroke="#1f5fa8">'
            f"<title>{escape(told)}{', estimated' if point.estimated else ''}</title></circle>"
        )
    marks += [f'<text x="4" y="{y(v):.1f}" dy="4" font-size="10">{v:.3g}</text>' for v in (low, high)]
    hollow = "; hollow: estimated before the outcomes" if any(point.estimated for point in points) else ""
    ends = f"{points[0].batch} to {points[-1].batch}, with 95 % intervals over days{hollow}"
    return (
        f'<h2>{escape(name)}</h2><svg role="img" width="{_WIDTH}" height="{_HEIGHT}">{"".join(marks)}</svg>'
        f"<p>{escape(ends)}</p>"
    )


def _columns(batches: Sequence[str], drift: dict[str, Json]) -> str:
    """The Jensen-Shannon distance of each column over the batches, against its level."""
    seen = [batch for batch in batches if batch in drift]
    found = {batch: {c["column"]: c for c in drift[batch]["record"]["columns"]} for batch in seen}
    names = sorted({name for columns in found.values() for name in columns})
    if not names:
        return ""
    head = "".join(f"<th>{escape(batch)}</th>" for batch in seen)
    lines = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(_distance(found[batch].get(name)) for batch in seen)}</tr>"
        for name in names
    )
    said = (
        "<h2>Drift by column</h2><p>Jensen-Shannon distance from the champion's reference; "
        "yellow: over the column's own level, red: named, over the level of all together too</p>"
    )
    return f"{said}<table><tr><th></th>{head}</tr>{lines}</table>"


def _distance(column: Json | None) -> str:
    if column is None:
        return "<td></td>"
    level = column.get("level")
    look = "named" if column.get("named") else "drifted" if column["drifted"] else ""
    told = column.get("detail") or (f"level {level:.3f}" if level else "no level")
    return f'<td class="{look}" title="{escape(told)}">{column["jensen_shannon"]:.3f}</td>'


def _pictures(batches: Sequence[str], drift: dict[str, Json]) -> str:
    """Of each column that drifted, its newest drifted window against the reference, and its distances."""
    seen = [batch for batch in batches if batch in drift][-_PICTURED_BATCHES:]
    found = {b: {c["column"]: c for c in drift[b]["record"]["columns"]} for b in seen}
    newest = {name: (b, c) for b, columns in found.items() for name, c in columns.items() if c.get("shares")}
    parts = []
    last = sorted(newest.items(), key=lambda one: (-seen.index(one[1][0]), one[0]))[:_PICTURED_COLUMNS]
    for name, (batch, column) in sorted(last):
        drawn = {b: ColumnDrift.model_validate(columns[name]) for b, columns in found.items() if name in columns}
        parts.append(
            f"<h3>{escape(name)}, {escape(batch)}</h3><p>{escape(_told(column))}</p>"
            f"{shares_picture(name, Shares.model_validate(column['shares']))} "
            f"{history_picture(name, [Distance.of(b, c) for b, c in drawn.items()])}"
        )
    return f"<h2>Columns that drifted</h2>{''.join(parts)}" if parts else ""


def _told(column: Json) -> str:
    effect = column.get("effect")
    moves = f"; predictions' mean {effect['mean']:+.4f}, each by {effect['each']:.4f}" if effect else ""
    return f"{column['detail']}{moves}"


def _decisions(batches: Sequence[str], measured: dict[str, Json], decisions: dict[str, Decision]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("batch", "version", "rows", "with outcome", "decision", "reason"))
    lines = []
    for batch in batches:
        record = measured[batch]["record"] if batch in measured else {}
        made = decisions.get(batch)
        cells = [batch, record.get("version"), record.get("rows"), record.get("labelled")]
        cells += [made.decision if made else None, made.reason if made else None]
        look = ' class="retrain"' if made and made.decision == "retrain" else ""
        lines.append(f"<tr{look}>{''.join(f'<td>{escape(_text(cell))}</td>' for cell in cells)}</tr>")
    return f"<h2>Decisions</h2><table><tr>{head}</tr>{''.join(lines)}</table>"


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)
