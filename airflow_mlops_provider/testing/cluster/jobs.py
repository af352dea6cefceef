"""A new job: what the API refuses, and what it fills in. Jobs that run here are indexed, all of their pods at once."""

from __future__ import annotations

import copy
import re

from airflow_mlops_provider.testing.cluster.objects import Json
from airflow_mlops_provider.testing.cluster.pods import new_pod
from airflow_mlops_provider.testing.cluster.status import invalid

__all__ = ["check_job_update", "new_job"]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SPEC: Json = {
    "backoffLimit": 6,
    "completionMode": "NonIndexed",
    "completions": 1,
    "manualSelector": False,
    "parallelism": 1,
    "podReplacementPolicy": "TerminatingOrFailed",
    "suspend": False,
}
_FIXED = ("selector", "template", "completionMode", "podFailurePolicy")

Cause = tuple[str, str, str]


def new_job(sent: Json) -> Json:
    """Return the job with the API's defaults and no status. Raises ApiError 422 for one that cannot be."""
    job = copy.deepcopy(sent)
    name, spec = job["metadata"]["name"], {**_SPEC, **(job.get("spec") or {})}
    if causes := [*_causes(name, spec), *_not_served(spec)]:
        raise invalid("Job", name, causes)
    # What no pod may be is refused here, not when the first pod is made.
    new_pod({"metadata": {"name": name}, "spec": spec["template"].get("spec")})
    return job | {"spec": spec, "status": {}}


def check_job_update(before: Json, after: Json) -> None:
    """Raise ApiError 422 if what stays for a job's life has changed."""
    changed = [name for name in _FIXED if before["spec"].get(name) != after["spec"].get(name)]
    if changed:
        causes = [("FieldValueInvalid", f"spec.{name}", "Invalid value: field is immutable") for name in changed]
        raise invalid("Job", before["metadata"]["name"], causes)


def _causes(name: str, spec: Json) -> list[Cause]:
    if not spec.get("template"):
        return [("FieldValueRequired", "spec.template", "Required value")]
    causes: list[Cause] = []
    policy = (spec["template"].get("spec") or {}).get("restartPolicy", "Always")
    if policy not in ("Never", "OnFailure"):
        said = f'Required value: valid values: "OnFailure", "Never"; got "{policy}"'
        causes.append(("FieldValueRequired", "spec.template.spec.restartPolicy", said))
    last = f"{name}-{spec['completions'] - 1}"
    if spec["completionMode"] == "Indexed" and not _LABEL.fullmatch(last):
        said = f'Invalid value: "{name}": will not able to create pod with invalid DNS label: {last}'
        causes.append(("FieldValueInvalid", "metadata.name", said))
    return causes


def _not_served(spec: Json) -> list[Cause]:
    """Return what a real cluster takes and this one does not."""
    wanted = {"completionMode": "Indexed", "parallelism": spec["completions"], "backoffLimit": 0, "suspend": False}
    said = "Forbidden: this cluster runs Indexed jobs whose parallelism is their completions and backoffLimit is 0"
    return [("FieldValueForbidden", f"spec.{name}", said) for name in wanted if spec[name] != wanted[name]]
