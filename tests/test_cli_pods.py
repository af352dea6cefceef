"""What a plan prints of a task's pods."""

from __future__ import annotations

import kubernetes_validate
import pytest
import yaml

from airflow_mlops_provider.cli import main

YAML = """\
pipeline: tiny
data: {ingest: {visits: {files: "in/{batch}.csv"}}}
training:
  dataset: {target: bought}
  train:
    python_callable: model.train
    runs_on: {kubernetes: {image: "acme/train:1", memory: 4Gi, workers: 4}}
"""


@pytest.fixture
def plan(tmp_path, monkeypatch, capsys):
    """Return a function that prints the manifests of a task of the file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_IMAGES", "acme/")
    monkeypatch.setenv("AIRFLOW__MLOPS__LAKE", "s3://lake")
    (tmp_path / "model.py").write_text("def train(data, params, context): ...\n")

    def run(text=YAML):
        (tmp_path / "tiny.yaml").write_text(text)
        code = main(["plan", "tiny.yaml", "--manifest", "train"])
        return code, capsys.readouterr()

    return run


def test_the_manifest_of_several_workers_is_their_service_and_their_job(plan):
    code, said = plan()
    assert code == 0, said.err
    service, job = yaml.safe_load_all(said.out)
    for found in (service, job):
        kubernetes_validate.validate(found, "1.33", strict=True)
    assert (service["kind"], job["kind"], job["spec"]["completions"]) == ("Service", "Job", 4)
    # It is read by people: nothing of it stands elsewhere.
    assert "&id" not in said.out


def test_a_training_whose_work_cannot_be_shared_has_no_manifest(plan):
    code, said = plan(YAML.replace("python_callable: model.train", "estimator: sklearn.dummy.DummyClassifier"))
    assert code == 1
    assert "workers: " in said.err
    assert "whose workers share the fit" in said.err
