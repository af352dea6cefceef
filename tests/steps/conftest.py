"""A lake and an MLflow of their own for each test."""

from __future__ import annotations

import shutil

import pytest

from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import Lake
from tests.steps import flow, servers


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


@pytest.fixture(scope="session")
def migrated_mlflow(tmp_path_factory):
    """An MLflow database migrated once; each test copies it (a migration costs seconds)."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def context(tmp_path, migrated_mlflow):
    """A context whose MLflow is real, on SQLite."""
    shutil.copy(migrated_mlflow, tmp_path / "mlflow.db")
    return _context(tmp_path, tmp_path)


def _context(database, artifacts):
    path = database / "mlflow.db"
    extra = {"artifact_root": str(artifacts / "artifacts")}
    connection = {"conn_type": "mlflow", "host": f"sqlite:///{path}", "extra": extra}
    return StepContext("run", {"mlflow_default": connection})


@pytest.fixture
def world(lake, context):
    """January and February of `flow`, labelled, and no model."""
    for month in (1, 2):
        flow.add_month(lake, month)
    return flow.World(lake, context)


@pytest.fixture(scope="session")
def first_champion(tmp_path_factory, migrated_mlflow):
    """The world with a champion that was fitted on both months, made once; each test copies it."""
    root = tmp_path_factory.mktemp("first_champion")
    shutil.copy(migrated_mlflow, root / "mlflow.db")
    world = flow.World(Lake(str(root / "lake")), _context(root, root))
    for month in (1, 2):
        flow.add_month(world.lake, month)
    world.champion("a", refit=True)
    return root


@pytest.fixture
def watched(tmp_path, first_champion):
    """The world with version 1 as its champion. MLflow's artifacts are shared: only new ones are written."""
    shutil.copytree(first_champion / "lake", tmp_path / "lake")
    shutil.copy(first_champion / "mlflow.db", tmp_path / "mlflow.db")
    return flow.World(Lake(str(tmp_path / "lake")), _context(tmp_path, first_champion))


@pytest.fixture(scope="session")
def s3():
    """An S3 store's connection, as Airflow has it."""
    with servers.moto() as address:
        extra = {"endpoint_url": address, "region_name": "us-east-1"}
        yield {"conn_type": "aws", "login": "tester", "password": servers.PASSWORD, "extra": extra}


@pytest.fixture
def bucket(s3, request):
    """An S3 client and the name of a bucket of the test's own."""
    import boto3

    keys = {"aws_access_key_id": s3["login"], "aws_secret_access_key": s3["password"]}
    client = boto3.client("s3", **s3["extra"], **keys)
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    client.create_bucket(Bucket=name)
    yield client, name
    client.close()


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL's connection, as Airflow has it."""
    with servers.postgres() as connection:
        yield connection
