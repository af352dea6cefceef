"""The job and service of several workers: valid, restricted as the pod is, with torchrun's environment."""

from __future__ import annotations

import kubernetes_validate
import pytest

from airflow_mlops_provider.contracts.pod import GpuClass, Pod
from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.runners.kubernetes import CONTAINER, manifest
from airflow_mlops_provider.runners.pod_job import check_together, job_manifest, job_name, service_manifest
from tests.runners.test_kubernetes import CLASSES, FULL, restricted_faults

SPEC = {"model": "delay", "python_callable": "model.train"}


def made(fields, name="train-1"):
    pod = Pod.model_validate({**fields, "workers": 3})
    found = manifest(pod, Request("train", SPEC, "flights/train/x"), name=name, gpu_classes=CLASSES, secret=name)
    return found, job_manifest(found, 3, CONTAINER), service_manifest(found)


@pytest.mark.parametrize("fields", [{"image": "i"}, FULL])
def test_job_and_service_are_valid_and_the_pods_restricted(fields):
    _, job, service = made(fields)
    kubernetes_validate.validate(job, "1.33", strict=True)
    kubernetes_validate.validate(service, "1.33", strict=True)
    assert restricted_faults(job["spec"]["template"]) == []


def test_all_workers_run_at_once_and_one_that_fails_fails_all():
    _, job, _ = made({"image": "i"})
    names = ("completionMode", "completions", "parallelism", "backoffLimit")
    assert [job["spec"][name] for name in names] == ["Indexed", 3, 3, 0]
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_each_pod_gets_torchruns_environment_and_its_rank_from_its_index():
    _, job, service = made({"image": "i"})
    spec = job["spec"]["template"]["spec"]
    env = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
    said = ("MASTER_ADDR", "WORLD_SIZE", "LOCAL_RANK", "MLOPS_POD")
    assert [env[name] for name in said] == ["train-1-0.train-1", "3", "0", "train-1"]
    assert 20_000 <= int(env["MASTER_PORT"]) < 30_000
    (rank,) = [one for one in spec["containers"][0]["env"] if one["name"] == "RANK"]
    field = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert rank["valueFrom"] == {"fieldRef": {"fieldPath": field}}
    # The name resolves: the pods' subdomain is the service, which selects them.
    assert (spec["subdomain"], service["metadata"]["name"], service["spec"]["clusterIP"]) == (
        "train-1",
        "train-1",
        "None",
    )
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": "train-1"}


def test_the_pods_are_the_single_pod_with_nothing_else_changed():
    pod, job, _ = made(FULL)
    spec = job["spec"]["template"]["spec"]
    (own,), (container,) = pod["spec"]["containers"], spec["containers"]
    assert {**spec, "containers": [], "subdomain": ""} == {**pod["spec"], "containers": [], "subdomain": ""}
    assert {**container, "env": own["env"]} == own
    assert job["spec"]["template"]["metadata"]["labels"] == pod["metadata"]["labels"]


def test_the_price_is_that_of_all_devices():
    classes = {"a100": GpuClass(price=2.0)}
    pod = Pod(image="i", gpu="a100", gpus=2, workers=3)
    found = manifest(pod, Request("train", SPEC, "k"), name="n", gpu_classes=classes)
    (price,) = [one["value"] for one in found["spec"]["containers"][0]["env"] if one["name"] == "MLOPS_PRICE"]
    assert price == '{"class": "a100", "devices": 6, "price": 2.0}'


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("flights-train-ab12cd34", "flights-train-ab12cd34"),
        ("2013.flights-ab12cd34", "j-2013-flights-ab12cd34"),
        ("x" * 60 + "-ab12cd34", "x" * 41 + "-ab12cd34"),
    ],
)
def test_a_jobs_name_fits_its_service_and_its_pods_host_names(name, found):
    assert job_name(name) == found
    assert len(f"{job_name(name)}-9999") <= 63


@pytest.mark.parametrize(
    ("step", "spec", "words"),
    [
        ("ingest", {}, "only `train` runs in several pods, not 'ingest'"),
        ("train", {"estimator": "sklearn.dummy.DummyClassifier"}, "needs a `python_callable`"),
        ("train", {**SPEC, "search": {"space": {}}}, "`search` runs in one pod"),
    ],
)
def test_work_that_cannot_be_shared_is_refused(step, spec, words):
    check_together(Pod(image="i"), Request(step, spec, "k"))
    with pytest.raises(ConfigError, match=words):
        check_together(Pod(image="i", workers=2), Request(step, spec, "k"))
