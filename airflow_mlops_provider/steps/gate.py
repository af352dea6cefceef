"""A promotion's gates: the challenger is better, or not worse, by more than days differ by chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from airflow_mlops_provider.contracts.evaluate import Gate, GateResult
from airflow_mlops_provider.steps.metrics import Influence, defined, influence, lower_is_better

__all__ = ["compare", "judge"]

Unit = Literal["days", "rows"]
# Fewer days tell nothing of the correlation between days, fewer rows nothing of how their losses are spread.
_FEWEST: dict[Unit, int] = {"days": 5, "rows": 30}


def compare(
    metric: str,
    y: ArrayLike,
    p_challenger: ArrayLike,
    p_champion: ArrayLike | None,
    days: ArrayLike,
    gate: Gate,
    unit: Unit = "days",
) -> GateResult:
    """Judge one gate on rows that neither model was fitted on; all arrays have shape (n,).

    `better` asks that the gain is above 0 with a one-sided error of at most `gate.alpha`; `non_inferior`
    the same of gain + margin. The gain is of the metric over all rows, so that a day counts by its rows.
    `at_least` and `at_most` bound the challenger's own metric. For calibration_gap its absolute value counts
    throughout. Without a champion (None) the bounds alone count. `unit` is what `days` tells apart: each row a number
    of its own where rows have no time. Raises DataError and ConfigError as `metrics.estimate`.
    """
    if not all(defined(metric, np.asarray(y), np.asarray(p)) for p in (p_challenger, p_champion) if p is not None):
        reason = f"{metric} has no value on these rows: their outcomes are all alike, or the predictions part them"
        return GateResult(metric=metric, passed=False, reason=reason)
    challenger = _oriented(metric, influence(metric, y, p_challenger, days))
    if misses := _misses(metric, challenger.value, gate):
        return GateResult(metric=metric, passed=False, reason=misses, blocks=challenger.days.size)
    if gate.vs_champion is None or p_champion is None:
        why = "no champion to compare with" if gate.vs_champion else "within its bounds"
        return GateResult(
            metric=metric, passed=True, reason=f"{metric} {challenger.value:.4f}: {why}", blocks=challenger.days.size
        )
    champion = _oriented(metric, influence(metric, y, p_champion, days))
    return judge(metric, champion - challenger if lower_is_better(metric) else challenger - champion, gate, unit)


def judge(metric: str, gain: Influence, gate: Gate, unit: Unit = "days") -> GateResult:
    """Judge the challenger's gain over the champion: a t test over the days, see `Influence.spread`.

    Fewer than 5 days never pass. Error measured by flipping the signs of the days of nine real pairs, mean over
    the pairs at alpha 0.1 / 0.05. Independent flips: 0.052 / 0.015 over 10 days, 0.080 / 0.031 over 30; flips
    with correlation 0.3: 0.064 / 0.022 and 0.090 / 0.038, the worst pair of 10 days 0.106 / 0.071 (ten days
    cannot tell a run from a gain). Power for a gain of 2.5 standard errors: 0.75 / 0.59 and 0.84 / 0.72. A t test
    that takes days as independent gives 0.181 / 0.124 in its worst pair.

    Rows in place of days (at least 30) have to be independent: nobody can tell where they have no time. Of two equal
    models then 0.07 to 0.11 pass at alpha 0.1 (30 to 300 rows, log_loss, rmse, mae); by roc_auc up to 0.2 where fewer
    than ten rows are positive.
    """
    days, spread = gain.days.size, gain.spread()
    margin = gate.margin if gate.vs_champion == "non_inferior" else 0.0
    if spread is None or days < _FEWEST[unit]:
        reason = f"{metric}: {days} {unit} with labels are too few to compare; {_FEWEST[unit]} are needed"
        return GateResult(metric=metric, passed=False, reason=reason, gain=gain.value, blocks=days)
    se, freedom = spread
    above = gain.value + margin
    p_value = float(stats.t.sf(above / se, freedom)) if se > 0 else float(above <= 0)
    passed = p_value <= gate.alpha
    margins = f" with a margin of {margin:g}" if gate.vs_champion == "non_inferior" else ""
    reason = (
        f"{metric}: gain {gain.value:+.4f} +- {se:.4f} over {days} {unit}{margins}, "
        f"p {p_value:.3f} {'within' if passed else 'above'} alpha {gate.alpha:g}"
    )
    return GateResult(metric=metric, passed=passed, reason=reason, gain=gain.value, se=se, p_value=p_value, blocks=days)


def _oriented(metric: str, found: Influence) -> Influence:
    if metric != "calibration_gap" or found.value >= 0:
        return found
    return replace(found, value=-found.value, days=-found.days)


def _misses(metric: str, value: float, gate: Gate) -> str:
    if gate.at_least is not None and value < gate.at_least:
        return f"{metric} {value:.4f} is below the required {gate.at_least:g}"
    if gate.at_most is not None and value > gate.at_most:
        return f"{metric} {value:.4f} is above the allowed {gate.at_most:g}"
    return ""
