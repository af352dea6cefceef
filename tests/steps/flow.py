"""A small world for the steps that follow training: months of rows, their labels, and two models of known worth."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.evaluate import EvaluateSpec, Gate
from airflow_mlops_provider.contracts.monitor import DriftSpec, PerformanceSpec
from airflow_mlops_provider.contracts.promote import PromoteSpec, RegisterSpec, RollbackSpec
from airflow_mlops_provider.contracts.score import ScoreSpec
from airflow_mlops_provider.contracts.train import TrainingDataset, TrainSpec
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.drift import drift
from airflow_mlops_provider.steps.evaluate import evaluate
from airflow_mlops_provider.steps.performance import performance
from airflow_mlops_provider.steps.promote import promote, register
from airflow_mlops_provider.steps.rollback import rollback
from airflow_mlops_provider.steps.score import score
from airflow_mlops_provider.steps.train import train

LOGISTIC = "sklearn.linear_model.LogisticRegression"
DUMMY = "sklearn.dummy.DummyClassifier"
ZONE = ZoneInfo("America/New_York")
DATASET = TrainingDataset(
    entities="labels", target="late", event_timestamp="at", unique_key=("id",), columns=("size", "colour")
)


def batch(month: int) -> Batch:
    start = datetime(2013, month, 1, tzinfo=ZONE)
    end = datetime(2013, month + 1, 1, tzinfo=ZONE)
    return Batch(id=start.date().isoformat(), start=start, end=end, timezone=ZONE.key)


def rows(month: int, *, per_day: int = 40, slope: float = 2.0, seed: int = 0) -> pa.Table:
    """Rows of a month: `late` depends on `size` with the given slope, `colour` does not matter."""
    draw = np.random.default_rng([seed, month])
    when = batch(month)
    days = (when.end - when.start).days
    count = days * per_day
    size = draw.normal(size=count)
    late = draw.random(count) < 1 / (1 + np.exp(1 - slope * size))
    at = [when.start + timedelta(days=i // per_day, minutes=30 * (i % per_day)) for i in range(count)]
    return pa.table(
        {
            "id": [f"{month}-{i}" for i in range(count)],
            "at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "size": size,
            "colour": draw.choice(["red", "green"], count),
            "late": late,
            "_batch": [when.id] * count,
        }
    )


def add_month(lake, month: int, *, labels: bool = True, **kwargs) -> pa.Table:
    """Publish a month's rows as `entities`, and with their outcome as `labels`."""
    table = rows(month, **kwargs)
    names = {"entities": table.drop_columns(["late"])} | ({"labels": table} if labels else {})
    for name, data in names.items():
        version, _ = lake.write_once(name, data, app=f"{name}/{month}")
        BatchLedger(lake, name).accept(batch(month), version=version, rows=data.num_rows, run_key="test")
    return table


class World:
    """The specs of one pipeline over one lake, a step a method."""

    def __init__(self, lake, context):
        self.lake, self.context = lake, context
        self.common = {"pipeline": "p", "lake": lake.root}
        self.looks = 0

    def at(self, key):
        return dataclasses.replace(self.context, run_key=key)

    def train(self, key, estimator=LOGISTIC, **kwargs):
        spec = {"model": "m", "dataset": DATASET, "estimator": estimator, "holdout": timedelta(days=10)}
        spec["timezone"] = ZONE.key
        return train(TrainSpec(**self.common, **{**spec, **kwargs}), self.at(f"{key}/train"))

    def evaluate(self, key, trained, **kwargs):
        gate = {"log_loss": Gate(vs_champion="better", alpha=0.1)}
        spec = {"model": "m", "challenger": trained, "dataset": DATASET, "timezone": ZONE.key, "gates": gate}
        return evaluate(EvaluateSpec(**self.common, **{**spec, **kwargs}), self.at(f"{key}/evaluate"))

    def register(self, key, trained, verdict):
        return register(RegisterSpec(**self.common, model="m", trained=trained, verdict=verdict), self.at(key))

    def promote(self, key, trained, verdict, version):
        spec = PromoteSpec(**self.common, model="m", version=version, trained=trained, verdict=verdict)
        return promote(spec, self.at(f"{key}/promote"))

    def champion(self, key, **kwargs):
        """Train, judge, register and promote, whatever the verdict."""
        trained = self.train(key, **kwargs)
        verdict = self.evaluate(key, trained)
        made = self.register(key, trained, verdict)
        return self.promote(key, trained, verdict, made.version)

    def score(self, **kwargs):
        spec = {"model": "m", "dataset": "entities", "event_timestamp": "at", "unique_key": ("id",)}
        return score(ScoreSpec(**self.common, **{**spec, **kwargs}), self.at("score"))

    def performance(self, **kwargs):
        spec = {"model": "m", "labels": "labels", "target": "late", "unique_key": ("id",), "event_timestamp": "at"}
        return performance(PerformanceSpec(**self.common, **{**spec, **kwargs}), self.at("performance"))

    def rollback(self, key, **kwargs):
        return rollback(RollbackSpec(**self.common, model="m", **kwargs), self.at(key))

    def drift(self, *, retry=False, **kwargs):
        self.looks += not retry
        spec = {"model": "m", "dataset": "entities", "event_timestamp": "at", "report": False}
        return drift(DriftSpec(**self.common, **{**spec, **kwargs}), self.at(f"drift {self.looks}"))
