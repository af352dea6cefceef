"""The default policy on daily batches: trainings where nothing changes, and days until a sudden change trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from airflow_mlops_provider.contracts.decide import WHEN, Condition, RetrainPolicy
from tests.bench_drift.labelled import World
from tests.bench_drift.lives import MONTH, Models
from tests.bench_drift.markdown import table

__all__ = ["VARIANTS", "daily", "report"]

_WIDE = {
    "calibration_gap": Condition(abs_above=0.02, alpha=0.001),
    "calibration_slope": Condition(below=0.9, above=1.1, alpha=0.001),
}
VARIANTS: dict[str, Mapping[str, Condition]] = {
    "the default": WHEN,
    "alpha .0001": {name: bounds.model_copy(update={"alpha": 0.0001}) for name, bounds in WHEN.items()},
    "bounds twice as wide": _WIDE,
}
_SUDDEN = ("prior, sudden", "concept, sudden")


def daily(effect: float, when: Mapping[str, Condition], calm: int, changing: int) -> Iterator[float]:
    """Yield the mean trainings of calm streams, and the mean days to the first training after each sudden change."""
    policy = RetrainPolicy(when=dict(when))
    lives = [Models(World("calm", effect).draw(seed), 1).live(policy, gate=False) for seed in range(calm)]
    yield float(np.mean([len(life.trained) for life in lives]))
    for kind in _SUDDEN:
        world, waited = World(kind, effect), []
        for seed in range(changing):
            since = MONTH * (world.changed(seed) or 0)
            models = Models(world.draw(seed), 1)
            trained = models.live(policy, gate=False).trained
            waited.append(min((day - since for day in trained if day > since), default=MONTH * world.windows - since))
        yield float(np.mean(waited))


def report(count: int) -> Iterator[str]:
    """Yield the tables' lines."""
    calm, changing = max(count // 4, 1), max(count // 10, 1)
    yield f"daily batches of 200 rows, 19 months; {calm} calm streams, {changing} of each kind that changes"
    heads = ("trainings, calm", *(f"{kind}: days to the training" for kind in _SUDDEN))
    for kind, effect in (("day effects", 0.1), ("large day effects", 0.3)):
        rows = ((name, daily(effect, when, calm, changing)) for name, when in VARIANTS.items())
        yield ""
        yield from table(kind, heads, rows)
