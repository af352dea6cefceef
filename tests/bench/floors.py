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
    from tests.bench.claims import broken, query

    batch = _batch(place)
    tables = {n: pa.Table.from_batches(getattr(sources, n)(batch)) for n in sources.__all__}
    with duckdb.connect() as con:
        for name, table in tables.items():
            con.register(name, table)
        for name in ("flights", "weather"):
            suite = json.loads((ROOT / "expectations" / f"{name}.json").read_text())
            con.register("batch", tables[name])
            con.sql(query(suite)).fetchall()
            judged = f"(select *, {broken(suite)} as bad from batch)"
            failing = con.sql(f"select * exclude (bad) from {judged} where bad").to_arrow_table()
            if failing.num_rows:
                write_deltalake(str(place / "floor" / "quarantine" / name), failing)
                tables[name] = con.sql(f"select * exclude (bad) from {judged} where not bad").to_arrow_table()
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

    from tests.bench.joined import files

    end = json.loads((place / "request.json").read_text())["spec"]["batch"]["end"]
    with duckdb.connect() as con, sqlite3.connect(place / "floor.db") as online:
        con.execute("set timezone = 'UTC'")
        for view in json.loads((place / "floor.json").read_text())["views"]:
            keys, features = ", ".join(view["join_keys"]), view["features"]
            rows = con.execute(
                f"select {keys}, unnest(newest) from (select {keys}, arg_max(struct_pack({', '.join(features)}), "
                f"available_at) as newest from {files(place, view['table'])} where available_at <= ? group by all)",
                [end],
            ).fetchall()
            columns = ", ".join([*view["join_keys"], *features])
            online.execute(f"create table {view['name']} ({columns}, primary key ({keys}))")
            marks = ", ".join("?" * len(columns.split(",")))
            online.executemany(f"insert or replace into {view['name']} values ({marks})", rows)


def train(place: Path) -> None:
    import duckdb
    import mlflow
    from mlflow.models import infer_signature

    from include import delay_model
    from tests.bench.joined import joined

    known = _known(place)
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        rows = joined(place, "flight_labels", known["views"], "e.is_late is not null")
        numbers = ", ".join(f"{name}::double as {name}" for name in known["numbers"])
        columns = ", ".join([*known["texts"], "is_late"])
        frame = con.sql(f"select {numbers}, {columns} from ({rows}) order by scheduled_at, flight_id").df()
    x, y = frame[known["features"]], frame["is_late"]
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
    import duckdb
    import mlflow
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import write_deltalake

    from tests.bench.joined import joined

    known = _known(place)
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        query = joined(place, "flights_to_score", known["views"], f"e._batch = '{known['batch']}'")
        rows = con.sql(query).to_arrow_table()
    mlflow.set_tracking_uri(f"sqlite:///{place}/mlflow.db")
    model = mlflow.sklearn.load_model(known["model"])
    scores = model.predict_proba(rows.select(list(model.feature_names_in_)).to_pandas())[:, 1]
    made = rows.select(["flight_id", "scheduled_at"]).append_column("prediction", pa.array(scores))
    pq.write_table(made, place / "staged.parquet", compression="zstd")
    write_deltalake(str(place / "floor" / "predictions"), made)


def drift(place: Path) -> None:
    """Count and sum each column by local day in the profile's bins and levels: what the distances need."""
    import duckdb

    from tests.bench.joined import files, joined

    known = _known(place)
    rows = joined(place, "flights_to_score", known["views"], f"e._batch = '{known['batch']}'")
    made = f"(select flight_id, prediction from {files(place, 'predictions/flight_delay')} where role = 'champion')"
    columns = known["profile"]["columns"]
    names = [column["name"] for column in columns]
    numbers = [c["name"] for c in columns if c["kind"] == "numeric"]
    day = "timezone('America/New_York', scheduled_at)::date as day"
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        monitored = f"select {day}, {', '.join(names)} from ({rows}) join {made} using (flight_id)"
        con.execute(f"create temp table monitored as {monitored}")
        figures = ", ".join(f"avg({n}), stddev_pop({n}), min({n}), max({n})" for n in numbers)
        con.sql(f"select count(*), {figures} from monitored").fetchall()
        con.sql(" union all ".join(_cells(i, column) for i, column in enumerate(columns))).fetchall()


def _cells(number: int, column: dict[str, Any]) -> str:
    name = column["name"]
    if column["kind"] == "numeric":
        key, total = f"case when {name} is not null then {_bin(name, column['edges'])} end", f"sum({name})"
    else:
        levels = ", ".join(f"'{level}'" for level in column["levels"])
        key, total = f"case when {name} is null or {name} in ({levels}) then {name} else '<new>' end", "0"
    return f"select {number}, day, ({key})::varchar, count(*), {total} from monitored group by all"


def _bin(name: str, edges: list[float], first: int = 0) -> str:
    """The number of edges below, by halving: fewer comparisons than a list of ranges."""
    if not edges:
        return str(first)
    half = len(edges) // 2
    left, right = _bin(name, edges[:half], first), _bin(name, edges[half + 1 :], first + half + 1)
    return f"case when {name} <= '{edges[half]!r}'::double then {left} else {right} end"


def _known(place: Path) -> Any:
    return json.loads((place / "floor.json").read_text())


class _Data:
    """What the demo's trainer takes."""

    def __init__(self, x: Any, y: Any) -> None:
        self.X, self.y = x, y


def _batch(place: Path) -> Any:
    from airflow_mlops_provider.contracts.base import Batch

    return Batch.model_validate(json.loads((place / "request.json").read_text())["spec"]["batch"])
