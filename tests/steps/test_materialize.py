"""Materialize: what is new goes online once, what is old never does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.materialize import MaterializeResult, MaterializeSpec
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.feast_sqlite import OnlineTable, connect
from airflow_mlops_provider.steps.feast_watermarks import Watermarks
from airflow_mlops_provider.steps.features import load_service
from airflow_mlops_provider.steps.materialize import materialize
from airflow_mlops_provider.steps.online import _place

# Feast's own imports and its use of pydantic and typing warn.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

T0 = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
APRIL = Batch(id="2013-04-01", start=T0, end=T0 + 30 * DAY)
MAY = Batch(id="2013-05-01", start=T0 + 30 * DAY, end=T0 + 61 * DAY)
YAML = """
project: p
provider: local
registry: ${MLOPS_LAKE}/_features/registry.db
offline_store: {type: airflow_mlops_provider.steps.feast_store.LakeOfflineStore, lake: "$MLOPS_LAKE"}
online_store:
  type: airflow_mlops_provider.steps.feast_online.WideSqliteOnlineStore
  path: ${MLOPS_LAKE}/_features/online.db
entity_key_serialization_version: 3
"""
DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float64, String
from airflow_mlops_provider.steps.feast_store import LakeSource
carrier = Entity(name="carrier", value_type=ValueType.STRING)
rates = FeatureView(
    name="rates", entities=[carrier], ttl=timedelta(days=3), source=LakeSource(table="rates", timestamp_field="at"),
    schema=[Field(name="carrier", dtype=String), Field(name="late", dtype=Float64)],
)
service = FeatureService(name="s", features=[rates])
"""
SCHEMA = pa.schema(
    [
        ("carrier", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("late", pa.float64()),
        ("seats", pa.int64()),
        ("_batch", pa.string()),
    ]
)


@pytest.fixture
def repo(tmp_path):
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(YAML)
    (folder / "definitions.py").write_text(DEFINITIONS)
    return folder


@pytest.fixture
def run(lake, repo):
    def run(batch: Batch, **options: object) -> MaterializeResult:
        spec = MaterializeSpec(
            pipeline="p", lake=lake.root, bundle=str(repo.parent), feature_repo=repo.name, batch=batch, **options
        )
        return materialize(spec, StepContext(run_key="run", emit=lambda _: None))

    return run


@pytest.fixture
def write(lake):
    def write(app: str, *rows: tuple[str | None, float, float | None]) -> None:
        lines = [{"carrier": c, "at": T0 + d * DAY, "late": v, "seats": 7, "_batch": app} for c, d, v in rows]
        lake.write_once("rates", pa.Table.from_pylist(lines, schema=SCHEMA), app=app)

    return write


@pytest.fixture
def online(lake):
    def online(*features: str) -> dict[str, tuple]:
        con = connect(f"{lake.root}/_features/online.db")
        found = OnlineTable("p", "rates", ("carrier",), features or ("late",)).read(con, [("AA",), ("UA",), ("DL",)])
        con.close()
        return {carrier: values[:-1] if features else values[0] for (carrier,), values in found.items()}

    return online


def test_each_entity_once_and_a_rerun_writes_none(run, write, online, lake):
    write("a", ("AA", 1, 0.1), ("AA", 2, 0.2), ("UA", 1, None), (None, 1, 0.9))
    result = run(APRIL)
    assert result == MaterializeResult(
        batch="2013-04-01", rows={"rates": 2}, watermark=APRIL.end, versions={"rates": lake.version("rates")}
    )
    assert online() == {"AA": 0.2, "UA": None}
    assert run(APRIL).rows == {"rates": 0}
    assert load_service(lake, "s").views[0].ttl == 3 * DAY


def test_new_rows_win_and_only_changed_entities_are_written(run, write, online):
    write("a", ("AA", 1, 0.1), ("UA", 1, 0.5))
    run(APRIL)
    write("b", ("AA", 31, 0.3))
    assert run(MAY).rows == {"rates": 1}
    assert online() == {"AA": 0.3, "UA": 0.5}


def test_an_older_interval_after_a_newer_one_leaves_values(run, write, online):
    write("a", ("AA", 1, 0.1))
    write("b", ("AA", 31, 0.3))
    assert run(MAY).rows == {"rates": 1}
    result = run(APRIL)
    assert (result.rows, result.watermark) == ({"rates": 0}, MAY.end)
    assert online() == {"AA": 0.3}


def test_rows_after_the_batch_wait_for_theirs(run, write, online):
    write("a", ("AA", 1, 0.1), ("AA", 31, 0.3))
    run(APRIL)
    assert online() == {"AA": 0.1}
    assert run(MAY).rows == {"rates": 1}
    assert online() == {"AA": 0.3}


def test_late_rows_are_found_by_version_and_old_ones_stay_out(run, write, online):
    write("a", ("AA", 20, 0.2))
    run(MAY)
    write("late", ("UA", 3, 0.7), ("AA", 3, 0.9))
    assert run(MAY).rows == {"rates": 1}
    assert online() == {"AA": 0.2, "UA": 0.7}


def test_a_correction_of_the_same_moment_arrives(run, write, online):
    write("a", ("AA", 2, 0.2))
    run(APRIL)
    write("b", ("AA", 2, 0.4))
    assert run(APRIL).rows == {"rates": 1}
    assert online() == {"AA": 0.4}


def test_killed_between_rows_and_watermark(run, write, online, lake, repo):
    write("a", ("AA", 1, 0.1))
    run(APRIL)
    write("b", ("AA", 31, 0.3), ("UA", 31, 0.4))
    spec = MaterializeSpec(pipeline="p", lake=lake.root, bundle=str(repo.parent), feature_repo="repo", batch=MAY)
    script = f"""
import os, sys
from airflow_mlops_provider.contracts.materialize import MaterializeSpec
from airflow_mlops_provider.steps import materialize as step
from airflow_mlops_provider.steps.context import StepContext
def die(*_):
    os._exit(42 if "feast" not in sys.modules else 1)
step.Watermarks.advance = die
step.materialize(MaterializeSpec.model_validate_json({spec.model_dump_json()!r}), StepContext("run"))
"""
    before = Watermarks(lake, "p").load()
    # 42 says, too, that unchanged definitions cost no import of Feast.
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 42
    assert Watermarks(lake, "p").load() == before
    assert online() == {"AA": 0.3, "UA": 0.4}
    assert run(MAY).rows == {"rates": 2}
    assert run(MAY).rows == {"rates": 0}
    assert online() == {"AA": 0.3, "UA": 0.4}


def test_a_lost_online_store_is_filled_again(run, write, online, lake):
    write("a", ("AA", 1, 0.1))
    run(APRIL)
    for file in Path(lake.root, "_features").glob("online.db*"):
        file.unlink()
    assert run(APRIL).rows == {"rates": 1}
    assert online() == {"AA": 0.1}


@pytest.mark.parametrize("what", ["files", "log"])
def test_a_version_that_vacuum_took_means_all_entities(run, write, online, lake, what):
    write("a", ("AA", 1, 0.1), ("UA", 1, 0.5))
    run(APRIL)
    lake.write_once("rates", lake.read("rates").slice(0, 1), app="b", mode="overwrite")
    table = Path(lake.root, "rates")
    if what == "files":
        lake.require("rates").vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    else:
        lake.require("rates").create_checkpoint()
        (table / "_delta_log" / "00000000000000000001.json").unlink()
    assert run(MAY).rows == {"rates": 1}
    assert online() == {"AA": 0.1, "UA": 0.5}


def test_a_new_feature_is_filled_for_all_entities(run, write, online, repo):
    write("a", ("AA", 1, 0.1), ("UA", 1, 0.5))
    run(APRIL)
    text = DEFINITIONS.replace("Float64)],", "Float64), Field(name='seats', dtype=Int64)],").replace(
        "import Float64", "import Float64, Int64"
    )
    (repo / "definitions.py").write_text(text)
    assert run(APRIL).rows == {"rates": 2}
    assert online("late", "seats") == {"AA": (0.1, 7), "UA": (0.5, 7)}


def test_a_view_that_is_removed_leaves_the_online_store(run, write, repo, lake):
    write("a", ("AA", 1, 0.1))
    run(APRIL)
    (repo / "definitions.py").write_text(DEFINITIONS.replace('name="rates"', 'name="tardiness"'))
    assert run(APRIL).rows == {"tardiness": 1}
    con = connect(f"{lake.root}/_features/online.db")
    tables = {name for (name,) in con.execute("select name from sqlite_schema where type = 'table'")}
    con.close()
    assert tables == {"_store", "p_tardiness"}


def test_a_lost_registry_is_applied_again(run, write, lake):
    write("a", ("AA", 1, 0.1))
    run(APRIL)
    registry = Path(lake.root, "_features", "registry.db")
    registry.unlink()
    assert run(APRIL).rows == {"rates": 0}
    assert registry.exists()


def test_the_definitions_leave_no_trace_in_this_process(run, write):
    write("a", ("AA", 1, 0.1))
    before, here = set(sys.modules) | {"feast"}, Path.cwd()
    run(APRIL)
    assert Path.cwd() == here
    assert not [name for name in set(sys.modules) - before if name == "definitions"]


def test_read_back_through_feast(run, write, lake, repo, monkeypatch):
    from feast import FeatureStore

    write("a", ("AA", 1, 0.1), ("UA", 1, None))
    run(APRIL)
    monkeypatch.setenv("MLOPS_LAKE", lake.root)
    store = FeatureStore(repo_path=str(repo))
    entities = [{"carrier": name} for name in ("UA", "AA", "ZZ")]
    found = store.get_online_features(store.get_feature_service("s"), entities).to_dict()
    assert found == {"carrier": ["UA", "AA", "ZZ"], "late": [None, 0.1, None]}


@pytest.fixture
def feasts_own(repo):
    """Let the repository name a store of Feast's own."""
    file = repo / "feature_store.yaml"
    wide = "airflow_mlops_provider.steps.feast_online.WideSqliteOnlineStore"
    file.write_text(file.read_text().replace(wide, "sqlite").replace("online.db", "feasts.db"))


@pytest.fixture
def served(lake, repo, monkeypatch):
    """Return what Feast serves of `rates`."""
    from feast import FeatureStore

    monkeypatch.setenv("MLOPS_LAKE", lake.root)

    def served(*carriers: str) -> list[float | None]:
        store = FeatureStore(str(repo))
        rows = [{"carrier": carrier} for carrier in carriers]
        return store.get_online_features(features=["rates:late"], entity_rows=rows).to_dict()["late"]

    return served


@pytest.mark.usefixtures("feasts_own")
def test_any_store_of_feasts_is_written_and_an_old_interval_leaves_it(run, write, served):
    write("a", ("AA", 1, 0.1), ("UA", 1, 0.5), ("DL", 1, None))
    write("b", ("AA", 31, 0.3))
    assert run(APRIL).rows == {"rates": 3}
    assert served("AA", "UA", "DL") == [0.1, 0.5, None]
    assert run(MAY).rows == {"rates": 1}
    assert (run(APRIL).rows, run(MAY).rows) == ({"rates": 0}, {"rates": 0})
    assert served("AA", "UA", "DL") == [0.3, 0.5, None]


def test_another_store_is_filled_from_the_start(run, write, repo, served, request):
    write("a", ("AA", 1, 0.1))
    assert run(APRIL).rows == {"rates": 1}
    request.getfixturevalue("feasts_own")
    assert run(APRIL).rows == {"rates": 1}
    assert served("AA") == [0.1]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"connection_string": "a:6379,password=x"}, {"connection_string": "a:6379,password=y"}, True),
        ({"connection_string": "a:6379"}, {"connection_string": "b:6379"}, False),
        ({"host": "a", "password": "x"}, {"host": "a", "password": "y"}, True),
        ({"host": "a", "db_schema": "x"}, {"host": "a", "db_schema": "y"}, False),
    ],
)
def test_a_store_is_known_by_its_place_and_not_by_what_opens_it(one, other, same):
    assert (_place({"type": "redis", **one}) == _place({"type": "redis", **other})) is same


