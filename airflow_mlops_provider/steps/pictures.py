"""Pictures of drift as SVG: a column's reference against the window, and its distance over the batches."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from airflow_mlops_provider.contracts.monitor import ColumnDrift, Shares

__all__ = ["Distance", "history_picture", "shares_picture"]

_WIDTH, _HEIGHT, _EDGE, _FOOT = 460, 160, 12, 16
_THEN, _NOW, _LEVEL, _PAGE = "#9aa5b1", "#1f5fa8", "#d08700", "#c03030"
_TALLEST = _HEIGHT - _EDGE - _FOOT


class Distance(NamedTuple):
    """A column's distance in one batch, against its own level and that of all watched columns together."""

    batch: str
    value: float
    level: float | None
    page_level: float | None

    @classmethod
    def of(cls, batch: str, column: ColumnDrift) -> Distance:
        """Return that of a batch's drift."""
        return cls(batch, column.jensen_shannon, column.level, column.page_level)


def shares_picture(name: str, shares: Shares) -> str:
    """Return bars of the share of rows in each place: grey in the reference, blue in the window."""
    highest = max((*shares.reference, *shares.current), default=0) or 1.0
    step = (_WIDTH - 2 * _EDGE) / max(len(shares.places), 1)
    bars = []
    for number, place in enumerate(shares.places):
        told = f"{place}: {shares.reference[number]:.2%} before, {shares.current[number]:.2%} now"
        for side, share, colour in ((0, shares.reference[number], _THEN), (1, shares.current[number], _NOW)):
            tall = share / highest * _TALLEST
            x, y = _EDGE + step * (number + 0.08 + 0.42 * side), _HEIGHT - _FOOT - tall
            bars.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{step * 0.42:.1f}" height="{tall:.1f}" fill="{colour}"/>'
            )
        bars.append(_hover(_EDGE + step * number, step, told))
    ends = [(_EDGE, "start", shares.places[0]), (_WIDTH - _EDGE, "end", shares.places[-1])] if shares.places else []
    bars += [_said(x, _HEIGHT - 4, text, anchor) for x, anchor, text in ends]
    bars.append(_said(_EDGE, 10, f"{name}: grey the reference, blue the window, at most {highest:.1%} of the rows"))
    return _drawn(bars, f"{name}: reference against window")


def history_picture(name: str, points: Sequence[Distance]) -> str:
    """Return the distance over the batches, with the level of the column and that of all watched columns."""
    highest = max((v for p in points for v in (p.value, p.level, p.page_level) if v is not None), default=0) or 1.0
    step = (_WIDTH - 2 * _EDGE) / max(len(points), 1)
    marks = []
    for number, point in enumerate(points):
        left, middle = _EDGE + step * number, _EDGE + step * (number + 0.5)
        for bound, colour in ((point.level, _LEVEL), (point.page_level, _PAGE)):
            if bound is not None:
                y = _HEIGHT - _FOOT - bound / highest * _TALLEST
                marks.append(f'<path d="M{left:.1f} {y:.1f}h{step:.1f}" stroke="{colour}"/>')
        y = _HEIGHT - _FOOT - point.value / highest * _TALLEST
        marks.append(f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="3" fill="{_NOW}"/>')
        levels = "".join(
            f", {kind} {bound:.3f}"
            for kind, bound in (("level", point.level), ("of all together", point.page_level))
            if bound is not None
        )
        marks.append(_hover(left, step, f"{point.batch}: {point.value:.3f}{levels}"))
    ends = [(_EDGE, "start", points[0].batch), (_WIDTH - _EDGE, "end", points[-1].batch)] if points else []
    marks += [_said(x, _HEIGHT - 4, text, anchor) for x, anchor, text in ends]
    marks.append(_said(_EDGE, 10, "distance; yellow its own level, red that of all together"))
    return _drawn(marks, f"{name}: distance over the batches")


def _hover(x: float, width: float, told: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="{_HEIGHT}" fill="none" pointer-events="all">'
        f"<title>{escape(told)}</title></rect>"
    )


def _said(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" font-size="10" text-anchor="{anchor}">{escape(text)}</text>'


def _drawn(parts: Sequence[str], label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif">{"".join(parts)}</svg>'
    )
