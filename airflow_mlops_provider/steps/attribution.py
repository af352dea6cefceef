"""What a column's drift does to the model's predictions: undo it alone, and predict again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from airflow_mlops_provider.contracts.monitor import PredictionEffect
from airflow_mlops_provider.contracts.profile import ColumnProfile
from airflow_mlops_provider.steps.profile_scan import REST

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SAMPLED", "attribute", "undone"]

# Rows that are predicted again, a column: a mean effect is then known to a fiftieth of the rows' spread.
SAMPLED = 2000

Floats = NDArray[np.float64]
Predict = Callable[["pd.DataFrame"], Floats]


def attribute(predict: Predict, rows: pd.DataFrame, reference: Sequence[ColumnProfile]) -> dict[str, PredictionEffect]:
    """Return what the drift of each of `reference`'s columns does to the predictions of `rows`, the largest first.

    `rows` are a sample of what was scored, one column an input of the model. Of each column the drift alone is
    undone (`undone`), all else left as it came: what the predictions differ by is its effect. Effects of columns that
    the model uses together do not add up. Dates have none.
    Source: one mechanism replaced at a time, after Budhathoki et al. (2021), Why did the distribution change?,
    AISTATS, PMLR 130.
    """
    now = predict(rows)
    effects = {}
    for column in reference:
        if column.name not in rows or column.kind == "datetime":
            continue
        differences = now - predict(rows.assign(**{column.name: undone(rows[column.name], column)}))
        # A model may give no number for some rows.
        differences = differences[np.isfinite(differences)]
        if differences.size:
            effects[column.name] = PredictionEffect(
                mean=float(differences.mean()), each=float(np.abs(differences).mean()), rows=differences.size
            )
    return dict(sorted(effects.items(), key=lambda found: (-found[1].each, found[0])))


def undone(values: pd.Series[Any], reference: ColumnProfile) -> pd.Series[Any]:
    """Return `values` of shape (n,) with no more of them changed than gives them the reference's shares.

    Nulls that are too many get a value of the reference, some values become nulls where they are too few. A number
    keeps its rank and moves to where that rank lies in the reference: in its own bin it keeps its value, in another it
    takes that one's mean. Of a level that is too frequent, rows that are drawn take levels that are too rare.
    """
    counted = sum(reference.counts) + reference.nulls
    if not counted:
        return values
    change = _levels if reference.kind == "categorical" else _numbers
    changed = change(values, reference, len(values) / counted)
    return values.__class__(changed, index=values.index, name=values.name, dtype=values.dtype)


def _numbers(values: pd.Series[Any], reference: ColumnProfile, scale: float) -> NDArray[Any]:
    found: Floats = values.to_numpy(np.float64, copy=True)
    whole = not np.mod(found[np.isfinite(found)], 1).any()
    counts = np.array(reference.counts, np.float64)
    there = np.isfinite(found)
    wanted = np.array([reference.nulls, counts.sum()]) * scale
    kept = _coupled(there.astype(np.int64), wanted) == 1
    found[~kept] = np.nan
    if counts.sum():
        shares = counts / counts.sum()
        means = np.array(reference.sums) / np.maximum(counts, 1)
        found[kept & there] = _at_its_rank(found[kept & there], reference.edges, means, shares)
        rng = np.random.default_rng(0)
        found[kept & ~there] = means[rng.choice(len(means), int((kept & ~there).sum()), p=shares)]
    # Whole numbers stay whole: the model may take no others.
    return np.rint(found) if whole else found


def _at_its_rank(values: Floats, edges: Sequence[float], means: Floats, shares: Floats) -> Floats:
    ranks = np.empty(len(values))
    # Rows of one value are told apart by lot: of a flag only some rows may have to move.
    order = np.lexsort((np.random.default_rng(0).random(len(values)), values))
    ranks[order] = (np.arange(len(values)) + 0.5) / max(len(values), 1)
    # The last bin has no upper end: the shares may add up to a little less than 1.
    wanted = np.searchsorted(np.cumsum(shares)[:-1], ranks)
    stays = np.searchsorted(edges, values) == wanted
    found = np.where(stays, values, means[wanted])
    for end, least, most in _open_ends(edges):
        kept = stays & (wanted == end)
        if kept.any():
            found[kept] = np.clip(values[kept] + means[end] - values[kept].mean(), least, most)
    return found


def _open_ends(edges: Sequence[float]) -> list[tuple[int, float, float]]:
    """Return the bins without an end, with their bounds: what stays there has to go as far as their mean tells."""
    if not edges:
        return []
    return [(0, -np.inf, edges[0]), (len(edges), float(np.nextafter(edges[-1], np.inf)), np.inf)]


def _levels(values: pd.Series[Any], reference: ColumnProfile, scale: float) -> NDArray[Any]:
    # The rest's own levels are not known: its share stays where it is.
    counts = {level: count for level, count in zip(reference.levels, reference.counts, strict=True) if level != REST}
    known = [*counts, None]
    place = {level: i for i, level in enumerate(known)}
    codes = np.array([place.get(level, -1) for level in map(_level, values)], np.int64)
    coupled = _coupled(codes, np.array([*counts.values(), reference.nulls]) * scale)
    found: NDArray[Any] = values.to_numpy(object, copy=True)
    moved = coupled != codes
    found[moved] = [_value(known[code], values) for code in coupled[moved]]
    return found


def _coupled(codes: NDArray[np.int64], wanted: Floats) -> NDArray[np.int64]:
    """Return codes of which the k-th occurs about `wanted[k]` times; those of -1 and too frequent ones are changed."""
    rng = np.random.default_rng(0)
    room = np.round(wanted).astype(np.int64)
    free = [
        rng.permutation(np.flatnonzero(codes == code))[room[code] if code >= 0 else 0 :] for code in np.unique(codes)
    ]
    places = rng.permutation(np.concatenate(free)) if free else np.zeros(0, np.int64)
    missing = np.maximum(room - np.bincount(codes[codes >= 0], minlength=len(room)), 0)
    short = rng.permutation(np.repeat(np.arange(len(room)), missing))[: len(places)]
    changed = codes.copy()
    changed[places[: len(short)]] = short
    return changed


def _level(value: Any) -> str | None:
    """Return a value of a frame as the profile names it: booleans are numbers there."""
    if value is None or value != value:  # only NaN differs from itself
        return None
    return value if isinstance(value, str) else "true" if value else "false"


def _value(level: str | None, values: pd.Series[Any]) -> Any:
    if values.dtype == object:
        return level
    return np.nan if level is None else float(level == "true")