def test_values_of_other_types(run, lake, repo, monkeypatch):
    from feast import FeatureStore

    line = {"carrier": "AA", "at": T0, "late": Decimal("0.25"), "day": T0.date(), "seen": T0, "ok": True, "tags": ["x"]}
    types = {"late": pa.decimal128(9, 2), "at": pa.timestamp("us", tz="UTC"), "seen": pa.timestamp("us", tz="UTC")}
    table = pa.Table.from_pylist([line])
    table = pa.table({name: table.column(name).cast(types.get(name, table.column(name).type)) for name in line})
    lake.write_once("rates", table, app="a")
    more = ", ".join(f"Field(name='{n}', dtype={t})" for n, t in (("seen", "UnixTimestamp"), ("day", "UnixTimestamp")))
    text = DEFINITIONS.replace("Float64)],", f"Float64), {more}, Field(name='ok', dtype=Bool)],")
    text = text.replace("import Float64", "import Bool, UnixTimestamp, Float64")
    (repo / "definitions.py").write_text(text)
    run(APRIL)
    monkeypatch.setenv("MLOPS_LAKE", lake.root)
    store = FeatureStore(repo_path=str(repo))
    found = store.get_online_features(store.get_feature_service("s"), [{"carrier": "AA"}]).to_dict()
    assert found == {"carrier": ["AA"], "late": [0.25], "seen": [T0], "day": [T0], "ok": [True]}
    (repo / "definitions.py").write_text(text.replace("name='ok'", "name='tags'"))
    with pytest.raises(DataError, match=r'feature view \'rates\': newest.content."tags" is VARCHAR\[\], which'):
        run(APRIL)


