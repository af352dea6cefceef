"""Stock Feast over the lake, with the demo's own repository."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.materialize import MaterializeSpec
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.features import load_service
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.materialize import materialize

# Feast's own imports, its use of pydantic and typing, and its registry file warn.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning", "ignore::ResourceWarning"
)

ROOT = Path(__file__).parents[2]
REPO = ROOT / "include" / "features"
T0 = datetime(2013, 4, 1, tzinfo=UTC)
WEATHER = ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "precip_6h", "pressure", "visib")
TABLES = {
    "carrier_delay": (("carrier",), ("carrier_late_7d", "carrier_late_28d", "carrier_cancel_7d"), 24),
    "origin_delay": (("origin",), ("origin_late_7d",), 24),
    "route_delay": (("origin", "dest"), ("route_late_28d",), 24),
    "origin_hour_delay": (("origin", "sched_hour"), ("origin_hour_late_28d",), 24),
    "origin_weather": (("origin",), WEATHER, 1),
}
KEYS = {"carrier": ["AA", "UA"], "origin": ["EWR", "JFK"], "dest": ["LAX", "SFO"], "sched_hour": [7, 8]}
FEATURES = [name for _, features, _ in TABLES.values() for name in features]


def synthetic(keys: tuple[str, ...], features: tuple[str, ...], every_h: int, seed: int) -> pa.Table:
    """Return a few days of rows with holes longer than every ttl but the long ones, and nulls."""
    chance = random.Random(seed)
    entities: list[tuple] = [()]
    for key in keys:
        entities = [(*entity, value) for entity in entities for value in KEYS[key]]
    rows = [
        dict(zip(keys, entity, strict=True))
        | {"available_at": T0 + timedelta(hours=hour), "_batch": "2013-04-01"}
        | {name: None if chance.random() < 0.1 else chance.random() for name in features}
        for entity in entities
        for hour in range(0, 24 * 12, every_h)
        if hour == 0 or chance.random() < 0.3
    ]
    table = pa.Table.from_pylist(rows)
    return table.set_column(
        table.column_names.index("available_at"),
        "available_at",
        table.column("available_at").cast(pa.timestamp("us", tz="UTC")),
    )


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    return {name: synthetic(*shape, seed=number) for number, (name, shape) in enumerate(TABLES.items())}


@pytest.fixture(scope="module")
def lake(tables, tmp_path_factory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("feast") / "lake"))
    for name, table in tables.items():
        lake.write_once(name, table, app="2013-04-01")
    batch = Batch(id="2013-04-01", start=T0, end=T0 + timedelta(days=30))
    spec = MaterializeSpec(
        pipeline="flights", lake=lake.root, bundle=str(ROOT), feature_repo="include/features", batch=batch
    )
    result = materialize(spec, StepContext("run", emit=lambda _: None))
    assert result.rows == {
        name: len({tuple(row[key] for key in shape[0]) for row in tables[name].to_pylist()})
        for name, shape in TABLES.items()
    }
    return lake


@pytest.fixture
def store(lake, monkeypatch):
    from feast import FeatureStore

    monkeypatch.setenv("MLOPS_LAKE", lake.root)
    return FeatureStore(repo_path=str(REPO))


def newest(table: pa.Table, feature: str, **entity: object) -> float | None:
    rows = [row for row in table.to_pylist() if all(row[key] == value for key, value in entity.items())]
    return max(rows, key=lambda row: row["available_at"])[feature]


def test_service_of_the_demo_is_exported(lake):
    service = load_service(lake, "flight_delay_v1")
    assert {view.name: (view.join_keys, view.features) for view in service.views} == {
        name: shape[:2] for name, shape in TABLES.items()
    }
    assert {view.timestamp for view in service.views} == {"available_at"}
    assert {view.name: view.ttl for view in service.views} == {
        "carrier_delay": timedelta(days=3),
        "origin_delay": timedelta(days=3),
        "route_delay": timedelta(days=40),
        "origin_hour_delay": timedelta(days=40),
        "origin_weather": timedelta(hours=4),
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fetch_arrow_table.*")
def test_history_is_that_of_feasts_own_duckdb_store(store, tables, tmp_path):
    """Feast's file store drops expired rows; its DuckDB store, like ours, keeps them with nulls."""
    import pandas as pd
    from feast import FeatureStore, FeatureView, FileSource, RepoConfig

    entities = store.list_entities()
    stock = FeatureStore(
        config=RepoConfig(
            project="stock",
            provider="local",
            registry=str(tmp_path / "registry.db"),
            offline_store={"type": "duckdb"},
            online_store={"type": "sqlite", "path": str(tmp_path / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    views = []
    for view in store.list_feature_views():
        pq.write_table(tables[view.name], tmp_path / f"{view.name}.parquet")
        source = FileSource(path=str(tmp_path / f"{view.name}.parquet"), timestamp_field="available_at")
        named = [entity for entity in entities if entity.join_key in TABLES[view.name][0]]
        views.append(FeatureView(name=view.name, entities=named, ttl=view.ttl, schema=view.schema, source=source))
    stock.apply([*entities, *views])

    chance = random.Random(7)
    asked = pd.DataFrame(
        {key: [chance.choice(values) for _ in range(300)] for key, values in KEYS.items()}
        | {"row": range(300)}
        | {"event_timestamp": [T0 + timedelta(minutes=15 * chance.randrange(-50, 2400)) for _ in range(300)]}
    )
    refs = [f"{view}:{feature}" for view, (_, features, _) in TABLES.items() for feature in features]

    def history(of, **options):
        found = of.get_historical_features(entity_df=asked.copy(), features=refs, **options).to_df()
        return found.sort_values("row").reset_index(drop=True)

    ours, theirs = history(store), history(stock)
    pd.testing.assert_frame_equal(ours[["row", *KEYS, *FEATURES]], theirs[["row", *KEYS, *FEATURES]])
    expired = ours[FEATURES].isna().sum()
    assert (expired > 0).all()
    assert (expired < 300).all()
    pd.testing.assert_frame_equal(history(store)[FEATURES], ours[FEATURES])
    full = history(store, full_feature_names=True)
    assert full["origin_weather__temp"].equals(ours["temp"].rename("origin_weather__temp"))


def test_history_at_a_pinned_version(lake, tmp_path):
    import pandas as pd
    from feast import FeatureStore, RepoConfig

    own = Lake(str(tmp_path / "lake"))
    line = {"carrier": "AA", "available_at": T0, "carrier_late_7d": 0.1, "_batch": "1"}
    schema = lake.read("origin_delay").schema.field("available_at").type
    types = pa.schema(
        [("carrier", pa.string()), ("available_at", schema), ("carrier_late_7d", pa.float64()), ("_batch", pa.string())]
    )
    first, _ = own.write_once("carrier_delay", pa.Table.from_pylist([line], schema=types), app="1")
    corrected = line | {"carrier_late_7d": 0.2, "_batch": "2"}
    own.write_once("carrier_delay", pa.Table.from_pylist([corrected], schema=types), app="2")
    asked = pd.DataFrame({"carrier": ["AA"], "event_timestamp": [T0]})

    def history(versions):
        path = "airflow_mlops_provider.steps"
        config = RepoConfig(
            project="flights",
            provider="local",
            registry=f"{lake.root}/_features/registry.db",
            offline_store={"type": f"{path}.feast_store.LakeOfflineStore", "lake": own.root, "versions": versions},
            online_store={"type": f"{path}.feast_online.WideSqliteOnlineStore", "path": f"{own.root}/o.db"},
            entity_key_serialization_version=3,
        )
        job = FeatureStore(config=config).get_historical_features(asked, ["carrier_delay:carrier_late_7d"])
        return job.to_arrow().column("carrier_late_7d").to_pylist()

    assert history({"carrier_delay": first}) == [0.1]
    assert history({}) == [0.2]


def test_online_values_are_the_newest(store, tables):
    entities = [{"carrier": "UA", "origin": "JFK", "dest": "SFO", "sched_hour": 8}]
    found = store.get_online_features(store.get_feature_service("flight_delay_v1"), entities).to_dict()
    for name, (keys, features, _) in TABLES.items():
        for feature in features:
            assert found[feature] == [newest(tables[name], feature, **{key: entities[0][key] for key in keys})]


def test_feasts_own_writes_never_go_back_in_time(store):
    import pandas as pd

    def push(late: float, day: int) -> float:
        line = {"origin": ["LGA"], "origin_late_7d": [late], "available_at": [T0 + timedelta(days=day)]}
        store.write_to_online_store("origin_delay", pd.DataFrame(line))
        found = store.get_online_features(["origin_delay:origin_late_7d"], [{"origin": "LGA"}])
        return found.to_dict()["origin_late_7d"][0]

    assert push(0.5, day=60) == 0.5
    assert push(0.1, day=59) == 0.5
    assert push(0.7, day=61) == 0.7


def test_feasts_own_materialize_reads_the_lake(store, tables):
    from feast import FeatureView

    view: FeatureView = store.get_feature_view("carrier_delay")
    job = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config, view.batch_source, ["carrier"], ["carrier_late_7d"], "available_at", None, T0, T0 + timedelta(99)
    )
    found = {row["carrier"]: row["carrier_late_7d"] for row in job.to_arrow().to_pylist()}
    assert found == {c: newest(tables["carrier_delay"], "carrier_late_7d", carrier=c) for c in ("AA", "UA")}
    store.materialize(T0, T0 + timedelta(days=99), ["carrier_delay"])
    online = store.get_online_features(["carrier_delay:carrier_late_7d"], [{"carrier": "AA"}]).to_dict()
    assert online["carrier_late_7d"] == [found["AA"]]


def test_all_rows_of_an_interval(store, tables):
    source = store.get_feature_view("carrier_delay").batch_source
    pull = store._get_provider().offline_store.pull_all_from_table_or_query
    until = T0 + timedelta(days=6)
    found = pull(store.config, source, ["carrier"], ["carrier_late_7d"], "available_at", None, None, until).to_df()
    wanted = [row for row in tables["carrier_delay"].to_pylist() if row["available_at"] <= until]
    assert len(found) == len(wanted) > 2
    assert list(found.columns) == ["carrier", "carrier_late_7d", "available_at"]


def test_a_project_that_is_taken_down_leaves_no_rows(lake, tmp_path, monkeypatch):
    from contextlib import closing

    from feast import FeatureStore

    from airflow_mlops_provider.steps.feast_sqlite import connect

    monkeypatch.setenv("MLOPS_LAKE", str(tmp_path))
    store = FeatureStore(repo_path=str(REPO))
    monkeypatch.setenv("MLOPS_LAKE", lake.root)
    applied = FeatureStore(repo_path=str(REPO))
    store.apply([*applied.list_entities(), *applied.list_feature_views()])
    with closing(connect(tmp_path / "_features" / "online.db")) as con:
        assert con.execute("select count(*) from sqlite_schema where type = 'table'").fetchone() == (len(TABLES),)
        store.teardown()
        assert con.execute("select count(*) from sqlite_schema where type = 'table'").fetchone() == (0,)


def test_a_source_survives_the_registry(store):
    from airflow_mlops_provider.steps.feast_store import LakeSource

    (source,) = [source for source in store.list_data_sources() if source.name == "origin_weather"]
    assert source == LakeSource(table="origin_weather", timestamp_field="available_at")
    assert source != LakeSource(table="other", name="origin_weather", timestamp_field="available_at")
    columns = dict(source.get_table_column_names_and_types(store.config))
    assert (columns["temp"], columns["available_at"]) == ("double", "timestamp[us, tz=UTC]")


def test_entities_as_sql_are_refused(store):
    with pytest.raises(ConfigError, match="must be a pandas DataFrame, not str"):
        store.get_historical_features("select 1", ["origin_delay:origin_late_7d"])


def feast(*arguments: str, lake: str | None) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "MLOPS_LAKE"}
    command = [str(Path(sys.executable).with_name("feast")), "-c", str(REPO), *arguments]
    env |= {"PYTHONPATH": str(ROOT)} | ({"MLOPS_LAKE": lake} if lake else {})
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_feast_apply_by_hand_before_the_first_batch(tmp_path):
    (tmp_path / "lake").mkdir()
    done = feast("apply", lake=str(tmp_path / "lake"))
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in (tmp_path / "lake" / "_features").glob("*.db")) == ["online.db", "registry.db"]


@pytest.mark.slow
def test_feast_without_the_lakes_address_says_so():
    done = feast("apply", lake=None)
    assert done.returncode != 0
    assert "is not an absolute path; set MLOPS_LAKE to the lake's root" in done.stderr + done.stdout


@pytest.mark.slow
def test_feast_serve_answers(lake, tables):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("feast")),
        "-c",
        str(REPO),
        "serve",
        "-p",
        str(port),
        "--no-access-log",
    ]
    env = os.environ | {"MLOPS_LAKE": lake.root, "PYTHONPATH": str(ROOT)}
    entities = {"carrier": ["AA", "ZZ"], "origin": ["EWR", "JFK"], "dest": ["LAX", "LAX"], "sched_hour": [7, 8]}
    body = json.dumps({"feature_service": "flight_delay_v1", "entities": entities}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/get-online-features", body, {"Content-Type": "application/json"}
    )
    server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        answer = _ask(request, server, until=time.monotonic() + 120)
    finally:
        server.terminate()
        server.wait(timeout=30)
    names = answer["metadata"]["feature_names"]
    values = {name: result["values"] for name, result in zip(names, answer["results"], strict=True)}
    assert values["carrier_late_7d"] == [newest(tables["carrier_delay"], "carrier_late_7d", carrier="AA"), None]
    assert values["temp"] == [newest(tables["origin_weather"], "temp", origin=origin) for origin in ("EWR", "JFK")]


def _ask(request: urllib.request.Request, server: subprocess.Popen[bytes], until: float) -> dict:
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            raise AssertionError(exc.read().decode()) from exc
        except OSError:
            assert server.poll() is None, "feast serve ended"
            assert time.monotonic() < until, "feast serve did not answer"
            time.sleep(0.3)
