"""Which container a request for a log or an exec means, and what it asks for."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from airflow_mlops_provider.testing.cluster.containers import Container
from airflow_mlops_provider.testing.cluster.logs import Log, LogOptions
from airflow_mlops_provider.testing.cluster.objects import flag, now, parse_time
from airflow_mlops_provider.testing.cluster.podrun import PodRun
from airflow_mlops_provider.testing.cluster.process import Process
from airflow_mlops_provider.testing.cluster.status import bad_request, internal

__all__ = ["container_of", "log_of", "log_options", "running_process"]


def container_of(run: PodRun, request: web.Request) -> Container:
    """Return the container that the request names, or the only one. Raises ApiError 400, or 500 for a lost node."""
    pod = run.record.key.name
    if run.record.lost:
        raise internal(f"dial tcp: node {run.node.name} of pod {pod}: i/o timeout")
    name = request.query.get("container") or ""
    if not name:
        if len(run.main) > 1:
            choices = " ".join(container.name for container in run.main)
            raise bad_request(f"a container name must be specified for pod {pod}, choose one of: [{choices}]")
        return run.main[0]
    container = run.container(name)
    if container is None:
        raise bad_request(f"container {name} is not valid for pod {pod}")
    return container


def log_of(run: PodRun, request: web.Request) -> Log:
    """Return the log that the request means: of the run that is or was last, or of the one before.

    Raises ApiError 400 if there is none, and what `container_of` raises.
    """
    container, previous = container_of(run, request), flag(request.query, "previous")
    number = 2 if previous else 1
    if len(container.logs) >= number:
        return container.logs[-number]
    where = f'container "{container.name}" in pod "{run.record.key.name}"'
    if previous:
        raise bad_request(f"previous terminated {where} not found")
    reason = container.state["waiting"]["reason"]
    pulling = reason in ("ErrImagePull", "ImagePullBackOff")
    raise bad_request(f"{where} is waiting to start: {'trying and failing to pull image' if pulling else reason}")


def log_options(request: web.Request) -> LogOptions:
    """Return what the query asks for. Raises ApiError 400 for a number or a time that is none."""
    query = request.query
    since = None
    try:
        if text := query.get("sinceTime"):
            since = parse_time(text)
        elif seconds := query.get("sinceSeconds"):
            since = now() - timedelta(seconds=int(seconds))
        return LogOptions(
            follow=flag(query, "follow"),
            timestamps=flag(query, "timestamps"),
            since=since,
            tail_lines=int(query["tailLines"]) if "tailLines" in query else None,
            limit_bytes=int(query["limitBytes"]) if "limitBytes" in query else None,
        )
    except ValueError as exc:
        raise bad_request(f"invalid log options: {exc}") from exc


def running_process(run: PodRun, request: web.Request) -> Process:
    """Return the process of the container that the request means. Raises ApiError 400 or 500 if it does not run."""
    container = container_of(run, request)
    phase = run.record.pod["status"]["phase"]
    if phase in ("Succeeded", "Failed"):
        raise bad_request(f"cannot exec into a container in a completed pod; current phase is {phase}")
    if container.process is None:
        raise internal(f'unable to upgrade connection: container not found ("{container.name}")')
    return container.process
