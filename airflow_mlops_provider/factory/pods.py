"""The pods of a plan, as Kubernetes will see them."""

from __future__ import annotations

import json

import yaml

from airflow_mlops_provider.contracts.pod import GpuClass, Pod
from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.plan_data import PipelinePlan, TaskPlan
from airflow_mlops_provider.runners.kubernetes import CONTAINER, manifest
from airflow_mlops_provider.runners.pod_job import check_together, job_manifest, job_name, service_manifest

__all__ = ["manifest_text"]


def manifest_text(plan: PipelinePlan, task_id: str, config: FactoryConfig) -> str:
    """Return the pod of a task as YAML, its arguments not yet rendered and its connections in a Secret by its name.

    Of a task with several workers it is their service and job, one document each. Raises ConfigError where the file
    makes no such task, or it runs in no pod.
    """
    task = _task(plan, task_id)
    place = task.runs_on
    if not isinstance(place, dict) or "kubernetes" not in place:
        raise ConfigError(f"{task_id} runs in no pod: its runs_on is {place!r}")
    classes = {name: GpuClass.model_validate(one) for name, one in json.loads(config.gpu_classes or "{}").items()}
    name = f"{plan.pipeline}-{task_id}".replace("_", "-")
    request = Request(str(task.step), task.arguments, f"{plan.pipeline}/{task_id}/BATCH-OR-RUN")
    typed = Pod.model_validate(place["kubernetes"])
    check_together(typed, request)
    name = name if typed.workers == 1 else job_name(name)
    pod = manifest(typed, request, name=name, gpu_classes=classes, secret=name)
    made = [pod] if typed.workers == 1 else [service_manifest(pod), job_manifest(pod, typed.workers, CONTAINER)]
    return yaml.safe_dump_all(made, sort_keys=False, width=110)


def _task(plan: PipelinePlan, task_id: str) -> TaskPlan:
    tasks = {task.task_id: task for dag in plan.dags for task in dag.tasks}
    if task_id not in tasks:
        raise ConfigError(f"{plan.file} makes no task {task_id!r}; it makes {', '.join(tasks)}")
    return tasks[task_id]
