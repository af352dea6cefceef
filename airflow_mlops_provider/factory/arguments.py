"""What a task is told beyond its own section: the values that other sections of the file already say."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.factory.errors import KeyPath
from airflow_mlops_provider.factory.models import Approval, Pipeline
from airflow_mlops_provider.factory.options import TaskOptions
from airflow_mlops_provider.factory.plan_data import RESULT
from airflow_mlops_provider.factory.resolve import dataset_of, given, labels_of

__all__ = ["OPTIONS", "Arguments", "Fill", "Filled"]

# How long a question waits where nobody says it, as `training.approval` does.
_ASKED = Approval.model_fields["timeout"].default
OPTIONS = frozenset(TaskOptions.model_fields)

Arguments = dict[str, Any]
# An argument with the path of the YAML value that it came from; None: a default of this package.
Filled = dict[str, tuple[Any, KeyPath | None]]


class Fill:
    """Fills in arguments from the whole pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.model = pipeline.model or pipeline.pipeline
        self.dataset = dataset_of(pipeline)

    def named(self, also: frozenset[str] | set[str] = frozenset()) -> Filled:
        """Return the model, and the alias or timezone where the file says one."""
        filled: Filled = {"model": (self.model, ("model",) if self.pipeline.model else ("pipeline",))}
        for key in sorted(also):
            if key in self.pipeline.model_fields_set:
                filled[key] = (getattr(self.pipeline, key), (key,))
        return filled

    def from_dataset(self, *keys: str) -> Filled:
        """Return fields of the training dataset, where they are known."""
        return {key: self.dataset[key] for key in keys if key in self.dataset}

    def validate(self) -> Filled:
        """What ingest staged, and the rules of its datasets."""
        data = self.pipeline.data
        if data is None:
            return {}
        staged = {name: source for name, source in data.ingest.items() if not source.reference}
        keys = {name: list(source.unique_key) for name, source in staged.items() if source.unique_key}
        policies = {name: s.on_schema_change for name, s in staged.items() if "on_schema_change" in s.model_fields_set}
        filled: Filled = {
            "datasets": (
                {name: given(self.pipeline, "data", "validate_", name) for name in data.validate_},
                ("data", "validate"),
            ),
            "publish": (list(staged), ("data", "ingest")),
        }
        if keys:
            filled["unique_keys"] = (keys, ("data", "ingest"))
        if policies:
            filled["on_schema_change"] = (policies, ("data", "ingest"))
        return filled

    def maintain(self) -> Filled:
        """Every table of the lake that this pipeline writes."""
        data = self.pipeline.data
        ingested = list(data.ingest) if data else []
        published = list(data.transform.publish) if data and data.transform else []
        tables = [*ingested, *(f"quarantine/{name}" for name in ingested), *published, f"predictions/{self.model}"]
        return {"tables": (tables, None)}

    def drift(self) -> Filled:
        """What was scored, as the training knew it."""
        filled = self.named({"alias", "timezone"}) | self.from_dataset("feature_service", "event_timestamp")
        if self.pipeline.scoring is not None:
            filled["dataset"] = (self.pipeline.scoring.dataset, ("scoring", "dataset"))
        return filled

    def performance(self) -> Filled:
        """The labels: by default the rows that the model is trained on."""
        filled = self.named({"timezone"}) | self.from_dataset("target", "unique_key", "event_timestamp")
        return filled | ({"labels": labels} if (labels := labels_of(self.pipeline)) else {})

    def rollback(self) -> Filled:
        """The probation that scoring grants."""
        filled = self.named({"alias"})
        if self.pipeline.scoring is not None and "probation" in self.pipeline.scoring.model_fields_set:
            filled["probation"] = (self.pipeline.scoring.probation, ("scoring", "probation"))
        return filled

    def decide(self) -> Filled:
        """The policy, whole, and the table whose batches are decided on."""
        monitoring, training = self.pipeline.monitoring, self.pipeline.training
        if monitoring is None or monitoring.retrain is None:
            return {}
        policy = {
            key: value for key, value in given(self.pipeline, "monitoring", "retrain").items() if key not in OPTIONS
        }
        if training is not None and "first_after" in training.model_fields_set:
            policy["first_after"] = training.first_after
        filled = self.named({"alias"}) | {"retrain": (policy, ("monitoring", "retrain"))}
        return filled | ({"labels": labels} if (labels := labels_of(self.pipeline)) else {})

    def train(self) -> Filled:
        """The rows, and how the evaluation wants the last of them kept apart."""
        filled = self.named({"timezone"}) | self._training_dataset()
        said = given(self.pipeline, "training", "evaluate")
        for name in ("holdout", "refit"):
            if said.get(name):
                filled[name] = (said[name], ("training", "evaluate", name))
        # The training's run has its decision's id; a run that a person started has none in the ledger.
        filled["decision"] = ("{{ run_id }}", None)
        return filled

    def evaluate(self) -> Filled:
        """The same rows; without gates of its own the primary metric must be better."""
        evaluate = self.pipeline.training and self.pipeline.training.evaluate
        metric = evaluate.primary_metric if evaluate else "log_loss"
        filled = self.named({"alias", "timezone"}) | self._training_dataset()
        filled["challenger"] = ({RESULT: "train"}, None)
        filled["primary_metric"] = (metric, None)
        filled["gates"] = ({metric: {"vs_champion": "better", "alpha": 0.1}}, None)
        return filled

    def _training_dataset(self) -> Filled:
        values = {key: value for key, (value, _) in self.dataset.items()}
        return {"dataset": (values, ("training", "dataset"))}

    def ask(self) -> Filled:
        """Who must agree before a training, for how long: the people of `approval`, else anybody who may answer."""
        approval = self.pipeline.training.approval if self.pipeline.training else None
        path: KeyPath = ("training", "approval")
        if approval is None:
            return {"timeout_s": (_ASKED.total_seconds(), None)}
        return {
            "approvers": (list(approval.approvers), (*path, "approvers")),
            "timeout_s": (approval.timeout.total_seconds(), (*path, "timeout")),
        }

    def approval(self) -> Filled:
        """Who must agree, for how long, to what."""
        approval = self.pipeline.training.approval if self.pipeline.training else None
        if approval is None:
            return {}
        path: KeyPath = ("training", "approval")
        return {
            "approvers": (list(approval.approvers), (*path, "approvers")),
            "timeout_s": (approval.timeout.total_seconds(), (*path, "timeout")),
            "verdict": ({RESULT: "evaluate"}, None),
            "version": ({RESULT: "register.version"}, None),
        }
