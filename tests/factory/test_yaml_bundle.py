"""A folder of pipeline files as a DAG bundle: a loader each, kept apart from them."""

import json
import os
import runpy
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import ConfigError
from tests.factory.test_build import SHOP, serialized

SMALL = """
pipeline: small
data:
  schedule: "@monthly"
  start: 2013-01-01
  ingest: {small: {files: "orders/{batch}.csv"}}
"""


@pytest.fixture
def source(tmp_path):
    """Return a folder with two pipelines, one deeper, and YAML that is none."""
    (tmp_path / "source" / "team").mkdir(parents=True)
    (tmp_path / "source" / "shop.yaml").write_text(SHOP)
    (tmp_path / "source" / "team" / "late.yml").write_text(SHOP.replace("pipeline: shop", "pipeline: late"))
    (tmp_path / "source" / "dbt_project.yml").write_text("name: shop\n")
    return tmp_path / "source"


@pytest.fixture
def bundle(source, tmp_path, monkeypatch):
    """Return a function that makes the bundle afresh, as each process of Airflow does."""
    from airflow_mlops_provider.factory.yaml_bundle import YamlBundle

    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "storage"))

    def made():
        return YamlBundle(name="pipelines", path=str(source))

    return made


def loaders(bundle):
    return sorted(path.relative_to(bundle.path).as_posix() for path in bundle.path.rglob("*.py"))


def read(bundle):
    """Return what Airflow's DAG processor makes of the bundle."""
    from airflow.dag_processing.dagbag import BundleDagBag

    return BundleDagBag(dag_folder=str(bundle.path), bundle_path=bundle.path, bundle_name=bundle.name)


def test_each_pipeline_file_has_its_loader_and_nothing_else_has(bundle, source):
    made = bundle()
    made.initialize()

    assert loaders(made) == ["shop_yaml.py", "team/late_yml.py"]
    assert not list(source.rglob("*.py"))
    assert not stat.S_IMODE(made.path.stat().st_mode) & 0o077


def test_its_dags_are_those_of_a_loader_beside_the_file(bundle, dags, read_dags):
    made = bundle()
    made.initialize()
    (dags / "shop.yaml").write_text(SHOP)
    (dags / "shop.py").write_text(
        "from airflow_mlops_provider.factory.build import build_dags\n\nglobals().update(build_dags(__file__))\n"
    )

    bag = read(made)

    assert bag.import_errors == {}
    beside = serialized(read_dags())
    ours = {name: dag for name, dag in serialized(bag).items() if name in beside}
    for data in (*ours.values(), *beside.values()):
        for place in ("fileloc", "relative_fileloc", "_processor_dags_folder"):
            data["dag"].pop(place, None)
    assert sorted(ours) == ["shop-data", "shop-monitor", "shop-score", "shop-train"]
    assert len(bag.dags) == 8
    assert ours == beside


def test_a_broken_file_is_its_own_import_error_with_its_line(bundle, source):
    (source / "broken.yaml").write_text("pipeline: broken\ndata:\n  schedul: x\n")
    made = bundle()
    made.initialize()

    bag = read(made)

    (loader,) = bag.import_errors
    assert Path(loader).name == "broken_yaml.py"
    assert "broken.yaml:3:3" in bag.import_errors[loader]
    assert len(bag.dags) == 8


def test_what_came_and_went_is_seen_by_the_next_look(bundle, source):
    made = bundle()
    made.initialize()
    (source / "shop.yaml").unlink()
    (source / "new.yaml").write_text(SHOP.replace("pipeline: shop", "pipeline: new"))

    made.refresh()

    assert loaders(made) == ["new_yaml.py", "team/late_yml.py"]


def test_a_loader_is_as_old_as_its_file(bundle, source):
    os.utime(source / "shop.yaml", (2_000_000, 2_000_000))
    os.utime(source / "dbt_project.yml", (1_000_000, 1_000_000))
    made = bundle()
    made.initialize()

    assert (made.path / "shop_yaml.py").stat().st_mtime == 2_000_000


def test_what_lies_under_pipelines_makes_their_loaders_younger(bundle, source):
    made = bundle()
    made.initialize()
    before = (made.path / "shop_yaml.py").stat().st_mtime
    (source / "defaults.yaml").write_text("owner: growth\n")
    os.utime(source / "defaults.yaml", (before + 60, before + 60))

    bundle().initialize()

    assert (made.path / "shop_yaml.py").stat().st_mtime == before + 60
    assert {dag.default_args["owner"] for dag in read(made).dags.values()} == {"growth"}


def test_a_worker_writes_what_changed_since_and_else_nothing(bundle, source):
    first = bundle()
    first.initialize()
    (first.path / "shop_yaml.py").unlink()

    bundle().initialize()
    assert loaders(first) == ["team/late_yml.py"]  # nothing changed in the source: nothing was looked into

    (source / "shop.yaml").write_text(f"{SHOP}tags: [late]\n")
    bundle().initialize()
    assert loaders(first) == ["shop_yaml.py", "team/late_yml.py"]


def test_what_cannot_be_read_stops_no_other(bundle, source):
    (source / "round.yaml").symlink_to(source / "round.yaml")
    (source / "nowhere.yaml").symlink_to(source / "not_there")
    os.mkfifo(source / "pipe.yaml")
    (source / "bad\udcff.yaml").write_text(SHOP)
    made = bundle()
    made.initialize()

    bag = read(made)

    assert len(bag.dags) == 8
    said = {Path(loader).name: text for loader, text in bag.import_errors.items()}
    assert set(said) == {"round_yaml.py", "nowhere_yaml.py", "pipe_yaml.py"}
    assert all("cannot be read" in text for text in said.values())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Using `httpx` with")  # of `dag.test()` itself
def test_its_dags_find_their_files_also_in_a_test_of_one(bundle, source, airflow_db, monkeypatch):
    named = {"classpath": "airflow_mlops_provider.factory.yaml_bundle.YamlBundle", "kwargs": {"path": str(source)}}
    listed = json.dumps([{"name": "pipelines", **named}])
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", listed)
    for day in ("2013-01-01", "2013-02-01"):
        (source / "orders").mkdir(exist_ok=True)
        (source / "orders" / f"{day}.csv").write_text("id,price\n1,2\n")
    (source / "small.yaml").write_text(SMALL)
    made = bundle()
    made.initialize()

    dags = runpy.run_path(str(made.path / "small_yaml.py"))
    run = dags["small-data"].test(logical_date=datetime(2013, 1, 1, tzinfo=UTC))

    assert str(run.state) == "success"


def test_a_folder_that_is_gone_deletes_no_pipeline(bundle, source):
    made = bundle()
    made.initialize()
    source.rename(source.with_name("moved"))

    with pytest.raises(ConfigError, match="is no folder"):
        made.refresh()

    assert loaders(made) == ["shop_yaml.py", "team/late_yml.py"]


def test_an_empty_folder_has_no_pipelines(bundle, source):
    made = bundle()
    made.initialize()
    for file in source.rglob("*.y*ml"):
        file.unlink()

    made.refresh()

    assert loaders(made) == []
