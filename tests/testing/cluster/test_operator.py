"""KubernetesPodOperator, unmodified, against the cluster: waiting on a worker and deferred."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.testing.cluster import Evict

DAG = """
    from airflow.sdk import DAG
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

    with DAG("on_the_cluster", schedule=None):
        KubernetesPodOperator(
            task_id="pod",
            name="pod",
            image="python",
            cmds=["python", "-c"],
            arguments=[{code!r}],
            deferrable={deferrable},
            poll_interval=0.2,
            termination_grace_period=1,
            on_finish_action="keep_pod",
            labels={{"case": "{case}"}},
            {more}
        )
"""
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.slow]


@pytest.fixture
def run(cluster, connect_airflow, run_dag):
    def run(code, *, deferrable, case, more=""):
        return run_dag(DAG.format(code=code, deferrable=deferrable, case=case, more=more))

    return run


@pytest.fixture
def connect_airflow(cluster, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.airflow_connection())


def pods(cluster, case):
    return [pod for pod in cluster.pods() if pod["metadata"]["labels"].get("case") == case]


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_pod_that_succeeds(cluster, run, deferrable):
    case = f"good-{deferrable}"
    ended = run("import time; print('working', flush=True); time.sleep(1)", deferrable=deferrable, case=case)
    assert ended.tasks == {"pod": "success"}
    (pod,) = pods(cluster, case)
    assert pod["status"]["phase"] == "Succeeded"
    assert pod["metadata"]["labels"]["dag_id"] == "on_the_cluster"


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_pod_that_fails(cluster, run, deferrable):
    case = f"bad-{deferrable}"
    ended = run("import time; time.sleep(1); raise SystemExit(3)", deferrable=deferrable, case=case)
    assert ended.tasks == {"pod": "failed"}
    (pod,) = pods(cluster, case)
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_an_evicted_pod_fails_the_task(cluster, run):
    cluster.script([Evict(after_s=0.5, grace_s=0)], "case=evicted")
    ended = run("import time; time.sleep(60)", deferrable=False, case="evicted")
    assert ended.tasks == {"pod": "failed"}
    (pod,) = pods(cluster, "evicted")
    assert pod["status"]["reason"] == "Evicted"


def test_a_deferred_task_gets_over_an_api_that_is_away(cluster, run):
    import threading

    away = threading.Timer(4.0, cluster.away, args=(1.0,))
    away.start()
    ended = run("import time; time.sleep(6)", deferrable=True, case="away")
    away.join()
    assert ended.tasks == {"pod": "success"}
    assert any(call.code == 503 for call in cluster.calls)
