"""Policies on labelled streams: how often they train, and how much they keep of what training every month gains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context

import numpy as np

from airflow_mlops_provider.contracts.decide import WHEN, Condition, RetrainPolicy
from tests.bench_drift import markdown
from tests.bench_drift.labelled import CALM, DRIFTING, HARMLESS, KINDS, World
from tests.bench_drift.lives import MONTH, Life, Models

__all__ = ["POLICIES", "Policy", "lives", "report", "table"]


@dataclass(frozen=True)
class Policy:
    """Bounds of `retrain.when` and what else the policy says; with `gate` a challenger must win to serve."""

    when: Mapping[str, Condition]
    gate: bool = False
    cooldown: int = 0

    @property
    def contract(self) -> RetrainPolicy:
        """The governor's policy."""
        return RetrainPolicy(when=dict(self.when), cooldown=timedelta(days=self.cooldown))

    @property
    def distances(self) -> bool:
        """Whether it looks at the columns."""
        return bool({"named_columns", "evidently"} & self.when.keys())


_ALWAYS = {"log_loss": Condition(above=0)}
_BOUNDS = {"calibration_gap": Condition(abs_above=0.03), "calibration_slope": Condition(below=0.85, above=1.15)}
NEVER, EVERY = "never", "every month"
_HARMFUL = 0.02
POLICIES: dict[str, Policy] = {
    NEVER: Policy({}),
    EVERY: Policy(_ALWAYS, cooldown=MONTH),
    "every month, gate": Policy(_ALWAYS, cooldown=MONTH, gate=True),
    "every second month": Policy(_ALWAYS, cooldown=2 * MONTH),
    "a column named by our drift": Policy({"named_columns": Condition(above=0)}),
    "Evidently: half of the columns": Policy({"evidently": Condition(above=0.4999)}),
    "gap over .02": Policy({"calibration_gap": Condition(abs_above=0.02)}),
    "gap over .04": Policy({"calibration_gap": Condition(abs_above=0.04)}),
    "log loss over 1.02 of the holdout's": Policy({"log_loss_ratio": Condition(above=1.02)}),
    "gap over .03 or slope off by .15": Policy(_BOUNDS),
    "the default": Policy(WHEN),
    "the default, gate": Policy(WHEN, gate=True),
    "the default, gate, cool-down of two weeks": Policy(WHEN, gate=True, cooldown=14),
}
"""By name, all decided by the governor; a model is fitted on 30 days."""
OF_SHORT_BATCHES = (NEVER, EVERY, *(name for name in POLICIES if name.startswith("the default")))
"""Those for batches that are shorter than that."""


def lives(world: World, seed: int, batch_days: int) -> dict[str, Life]:
    """Return what becomes of a stream under each policy that is for such batches."""
    models = Models(world.draw(seed), batch_days)
    names = POLICIES if batch_days == MONTH else OF_SHORT_BATCHES
    given = {name: POLICIES[name] for name in names}
    return {name: models.live(p.contract, gate=p.gate, distances=p.distances) for name, p in given.items()}


HEADS = (
    "trainings in 19 months",
    "gain kept %",
    "of the worst kind %",
    "mean log loss",
    "worst batch",
    "trainings, calm",
    "sudden shifts: trained in a month %",
    "sudden concept shifts",
    "sudden concept shifts that cost .02 nats",
    "harmless shifts",
)
_SUDDEN = tuple(name for name in DRIFTING if name.endswith("sudden"))


def table(effect: float, count: int, batch_days: int = MONTH, **world: int) -> Iterator[tuple[str, list[float]]]:
    """Yield each policy with its figures, those of `HEADS`, over `count` streams a kind with day effects `effect`.

    The gain kept is (never - policy) / (never - every month) of the mean log loss, over all drifting streams.
    """
    worlds = {kind: World(kind, effect, **world) for kind in (*DRIFTING, *CALM, *HARMLESS)}
    each = [(worlds[kind], seed, batch_days) for kind in worlds for seed in range(count)]
    found: dict[str, list[dict[str, Life]]] = {kind: [] for kind in worlds}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for (one, *_), lived in zip(each, pool.map(lives, *zip(*each, strict=True)), strict=True):
            found[one.kind].append(lived)

    def lost(name: str, kind: str) -> float:
        return float(np.mean([lived[name].losses.mean() for lived in found[kind]]))

    def kept(name: str, *kinds: str) -> float:
        never, policy, every = (sum(lost(one, kind) for kind in kinds) for one in (NEVER, name, EVERY))
        return 100 * (never - policy) / (never - every)

    def trained(name: str, *kinds: str) -> float:
        return float(np.mean([len(lived[name].trained) for kind in kinds for lived in found[kind]]))

    def at_once(name: str, *kinds: str, harm: float = -np.inf) -> float:
        """In the first month of the shift, or at its end; of the shifts that cost at least `harm`."""
        hits = [
            any(0 < day - _changed(worlds[kind], seed) <= MONTH for day in lived[name].trained)
            for kind in kinds
            for seed, lived in enumerate(found[kind])
            if _harm(worlds[kind], seed, lived) >= harm
        ]
        return 100 * float(np.mean(hits)) if hits else 0.0

    for name in found["calm"][0]:
        yield (
            name,
            [
                trained(name, *DRIFTING),
                kept(name, *DRIFTING),
                min(kept(name, kind) for kind in DRIFTING),
                float(np.mean([lost(name, kind) for kind in DRIFTING])),
                float(np.mean([lived[name].losses.max() for kind in DRIFTING for lived in found[kind]])),
                trained(name, *CALM),
                at_once(name, *_SUDDEN),
                at_once(name, "concept, sudden"),
                at_once(name, "concept, sudden", harm=_HARMFUL),
                at_once(name, *HARMLESS),
            ],
        )


def _harm(world: World, seed: int, lived: Mapping[str, Life]) -> float:
    """Return how much more the first model loses after the change than before, in nats."""
    losses = lived[NEVER].losses
    since = losses.size * (_changed(world, seed) - MONTH) // (MONTH * (world.windows - 1))
    return float(losses[since:].mean() - losses[:since].mean())


def _changed(world: World, seed: int) -> int:
    window = world.changed(seed)
    return MONTH * (world.windows if window is None else window)


def report(count: int) -> Iterator[str]:
    """Yield the tables' lines: months, and fewer streams of the default on weekly and daily batches."""
    for kind, effect in (("day effects", 0.1), ("large day effects", 0.3)):
        for batches, days, streams in (
            ("months", MONTH, count // 2),
            ("weeks", 7, count // 5),
            ("days", 1, count // 16),
        ):
            streams = max(streams, 1)
            yield ""
            yield f"{kind}, batches of {batches}: {streams} streams of each of {len(KINDS)} kinds, 200 rows a day"
            yield ""
            yield from markdown.table("policy", HEADS, table(effect, streams, days))
