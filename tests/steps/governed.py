"""A pipeline's ledgers as its governor meets them, written month by month."""

from __future__ import annotations

from airflow_mlops_provider.contracts.decide import Condition, DecideSpec, RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import EvaluateResult, MetricEstimate
from airflow_mlops_provider.contracts.monitor import BatchDrift, BatchPerformance
from airflow_mlops_provider.contracts.promote import Promotion
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.decide import decide
from airflow_mlops_provider.steps.history import Monitoring
from airflow_mlops_provider.steps.promotions import PromotionLedger
from tests.steps.flow import batch

GAP = RetrainPolicy(when={"calibration_gap": Condition(abs_above=0.04)})


class World:
    """A pipeline's ledgers, written month by month."""

    def __init__(self, lake) -> None:
        self.lake = lake
        self.monitoring = Monitoring(lake, "p")
        self.run = 0

    def label(self, *months: int) -> None:
        for month in months:
            BatchLedger(self.lake, "labels").accept(batch(month), version=1, rows=100, run_key="r")

    def promote(self, version: str, *, former: str | None = None, kind: str = "promote") -> None:
        ledger = PromotionLedger(self.lake, "m")
        at = batch(1).start
        line = {"sequence": len(ledger.history()) + 1, "kind": kind, "version": version, "former": former}
        assert ledger.commit(Promotion(**line, recorded_at=at, run_key=f"{version}/{kind}"))

    def measure(self, month: int, gap: float, version: str = "1", **shadow) -> None:
        metrics = {"calibration_gap": MetricEstimate(value=gap, rows=100)}
        record = {"batch": batch(month).id, "version": version, "rows": 100, "labelled": 100, "metrics": metrics}
        self.add("performance", month, BatchPerformance(**record, **shadow), version)

    def drift(self, month: int, *columns: str) -> None:
        record = {"batch": batch(month).id, "rows": 100, "columns": (), "paged": (), "max_effect": 0.3}
        self.add("drift", month, BatchDrift(**record, drifted=columns), "1")

    def conclude(self, month: int, verdict: str = "accepted", version: str = "2", run: str | None = None) -> None:
        """End the training that the month's decision asked for, or that of a run that a person started."""
        record = EvaluateResult(verdict=verdict, reason="gain +0.012, p 0.23")
        self.add("training", month, record, version, run=run or f"p__{batch(month).id}")

    def add(self, kind, month, record, version, run: str = "run", **more) -> None:
        line = {"model": "m", "version": version, "run_key": f"p/{kind}/{run}"}
        self.monitoring.add(kind, batch(month).id, batch(month).end, record, **line, **more)

    def decide(self, policy: RetrainPolicy = GAP, *, retry: bool = False):
        self.run += not retry
        spec = DecideSpec(pipeline="p", lake=self.lake.root, model="m", labels="labels", retrain=policy)
        return decide(spec, StepContext(f"run {self.run}", emit=lambda _: None))