def test_unknown_view(run, write):
    write("a", ("AA", 1, 0.1))
    with pytest.raises(ConfigError, match="no online view other; known: rates"):
        run(APRIL, feature_views=("other",))
    assert run(APRIL, feature_views=("rates",)).rows == {"rates": 1}


def test_a_table_that_is_not_there(run):
    with pytest.raises(DataError, match="has no table 'rates'"):
        run(APRIL)


@pytest.mark.parametrize(
    ("file", "old", "new", "text"),
    [
        ("feature_store.yaml", "project: p", "projekt: p", "names no project"),
        ("feature_store.yaml", "feast_online.Wide", "feast_online.Other", "Could not import class"),
        (
            "feature_store.yaml",
            "path: ${MLOPS_LAKE}/",
            "path: s3://b/",
            "is not a local file; name an online store that you run",
        ),
        ("feature_store.yaml", "project: p", "project: [", "while parsing"),
        ("feature_store.yaml", "project: p", "project: p q", "(?s)Feast refuses the repository: .*alphanumerical"),
        ("definitions.py", "Float64, String", "Float65, String", "Feast refuses the repository: cannot import name"),
        ("definitions.py", "Float64)],", "Float64)", "Feast refuses the repository"),
        ("definitions.py", 'LakeSource(table="rates"', 'FileSource(path="rates"', "'rates' reads a FileSource: give"),
        ("definitions.py", "dtype=Float64", "dtype=Array(Float64)", "feature rates.late is DOUBLE_LIST; this online"),
        ("definitions.py", "[rates]", "[rates.with_join_key_map({'carrier': 'c'})]", "rates is not a plain feature"),
    ],
)
def test_a_bad_repository_is_named(run, write, repo, file, old, new, text):
    write("a", ("AA", 1, 0.1))
    given = (repo / file).read_text().replace("import Entity", "import Entity, FileSource")
    given = given.replace("import Float64", "import Array, Float64")
    assert old in given
    (repo / file).write_text(given.replace(old, new))
    with pytest.raises(ConfigError, match=text):
        run(APRIL)


def test_no_repository(run, repo):
    shutil.rmtree(repo)
    with pytest.raises(ConfigError, match="is no Feast repository"):
        run(APRIL)
