"""Distances of two histograms: from their shares (PSI, Jensen-Shannon, Hellinger), their order and their sums."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from airflow_mlops_provider.contracts.profile import ColumnProfile
from airflow_mlops_provider.exceptions import DataError

__all__ = [
    "Measures",
    "hellinger",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "measure",
    "psi",
    "wasserstein_normed",
]

Floats = NDArray[np.float64]


class Measures(NamedTuple):
    """What parts one column from its reference; None where a measure has no meaning.

    `new_levels` is the share of the rows whose level the reference never had; None for numbers, and where the
    reference has a rest bucket that hides them.
    """

    psi: float
    jensen_shannon: float
    wasserstein: float | None
    hellinger: float
    kolmogorov_smirnov: float | None
    new_levels: float | None


def psi(reference: ArrayLike, current: ArrayLike, *, floor: float = 1e-4) -> float:
    """Return the population stability index of two rows of counts over the same bins, in nats.

    On bin shares r and c, each raised to `floor` so that an empty bin stays finite: sum((c - r) * ln(c / r)).
    At least 0, 0 if equal, symmetric. It depends on its bins: with quantile bins it may be several times that
    of bins of one width. Without drift it averages about (bins - 1) * (1/n + 1/m) for independent rows.
    Raises DataError if the shapes differ or a side is empty.
    Source: Yurdakul & Naranjo (2020), Journal of Risk Model Validation 14(4); the floor is Evidently's.
    """
    r, c = (np.maximum(share, floor) for share in _shares(reference, current))
    return float(np.sum((c - r) * np.log(c / r)))


def jensen_shannon(reference: ArrayLike, current: ArrayLike) -> float:
    """Return the Jensen-Shannon distance of two rows of counts over the same bins, in [0, 1].

    The square root of the divergence with logarithms to base 2, as `scipy.spatial.distance.jensenshannon(base=2)`:
    symmetric, a metric, 1 where no bin is shared. Raises DataError if the shapes differ or a side is empty.
    Source: Endres & Schindelin (2003), IEEE Transactions on Information Theory 49(7).
    """
    r, c = _shares(reference, current)
    middle = (r + c) / 2
    divergence = (_relative_entropy(r, middle) + _relative_entropy(c, middle)) / 2
    return float(np.sqrt(min(max(divergence, 0.0), 1.0)))


def hellinger(reference: ArrayLike, current: ArrayLike) -> float:
    """Return the Hellinger distance of two rows of counts over the same bins, in [0, 1].

    sqrt(1 - sum(sqrt(r * c))) on the bin shares: symmetric, a metric, 1 where no bin is shared. Raises DataError
    if the shapes differ or a side is empty. Source: Le Cam & Yang (2000), Asymptotics in Statistics, 2.
    """
    r, c = _shares(reference, current)
    # As a sum of squares: 1 less the sum of products would leave rounding where both are equal.
    return float(min(np.sqrt(np.sum(np.square(np.sqrt(r) - np.sqrt(c))) / 2), 1.0))


def kolmogorov_smirnov(reference: ArrayLike, current: ArrayLike) -> float:
    """Return the largest difference of two distribution functions at the inner edges of their bins, in [0, 1].

    The counts run in the order of the values. A difference inside a bin is missed: the exact statistic is at
    least this and larger by at most the largest min(r, c) of a bin's two shares (1/20 with 20 quantile bins).
    Raises DataError if the shapes differ or a side is empty.
    """
    r, c = _shares(reference, current)
    return float(min(np.max(np.abs(np.cumsum(r - c)[:-1]), initial=0.0), 1.0))


def wasserstein_normed(
    edges: ArrayLike,
    reference: tuple[ArrayLike, ArrayLike],
    current: tuple[ArrayLike, ArrayLike],
    scale: float,
) -> float:
    """Return the first Wasserstein distance, the integral of |F - G|, over `scale`.

    `edges`, shape (n - 1,), part n bins; each side is (counts, sums), both of shape (n,). By parts the
    integral of F over a bin (a, b] is b F(b) - a F(a) less the bin's share of the mean, so the signed integral
    of F - G over each bin is exact, the two open ends included; only where F and G cross inside a bin is the
    result too small (20 quantile bins, a million rows: by 0.0004 of the scale at most; some thousand rows
    with an outlier in an open end: 0.02 was seen). One bin gives the difference of the means. Raises DataError
    if shapes differ, a side is empty or `scale` is not > 0.
    """
    if not scale > 0:
        raise DataError(f"the scale of a Wasserstein distance must be positive, not {scale}")
    r, c = _shares(reference[0], current[0])
    totals = np.asarray(reference[1], float) / np.sum(reference[0]) - np.asarray(current[1], float) / np.sum(current[0])
    inner = np.asarray(edges, float)
    if totals.shape != r.shape or inner.shape != (r.size - 1,):
        raise DataError(
            f"{r.size} bins need {r.size} sums and {r.size - 1} edges: {totals.size} and {inner.size} given"
        )
    # Values far from 0 would cancel away: measure from the middle edge.
    origin = inner[inner.size // 2] if inner.size else 0.0
    moved = totals - origin * (r - c)
    at_edges = np.concatenate([[0.0], (inner - origin) * np.cumsum(r - c)[:-1], [0.0]])
    return float(np.sum(np.abs(np.diff(at_edges) - moved))) / scale


def measure(reference: ColumnProfile, current: ColumnProfile) -> Measures:
    """Return how far one column is from its reference; Wasserstein is over the reference's standard deviation.

    For PSI, Jensen-Shannon and Hellinger the nulls are a bin of their own, so that a jump of nulls is found;
    Wasserstein and Kolmogorov-Smirnov are of the values alone, and None for categories or where a side has no
    value. A constant reference has no standard deviation: 0.001 stands in, as in Evidently. `current` is counted
    in the bins of `reference` (`profile_like`). Raises DataError if it is not, or has no row.
    """
    r, c = _with_nulls(reference, len(current.counts)), _with_nulls(current, len(current.counts))
    bins = (current.kind, current.edges, current.levels[: len(reference.levels)])
    if bins != (reference.kind, reference.edges, reference.levels):
        raise DataError(f"{reference.name}: the current data is not counted in the bins of the reference")
    wasserstein, largest = _ordered(reference, current)
    opened = reference.kind == "categorical" and len(current.levels) > len(reference.levels)
    return Measures(
        psi=psi(r, c),
        jensen_shannon=jensen_shannon(r, c),
        wasserstein=wasserstein,
        hellinger=hellinger(r, c),
        kolmogorov_smirnov=largest,
        new_levels=float(c[-2] / c.sum()) if opened else None,
    )


def _ordered(reference: ColumnProfile, current: ColumnProfile) -> tuple[float | None, float | None]:
    """Return Wasserstein and Kolmogorov-Smirnov of the values, where they have an order."""
    if reference.kind == "categorical" or not sum(reference.counts) or not sum(current.counts):
        return None, None
    sides = (reference.counts, reference.sums), (current.counts, current.sums)
    wasserstein = wasserstein_normed(reference.edges, *sides, reference.std or 0.001)
    return wasserstein, kolmogorov_smirnov(reference.counts, current.counts)


def _with_nulls(column: ColumnProfile, bins: int) -> Floats:
    # The reference has no count for the bucket of new levels, which ends the current counts.
    missing = bins - len(column.counts)
    if missing not in (0, 1) or (missing and column.kind != "categorical"):
        raise DataError(f"{column.name}: {len(column.counts)} bins against {bins}")
    return np.array([*column.counts, *[0] * missing, column.nulls], dtype=np.float64)


def _shares(reference: ArrayLike, current: ArrayLike) -> tuple[Floats, Floats]:
    r, c = np.asarray(reference, np.float64), np.asarray(current, np.float64)
    if r.shape != c.shape or r.ndim != 1:
        raise DataError(f"counts of different bins cannot be compared: shapes {r.shape} and {c.shape}")
    if not r.sum() > 0 or not c.sum() > 0:
        raise DataError(f"counts of no row cannot be compared: {r.sum():g} reference and {c.sum():g} current rows")
    return r / r.sum(), c / c.sum()


def _relative_entropy(share: Floats, middle: Floats) -> float:
    there = share > 0
    return float(np.sum(share[there] * np.log2(share[there] / middle[there])))
