"""One step in a pod: deferred, in a worker, and with little time. Its source waits until a file is there."""

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_mlops_provider.operators.kubernetes import KubernetesStepOperator

HERE = Path(__file__).parent
SHARED = str(HERE.parent)
BATCH = {"id": "2025-01-01", "start": "2025-01-01T00:00:00+00:00", "end": "2025-01-02T00:00:00+00:00"}
KINDS = {
    "pod-deferred": {},
    "pod-worker": {"deferrable": False},
    "pod-hasty": {"execution_timeout": timedelta(seconds=15)},
}

for name, arguments in KINDS.items():
    with DAG(name, schedule=None) as dag:
        KubernetesStepOperator(
            task_id="step",
            name=name,
            step="ingest",
            spec={
                "batch": {**BATCH, "timezone": "UTC"},
                "datasets": {name.replace("-", "_"): {"python_callable": "pod_source.rows"}},
            },
            pod={
                "image": "steps",
                "bundle": str(HERE),
                "grace": 1,
                "volumes": {"shared": {"claim": "shared", "mount_path": SHARED}},
            },
            config_file=str(HERE / "kubeconfig"),
            kubernetes_conn_id=None,
            retries=0 if name == "pod-hasty" else 3,
            retry_delay=timedelta(0),
            **arguments,
        )
    globals()[name] = dag
