"""The demo's pipeline three times: by this package, by hand as empty operators, and for dag-factory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measure import ROOT

if TYPE_CHECKING:
    from airflow_mlops_provider.factory.plan import PipelinePlan

__all__ = ["flights", "write"]

_OURS = "from airflow_mlops_provider.factory.build import build_dags\n\nglobals().update(build_dags(__file__))\n"
_PEER = (
    "from pathlib import Path\n\nfrom airflow.sdk import DAG  # the word that Airflow looks for in a file\n"
    "from dagfactory import load_yaml_dags\n\n"
    "load_yaml_dags(globals_dict=globals(), config_filepath=str(Path(__file__).with_suffix('.yaml')))\n"
)


def flights() -> PipelinePlan:
    """Return the plan of dags/flights.yaml."""
    from airflow_mlops_provider.factory.config import FactoryConfig
    from airflow_mlops_provider.factory.plan import plan

    return plan(ROOT / "dags" / "flights.yaml", bundle=ROOT, config=FactoryConfig(lake="lake"))


def write(side: str, folder: Path, plan: PipelinePlan, number: int) -> None:
    """Write the pipeline's files for a side; `number` tells copies apart."""
    stem, dags = f"flights{number or ''}", folder / "dags"
    dags.mkdir(exist_ok=True)
    if side == "ours":
        for name in ("include", "dbt_project", "expectations"):
            # Copies: a path that leaves the bundle through a link is refused.
            if not (folder / name).exists():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "target"))
        text = (ROOT / "dags" / "flights.yaml").read_text()
        (dags / f"{stem}.yaml").write_text(text.replace("pipeline: flights\n", f"pipeline: {stem}\n", 1))
        (dags / f"{stem}.py").write_text(_OURS)
    elif side == "floor":
        (dags / f"{stem}.py").write_text(_by_hand(plan, stem))
    else:
        (dags / f"{stem}.yaml").write_text(_for_dag_factory(plan, stem))
        (dags / f"{stem}.py").write_text(_PEER)


def _by_hand(plan: PipelinePlan, stem: str) -> str:
    lines = ["from airflow.providers.standard.operators.empty import EmptyOperator", "from airflow.sdk import DAG", ""]
    for dag in plan.dags:
        lines += [f"with DAG('{stem}-{dag.section}', schedule=None, tags=['demo']):"]
        for task in dag.tasks:
            lines += [f"    {task.task_id} = EmptyOperator(task_id='{task.task_id}', owner='ml', retries=2)"]
        for task in dag.tasks:
            lines += [f"    {above} >> {task.task_id}" for above in task.upstream]
    return "\n".join(lines) + "\n"


def _for_dag_factory(plan: PipelinePlan, stem: str) -> str:
    lines = []
    for dag in plan.dags:
        lines += [
            f"{stem}-{dag.section}:",
            "  tags: [demo]",
            "  default_args: {owner: ml, retries: 2, start_date: 2013-01-01}",
        ]
        lines += ["  tasks:"]
        for task in dag.tasks:
            lines += [
                f"    - task_id: {task.task_id}",
                "      operator: airflow.providers.standard.operators.empty.EmptyOperator",
                f"      dependencies: [{', '.join(task.upstream)}]",
            ]
    return "\n".join(lines) + "\n"
