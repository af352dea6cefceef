"""The manifest of a pod: what the typed spec says, valid, hardened, and without a secret."""

from __future__ import annotations

import json
import re

import kubernetes_validate
import pytest
from pydantic import ValidationError

from airflow_mlops_provider.contracts.pod import GpuClass, Pod
from airflow_mlops_provider.contracts.protocol import Request, decode
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.runners.kubernetes import avoiding, label, manifest

REQUEST = Request(
    "train", {"model": "delay"}, "flights/train/x", connections={"mlflow_default": {"password": "s3cret"}}
)
CLASSES = {
    "a100": GpuClass(
        resource="nvidia.com/gpu",
        node_selector={"gpu": "a100"},
        tolerations=({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},),
    ),
    "slice": GpuClass(resource="nvidia.com/mig-1g.10gb"),
}
FULL = {
    "image": "acme/train:1.4",
    "namespace": "ml",
    "gpu": "a100",
    "gpus": 2,
    "cpu": "500m",
    "memory": "16Gi",
    "ephemeral_storage": "20Gi",
    "shm": "2Gi",
    "volumes": {
        "data": {"claim": "features", "mount_path": "/data", "read_only": True},
        "scratch": {"empty_dir": "5Gi", "mount_path": "/scratch"},
        "settings": {"config_map": "settings", "mount_path": "/etc/settings"},
    },
    "priority_class": "batch",
    "service_account": "trainer",
    "secrets": ["warehouse"],
    "labels": {"team": "risk"},
}


def made(pod, *, secret=None):
    return manifest(Pod.model_validate(pod), REQUEST, name="train-1", gpu_classes=CLASSES, secret=secret)


@pytest.mark.parametrize("pod", [{"image": "i"}, {"image": "i", "gpu": "slice"}, FULL])
@pytest.mark.parametrize("secret", [None, "train-1"])
def test_every_manifest_is_valid_and_restricted(pod, secret):
    found = made(pod, secret=secret)
    kubernetes_validate.validate(found, "1.33", strict=True)
    assert restricted_faults(found) == []


def restricted_faults(pod):
    """Return what breaks Kubernetes' restricted Pod Security Standard."""
    spec, faults = pod["spec"], []
    whole = spec.get("securityContext", {})
    faults += [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    if not whole.get("runAsNonRoot") or whole.get("runAsUser") == 0:
        faults.append("root")
    if whole.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        faults.append("seccomp")
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    faults += [volume["name"] for volume in spec.get("volumes", ()) if not (set(volume) - {"name"}) <= allowed]
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            faults.append("escalation")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
            faults.append("capabilities")
    return faults


def test_the_probe_for_restricted_pods_sees_one_that_is_not():
    assert restricted_faults({"spec": {"containers": [{}]}}) == ["root", "seccomp", "escalation", "capabilities"]


def test_devices_memory_and_places_are_as_the_class_says():
    spec = made(FULL)["spec"]
    (container,) = spec["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "16Gi", "ephemeral-storage": "20Gi", "nvidia.com/gpu": "2"},
        "limits": {"memory": "16Gi", "ephemeral-storage": "20Gi", "nvidia.com/gpu": "2"},
    }
    assert spec["nodeSelector"] == {"gpu": "a100"}
    assert [toleration["key"] for toleration in spec["tolerations"]] == ["gpu"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {
        "/data": "data",
        "/scratch": "scratch",
        "/etc/settings": "settings",
        "/tmp": "mlops-tmp",
        "/dev/shm": "mlops-shm",
    }
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("trainer", True)


def test_raw_resources_go_over_the_typed_ones():
    found = made(FULL | {"resources": {"limits": {"cpu": "4", "memory": "20Gi"}}})
    assert found["spec"]["containers"][0]["resources"]["limits"]["memory"] == "20Gi"
    assert found["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "4"


def test_the_request_travels_without_its_connections():
    found = made(FULL, secret="train-1")
    assert "s3cret" not in json.dumps(found)
    environment = {one["name"]: one["value"] for one in found["spec"]["containers"][0]["env"]}
    assert decode(environment["MLOPS_REQUEST"]) == Request("train", {"model": "delay"}, "flights/train/x")
    assert environment["MLOPS_CONNECTIONS"] == "/run/mlops/secret/connections.json"


def test_a_pod_without_connections_has_no_secret():
    found = made({"image": "i"})
    assert [volume["name"] for volume in found["spec"]["volumes"]] == ["mlops-tmp"]
    assert found["spec"]["automountServiceAccountToken"] is False


def test_a_class_that_nobody_defined_is_named_with_those_that_are():
    with pytest.raises(ConfigError, match=r"gpu class 'h100' is not in \[mlops\] gpu_classes; known: a100, slice"):
        made({"image": "i", "gpu": "h100"})


def test_a_number_is_a_quantity_too():
    assert (Pod(image="i", cpu=2).cpu, Pod(image="i", cpu=0.5).cpu) == ("2", "0.5")


@pytest.mark.parametrize("fault", [{"cpu": True}, {"memory": "16 GB"}, {"gpus": 0}, {"colour": "red"}, {"image": ""}])
def test_what_is_no_pod_is_refused(fault):
    with pytest.raises(ValidationError):
        Pod.model_validate({"image": "i"} | fault)


@pytest.mark.parametrize("volume", [{}, {"claim": "a", "secret": "b"}])
def test_a_volume_has_one_source(volume):
    with pytest.raises(ValidationError, match="give one of claim, secret, config_map and empty_dir"):
        Pod.model_validate({"image": "i", "volumes": {"v": {"mount_path": "/v", **volume}}})


@pytest.mark.parametrize("text", ["flights/train/2013-04-01T00:00:00+00:00", "a" * 70, "-x-", "ü", "plain"])
def test_a_label_is_one_that_kubernetes_takes(text):
    assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", label(text))
    assert label(text) != label(text + "!")


def test_nodes_are_ruled_out_whatever_else_is_asked_for():
    bare = avoiding(None, ["n1", "n2"])
    (term,) = bare["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {
        "matchFields": [
            {"key": "metadata.name", "operator": "NotIn", "values": ["n1"]},
            {"key": "metadata.name", "operator": "NotIn", "values": ["n2"]},
        ]
    }
    zones = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in "ab"]
    asked = {"podAffinity": {}, "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}
    asked["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] = zones
    found = avoiding(asked, ["n1"])
    terms = found["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchExpressions"] for term in terms] == [zone["matchExpressions"] for zone in zones]
    assert all(term["matchFields"] for term in terms)
    assert "matchFields" not in zones[0]
    kubernetes_validate.validate(
        {**made({"image": "i"}), "spec": made({"image": "i"})["spec"] | {"affinity": found}}, "1.33", strict=True
    )
