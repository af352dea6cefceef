"""Search for a trainer's parameters with Optuna, in this process; what was tried is never tried again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.contracts.search import Range, Scalar, Search, Trial
from airflow_mlops_provider.exceptions import DataError, MissingExtraError, MlopsError

if TYPE_CHECKING:
    import optuna

__all__ = ["Attempt", "Report", "search"]

# A trial is given up where its figure is worse than the median of the earlier ones at the same point.
_UNPRUNED = 5
Report = Callable[[float, int], None]
Attempt = Callable[[dict[str, Scalar], Report], float]


def search(
    spec: Search,
    attempt: Attempt,
    *,
    higher_is_better: bool,
    seed: int,
    known: Sequence[Trial] = (),
    record: Callable[[Trial], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Trial:
    """Return the best trial of `spec.trials`, those that are `known` from an earlier try included.

    `attempt(params, report)` fits and returns the metric; `report(value, step)` tells how it goes, and gives the
    trial up where it goes badly. An error of this package (bad input, SIGTERM) ends the search and is kept of no trial;
    any other fault is that trial's.
    `record` is called after each. Time that earlier tries took counts. Same seed, same trials: same proposals.
    Raises DataError if no trial was completed, MissingExtraError without Optuna.
    """
    if find_spec("optuna") is None:
        raise MissingExtraError("optuna", "optuna")
    study = _study(spec, higher_is_better, seed, known)
    done = list(known)
    while len(done) < spec.trials and not _over(spec, done):
        trial = study.ask(_space(spec))
        found = _tried(trial, attempt, len(done), clock)
        study.tell(trial, found.value, _state(found), skip_if_finished=True)
        record(found)
        done.append(found)
    complete = [trial for trial in done if trial.state == "complete" and trial.value is not None]
    if not complete:
        errors = "; ".join(dict.fromkeys(trial.error for trial in done if trial.error)) or "all were given up"
        raise DataError(f"search: none of {len(done)} trials was completed: {errors}")
    return (max if higher_is_better else min)(complete, key=lambda trial: (trial.value or 0.0, -trial.number))


def _over(spec: Search, done: Sequence[Trial]) -> bool:
    return spec.time is not None and sum(trial.seconds for trial in done) >= spec.time.total_seconds()


def _study(spec: Search, higher_is_better: bool, seed: int, known: Sequence[Trial]) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize" if higher_is_better else "minimize",
        # A resumed search must not propose again what its first proposals were.
        sampler=optuna.samplers.TPESampler(seed=seed + len(known)),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED),
    )
    for trial in known:
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(trial.params), distributions=_space(spec), value=trial.value, state=_state(trial)
            )
        )
    return study


def _space(spec: Search) -> dict[str, Any]:
    return {name: _distribution(one) for name, one in spec.space.items()}


def _distribution(one: Range | tuple[Scalar, ...]) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(one, Range):
        return CategoricalDistribution(one)
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
    return FloatDistribution(float(one.low), float(one.high), log=one.log, step=one.step)


def _tried(trial: optuna.Trial, attempt: Attempt, number: int, clock: Callable[[], float]) -> Trial:
    import optuna

    def report(value: float, step: int) -> None:
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned

    began, params = clock(), dict(trial.params)
    made: Mapping[str, Any]
    try:
        value = attempt(params, report)
        made = (
            {"state": "complete", "value": float(value)}
            if math.isfinite(value)
            else {"state": "failed", "error": "the metric is not finite"}
        )
    except optuna.TrialPruned:
        made = {"state": "pruned"}
    except MlopsError:
        # Bad input, or SIGTERM: of the whole step, not of this choice.
        raise
    except Exception as exc:  # noqa: BLE001  # one bad choice of parameters must not end the search; its words are kept
        made = {"state": "failed", "error": f"{type(exc).__name__}: {exc}"}
    return Trial(number=number, params=params, seconds=clock() - began, **made)


def _state(trial: Trial) -> optuna.trial.TrialState:
    from optuna.trial import TrialState

    return {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[trial.state]
