"""The stages by the libraries' own calls: what an engineer who knows each library would write, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.measure import ROOT

__all__ = ["drift", "ingest_validate", "materialize", "score", "train", "transform"]

REQUIREMENTS = ["scikit-learn", "pandas", "numpy", "cloudpickle"]


def ingest_validate(place: Path) -> None:
    import duckdb
    import pyarrow as pa
    from deltalake import write_deltalake

    from include import sources
    from tests.bench.claims import query

    batch = _batch(place)
    tables = {n: pa.Table.from_batches(getattr(sources, n)(batch)) for n in sources.__all__ if n != "INCIDENTS"}
    with duckdb.connect() as con:
        for name, table in tables.items():
            con.register(name, table)
        for name in ("flights", "weather"):
            suite = json.loads((ROOT / "expectations" / f"{name}.json").read_text())
            con.register("batch", tables[name])
            con.sql(query(suite)).fetchall()
    for name, table in tables.items():
        write_deltalake(str(place / "floor" / name), table)


def transform(place: Path) -> None:
    """Build the same project on views of the same files, in a child, as dbt keeps its lock until the process ends."""
    request = json.loads((place / "request.json").read_text())
    environment = {**os.environ, "MLOPS_WAREHOUSE": str(place / "floor.duckdb"), "MLOPS_MEMORY_LIMIT": "1GB"}
    given = json.dumps([str(place), request["spec"]["batch"]])
    subprocess.run([sys.executable, "-m", "tests.bench.floor_dbt", given], cwd=ROOT, env=environment, check=True)


def materialize(place: Path) -> None:
    import sqlite3

    import duckdb

    end = json.loads((place / "request.json").read_text())["spec"]["batch"]["end"]
    with duckdb.connect() as con, sqlite3.connect(place / "floor.db") as online:
        con.execute("set timezone = 'UTC'")
        for view in json.loads((place / "floor.json").read_text())["views"]:
            keys, features = ", ".join(view["join_keys"]), view["features"]
            rows = con.execute(
                f"select {keys}, unnest(newest) from (select {keys}, arg_max(struct_pack({', '.join(features)}), "
                f"available_at) as newest from {_files(place, view['table'])} where available_at <= ? group by all)",
                [end],
            ).fetchall()
            columns = ", ".join([*view["join_keys"], *features])
            online.execute(f"create table {view['name']} ({columns}, primary key ({keys}))")
            marks = ", ".join("?" * len(columns.split(",")))
            online.executemany(f"insert or replace into {view['name']} values ({marks})", rows)


def train(place: Path) -> None:
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    from include import delay_model

    frame = pd.read_parquet(place / "frame.parquet")
    x, y = frame.drop(columns="is_late"), frame["is_late"]
    mlflow.set_tracking_uri(f"sqlite:///{place}/mlflow.db")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("floor", str(place / "artifacts")))
    with mlflow.start_run():
        model = delay_model.train(_Data(x, y), {})
        mlflow.log_params({"rows": len(y)})
        mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(x.head(1000), model.predict_proba(x.head(1000))),
            pip_requirements=REQUIREMENTS,
            serialization_format="cloudpickle",
            pyfunc_predict_fn="predict_proba",
        )


def score(place: Path) -> None:
    import mlflow
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import write_deltalake

    rows = pq.read_table(place / "frame.parquet")
    mlflow.set_tracking_uri(f"sqlite:///{place}/mlflow.db")
    model = mlflow.sklearn.load_model(json.loads((place / "floor.json").read_text())["model"])
    scores = model.predict_proba(rows.select(list(model.feature_names_in_)).to_pandas())[:, 1]
    made = rows.select(["flight_id", "scheduled_at"]).append_column("prediction", pa.array(scores))
    pq.write_table(made, place / "staged.parquet", compression="zstd")
    write_deltalake(str(place / "floor" / "predictions"), made)


def drift(place: Path) -> None:
    import duckdb

    profile = json.loads((place / "floor.json").read_text())["profile"]
    parts = [
        f"histogram({c['name']}, {[*c['edges'], 1e308]})" if c["kind"] == "numeric" else f"histogram({c['name']})"
        for c in profile["columns"]
    ]
    with duckdb.connect() as con:
        con.sql(f"select {', '.join(parts)} from '{place}/frame.parquet'").fetchall()


class _Data:
    """What the demo's trainer takes."""

    def __init__(self, x: Any, y: Any) -> None:
        self.X, self.y = x, y


def _batch(place: Path) -> Any:
    from airflow_mlops_provider.contracts.base import Batch

    return Batch.model_validate(json.loads((place / "request.json").read_text())["spec"]["batch"])


def _files(place: Path, table: str) -> str:
    from deltalake import DeltaTable

    files = DeltaTable(str(place / "lake" / table)).file_uris()
    return f"read_parquet({files}, union_by_name=true)"
