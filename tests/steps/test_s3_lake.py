"""A lake on an S3 store: ingest, validation, training set and upkeep, each in a process of its own."""

from __future__ import annotations

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.contracts.base import Contract
from airflow_mlops_provider.contracts.ingest import IngestSpec, Source
from airflow_mlops_provider.contracts.maintain import MaintainSpec
from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.contracts.train import TrainSpec
from airflow_mlops_provider.contracts.validate import Checks, ValidateSpec
from airflow_mlops_provider.runners.interpreter import Interpreter
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.lake import Lake
from tests.steps.flow import DATASET, LOGISTIC, batch, rows
from tests.steps.servers import PASSWORD

pytestmark = pytest.mark.slow

SUITE = {
    "name": "labels",
    "expectations": [{"type": "expect_column_values_to_be_between", "kwargs": {"column": "size", "max_value": 2.5}}],
}


class World:
    """Steps on a lake in a bucket. A process that read remote tables may abort at its end, so steps are children."""

    def __init__(self, root, bucket: str, connections) -> None:
        self.root, self.connections = root, connections
        self.lake = Lake(f"s3://{bucket}/lake", connections["lake_default"])
        self.common = {"pipeline": "p", "lake": self.lake.root, "bundle": str(root)}
        self.said: list[str] = []

    def run(self, step: str, spec: Contract, key: str = "run"):
        request = Request(step, spec.model_dump(mode="json", exclude_defaults=True), key, connections=self.connections)
        outcome = Interpreter().run(request, emit=lambda message: self.said.append(message.text))
        assert outcome.status == "succeeded", f"{outcome.error}\n{outcome.trace}"
        return outcome.result

    def ingest(self, month: int, **source):
        source = {"files": "{batch}.parquet", **source}
        spec = IngestSpec(**self.common, datasets={"labels": Source(**source)}, batch=batch(month), publish=False)
        return self.run("ingest", spec)["datasets"]["labels"]

    def validate(self, month: int):
        checks = Checks(expectation_suite="suite.json", max_failed=0.1)
        spec = ValidateSpec(**self.common, datasets={"labels": checks}, batch=batch(month), publish=("labels",))
        return self.run("validate", spec.model_copy(update={"unique_keys": {"labels": ("id",)}}))["datasets"]["labels"]


@pytest.fixture
def world(tmp_path, s3, bucket, context):
    made = World(tmp_path, bucket[1], {"lake_default": s3, "store": s3, **context.connections})
    (tmp_path / "suite.json").write_text(json.dumps(SUITE))
    for month in (1, 2):
        pq.write_table(rows(month).drop_columns(["_batch"]), tmp_path / f"{batch(month).id}.parquet")
    return made


def test_batches_come_in_once_and_a_model_is_trained_on_them(world):
    large = {month: sum(size > 2.5 for size in rows(month)["size"].to_pylist()) for month in (1, 2)}
    assert large[1] > 0
    for month in (1, 2):
        assert world.ingest(month)["rows"] == rows(month).num_rows
        verdict = world.validate(month)
        assert (verdict["verdict"], verdict.get("quarantined", 0)) == ("pass", large[month])
    assert not world.ingest(2)["written"]
    assert [row.version for row in BatchLedger(world.lake, "labels").accepted()] == [1, 2]
    spec = TrainSpec(
        **world.common, model="m", dataset=DATASET, estimator=LOGISTIC, holdout=timedelta(days=10), timezone="UTC"
    )
    trained = world.run("train", spec)
    assert trained["rows"] + trained["holdout_rows"] == sum(rows(m).num_rows - large[m] for m in (1, 2))
    assert trained["versions"] == {"labels": 2}
    maintained = world.run("maintain", MaintainSpec(**world.common, tables=("labels",)))
    assert maintained["tables"] == ["labels", "_ledgers/batches/labels"]
    assert len(world.lake.open("labels").file_uris()) == 1
    assert not [text for text in world.said if PASSWORD in text]


def test_files_of_a_store_come_in(world, bucket):
    client, name = bucket
    client.put_object(Bucket=name, Key="in/2013-01-01.csv", Body=b"id,late\na,true\nb,false\n")
    source = {"files": f"s3://{name}/in/{{batch}}.csv", "conn_id": "store"}
    staged = world.ingest(1, **source)
    assert (staged["rows"], staged["written"]) == (2, True)
    with world.lake.source(staged["dataset"]["name"]) as file:
        assert pq.read_table(file).equals(
            pa.table({"id": ["a", "b"], "late": [True, False], "_batch": ["2013-01-01"] * 2})
        )
