"""A gate's no that comes from a pod is to Airflow what it is from anywhere."""

from __future__ import annotations

import json
import sys

import pytest

from airflow_mlops_provider.contracts.evaluate import EvaluateResult
from airflow_mlops_provider.contracts.validate import DatasetVerdict, ValidateResult
from airflow_mlops_provider.runners.execute import outcome_of
from airflow_mlops_provider.testing.cluster import Cluster, Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
# An image whose step has made up its mind.
DECIDED = """#!{python} -S
outcome = {outcome!r}
with open("/dev/termination-log", "w") as log:
    log.write(outcome)
"""
DAG = """
from datetime import timedelta

from airflow.sdk import DAG, task
from airflow_mlops_provider.operators.kubernetes import KubernetesStepOperator
from airflow_mlops_provider.operators.promote import MlflowPromoteOperator

@task
def after():
    return "done"

with DAG({dag_id!r}, schedule=None):
    gate = KubernetesStepOperator(
        task_id="gate", step={step!r}, spec={spec!r}, pod={pod!r}, poll_interval=0.2, deferrable={deferrable},
        startup_check_interval_seconds=1, retries=2, retry_delay=timedelta(0),
    )
    gate >> [MlflowPromoteOperator(task_id="promote", model="delay", version="5"), after()]
"""
BATCH = {"id": "b1", "start": "2024-01-01T00:00:00+00:00", "end": "2024-01-02T00:00:00+00:00", "timezone": "UTC"}


@pytest.fixture
def gate(tmp_path, run_dag, runner, monkeypatch):
    """Return a function that runs a DAG whose gate is a step in a pod with this result."""
    monkeypatch.setattr("airflow_mlops_provider.triggers.kubernetes._EARLIEST_S", 0.0)

    def run(step, spec, result, *, deferrable):
        program = tmp_path / "bin" / "python"
        program.parent.mkdir()
        told = {"path": None, "outcome": json.loads(outcome_of(result).encode())}
        program.write_text(DECIDED.format(python=sys.executable, outcome=json.dumps(told)))
        program.chmod(0o755)
        # Its first line names this interpreter, which a checkout below /tmp has there too.
        image = Image(path=(str(program.parent),), folders=Image.of_python().folders)
        with Cluster({"decided": image}, claims={"bin": program.parent}) as cluster:
            monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.airflow_connection())
            pod = {"image": "decided", "volumes": {"bin": {"claim": "bin", "mount_path": str(program.parent)}}}
            source = {"dag_id": f"gate_{tmp_path.name}", "step": step, "spec": spec, "pod": pod}
            ended = run_dag(DAG.format(**source, deferrable=deferrable))
            assert cluster.pods() == []
        return ended

    return run


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_refused_challenger_skips_its_promotion_alone(gate, deferrable):
    verdict = EvaluateResult(verdict="refused", reason="gain +.0158, p .124 > .1")
    dataset = {"entities": "labels", "target": "late"}
    spec = {"model": "delay", "dataset": dataset, "challenger": {"run_id": "abc", "model_uri": "m", "rows": 1}}
    ended = gate("evaluate", spec | {"lake": "lake"}, verdict, deferrable=deferrable)
    assert ended.tasks == {"gate": "success", "promote": "skipped", "after": "success"}
    assert ended.pushed["gate", "return_value"]["reason"] == "gain +.0158, p .124 > .1"


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_refused_batch_fails_at_once_and_leaves_its_verdict(gate, deferrable):
    refused = DatasetVerdict(verdict="refused", rows=100, quarantined=40, refused_because=("40 % of rows failed",))
    verdict = ValidateResult(batch="b1", verdict="refused", datasets={"flights": refused})
    spec = {"datasets": {"flights": {"max_failed": 0.1}}, "batch": BATCH, "lake": "lake"}
    ended = gate("validate", spec, verdict, deferrable=deferrable)
    assert (ended.tasks["gate"], ended.tries["gate"]) == ("failed", 1)
    assert ended.pushed["gate", "return_value"]["datasets"]["flights"]["quarantined"] == 40
