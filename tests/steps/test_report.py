"""Drift of scored batches and of any two tables, and the report that a person reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mlflow
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.contracts.decide import Decision
from airflow_mlops_provider.contracts.promote import PromoteSpec
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.history import DecisionLedger
from airflow_mlops_provider.steps.promote import promote
from tests.steps.flow import ZONE, batch, rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    # Evidently divides by the spread of a column, also of one without any.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


def shifted(world, month: int, shift: float) -> None:
    """Publish and score a month whose `size` is larger by `shift`."""
    table = rows(month).drop_columns(["late"])
    table = table.set_column(2, "size", pa.array(table["size"].to_numpy() + shift))
    version, _ = world.lake.write_once("entities", table, app=f"entities/{month}")
    BatchLedger(world.lake, "entities").accept(batch(month), version=version, rows=table.num_rows, run_key="test")
    world.score()


def reports(world) -> list[Path]:
    return list(Path(world.lake.root).glob("_reports/**/*.html"))


def test_a_paged_column_over_its_level_gets_a_report(watched):
    shifted(watched, 3, shift=2.0)
    (found,) = watched.drift(report=True, page=("size",), timezone=ZONE.key).batches
    assert found.paged == ("size",)
    assert {"size", "prediction"} <= set(found.drifted)
    assert found.report == "_reports/p/2013-03-01.html"
    page = (Path(watched.lake.root) / found.report).read_text()
    assert "<html" in page
    assert "size" in page
    assert reports(watched) == [Path(watched.lake.root) / found.report]


def test_a_drifted_column_tells_what_it_does_to_the_predictions(watched):
    shifted(watched, 3, shift=2.0)
    (found,) = watched.drift(timezone=ZONE.key).batches
    effects = {column.column: column.effect for column in found.columns}
    assert effects["colour"] is None
    assert effects["prediction"] is None
    # Late depends on size alone, 1 / (1 + exp(1 - 2 size)): two more make most of the rows late.
    assert 0.4 < effects["size"].mean < 0.6
    assert effects["size"].rows == 31 * 40


def test_where_the_model_cannot_be_loaded_its_distances_stand(watched, monkeypatch):
    shifted(watched, 3, shift=2.0)
    said = []
    watched.context = dataclasses.replace(watched.context, emit=said.append)

    def load(_uri):
        raise ModuleNotFoundError("No module named 'lightgbm'", name="lightgbm")

    monkeypatch.setattr(models, "load", load)
    (found,) = watched.drift(timezone=ZONE.key).batches
    assert "size" in found.drifted
    assert any("ModuleNotFoundError: No module named 'lightgbm'" in message.text for message in said)


def test_an_incident_begins_once_and_again_after_it_ended(watched):
    begun = []
    for month, shift in ((3, 0.0), (4, 2.0), (5, 2.0), (6, 0.0), (7, 2.0)):
        shifted(watched, month, shift)
        (found,) = watched.drift(page=("size",), timezone=ZONE.key).batches
        begun.append(found.began)
        if month == 3:
            made = Decision(id="p__3", batch="2013-03-01", at=batch(3).end, decision="none", reason="calm")
            DecisionLedger(watched.lake, "p").add(made)
        # What a try that died has recorded it may not have told.
        assert watched.drift(retry=True, page=("size",), timezone=ZONE.key).batches == (found,)
    assert begun == [(), ("size",), (), (), ("size",)]
    assert found.decision == "2013-03-01: none: calm"


def test_a_batch_without_rows_ends_no_incident(watched):
    shifted(watched, 3, 2.0)
    (first,) = watched.drift(page=("size",), timezone=ZONE.key).batches
    empty = rows(4).drop_columns(["late"]).slice(0, 0)
    version, _ = watched.lake.write_once("entities", empty, app="entities/4")
    BatchLedger(watched.lake, "entities").accept(batch(4), version=version, rows=0, run_key="test")
    shifted(watched, 5, 2.0)
    _, last = watched.drift(page=("size",), timezone=ZONE.key).batches
    assert (first.began, last.paged, last.began) == (("size",), ("size",), ())


@pytest.mark.parametrize(
    ("shift", "options"),
    [
        (2.0, {"report": True}),
        (2.0, {"report": True, "page": ("colour",)}),
        (2.0, {"report": False, "page": ("size",)}),
        (0.0, {"report": True, "page": ("colour",)}),
    ],
    ids=["nothing is paged", "another column is paged", "no report is asked for", "no drift"],
)
def test_otherwise_there_is_no_report(watched, shift, options):
    shifted(watched, 3, shift)
    (found,) = watched.drift(**options, timezone=ZONE.key).batches
    assert ("size" in found.drifted) == (shift > 0)
    assert found.report is None
    assert reports(watched) == []


def test_a_model_without_a_profile_is_told_how_to_get_one(world, tmp_path):
    x = rows(1).select(["size"]).to_pandas()
    fitted = LogisticRegression().fit(x, rows(1)["late"].to_numpy(zero_copy_only=False))
    client = models.connect(world.context)
    mlflow.sklearn.save_model(fitted, tmp_path / "model", signature=mlflow.models.infer_signature(x, fitted.predict(x)))
    client.create_registered_model("m")
    client.create_model_version("m", str(tmp_path / "model"))
    done = promote(PromoteSpec(**world.common, model="m", version="1"), world.at("promote"))
    assert done.promotion.version == "1"
    assert [b.version for b in world.score().batches] == ["1", "1"]
    with pytest.raises(DataError, match="m version 1 has no reference profile: airflow-mlops adopt makes one"):
        world.drift()


def test_the_champions_profile_is_a_reference_for_any_table(watched):
    moved = rows(1).set_column(2, "size", pa.array(rows(1)["size"].to_numpy() + 2))
    moved = moved.append_column("prediction", pa.array(np.full(moved.num_rows, 0.5)))
    watched.lake.write_once("elsewhere", moved, app="once")
    (found,) = watched.drift(current=DatasetRef(name="elsewhere")).batches
    assert (found.batch, found.rows) == (None, moved.num_rows)
    assert "size" in found.drifted
    assert "colour" not in found.drifted


def test_a_champion_is_needed_for_its_profile(world):
    with pytest.raises(DataError, match="m has no champion whose profile could be the reference"):
        world.drift(current=DatasetRef(name="labels"))


@pytest.fixture
def tables(world, tmp_path, postgres):
    """Two months as a lake table, as Parquet, and behind a connection: `size` moves in the second."""
    first, second = (rows(month).drop_columns(["_batch", "late"]) for month in (1, 2))
    second = second.set_column(2, "size", pa.array(second["size"].to_numpy() + 1))
    fields = {key: postgres[key] for key in ("host", "port", "password")}
    for name, table in {"first": first, "second": second}.items():
        world.lake.write_once(name, table, app="once")
        pq.write_table(table, tmp_path / f"{name}.parquet")
        with psycopg.connect(dbname="postgres", user=postgres["login"], **fields) as con:
            con.execute(f"drop table if exists {name}")
            con.execute(f"create table {name} (id text, at timestamptz, size double precision, colour text)")
            con.cursor().executemany(
                f"insert into {name} values (%s, %s, %s, %s)", [tuple(row.values()) for row in table.to_pylist()]
            )
    world.context.connections["db"] = postgres
    return {
        "delta": lambda name: DatasetRef(name=name),
        "parquet": lambda name: DatasetRef(kind="parquet", name=f"{tmp_path}/{name}.parquet"),
        "sql": lambda name: DatasetRef(kind="sql", name=name, conn_id="db"),
    }


@pytest.mark.parametrize(("current", "reference"), [("delta", "delta"), ("parquet", "sql"), ("sql", "parquet")])
def test_any_two_tables_are_compared(world, tables, current, reference):
    pair = {"current": tables[current]("second"), "reference": tables[reference]("first")}
    (found,) = world.drift(model=None, dataset=None, columns=("size", "colour"), **pair).batches
    assert found.drifted == ("size",)
    assert (found.max_column, found.rows) == ("size", 28 * 40)
    same = {**pair, "current": tables[current]("first")}
    assert world.drift(model=None, dataset=None, columns=("size",), **same).batches[0].drifted == ()


def test_drift_needs_two_sides(world):
    with pytest.raises(ConfigError, match="drift needs current and reference, or model and dataset"):
        world.drift(model=None)
    with pytest.raises(ConfigError, match="drift of a table needs a reference table or a model"):
        world.drift(model=None, current=DatasetRef(name="labels"))


def test_a_column_that_is_gone_has_drifted(world, tables):
    world.lake.write_once("short", pa.table({"colour": ["red", "green"] * 50}), app="once")
    pair = {"current": DatasetRef(name="short"), "reference": tables["delta"]("first")}
    columns = ("size", "colour")
    (found,) = world.drift(model=None, event_timestamp=None, columns=columns, page=columns, **pair).batches
    assert (found.drifted, found.paged, found.rows) == (("size",), ("size",), 100)


def test_a_batch_without_rows_is_watched_in_peace(watched):
    table = rows(3).drop_columns(["late"]).slice(0, 0)
    version, _ = watched.lake.write_once("entities", table, app="entities/3")
    BatchLedger(watched.lake, "entities").accept(batch(3), version=version, rows=0, run_key="test")
    assert [(b.batch, b.rows) for b in watched.score().batches] == [("2013-03-01", 0)]
    (found,) = watched.drift(page=("size",)).batches
    assert (found.rows, found.drifted, found.max_effect) == (0, (), None)
    assert watched.drift().batches == ()
