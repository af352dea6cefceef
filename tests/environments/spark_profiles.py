"""Profiles two Parquet files in DuckDB and in Spark: `python FILE REFERENCE CURRENT` prints them as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
from pyspark.sql import SparkSession

from airflow_mlops_provider.contracts.profile import Profile
from airflow_mlops_provider.steps import profile_scan, profile_spark
from airflow_mlops_provider.steps.profile import build_profile, profile_like

WHEN = {"timestamp": "at", "timezone": "America/New_York"}
# Far from the rows' zone and from UTC: a day or a second must not go by the session's.
ZONE = "Asia/Tokyo"


@contextmanager
def in_duckdb(files: dict[str, str]) -> Iterator[Any]:
    with duckdb.connect() as con:
        con.execute(f"set TimeZone = '{ZONE}'")
        for name, path in files.items():
            con.execute(f"create view {name} as select * from '{path}'")
        yield con


@contextmanager
def in_spark(files: dict[str, str]) -> Iterator[Any]:
    settings = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.sql.session.timeZone": ZONE}
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    for name, path in files.items():
        session.read.parquet(path).createOrReplaceTempView(name)
    yield session
    session.stop()


def sampled(con: Any) -> Profile:
    most = profile_scan.EDGE_ROWS
    profile_scan.EDGE_ROWS = profile_spark.EDGE_ROWS = 500
    found = build_profile(con, "reference", ["number"], bins=5, **WHEN)
    profile_scan.EDGE_ROWS = profile_spark.EDGE_ROWS = most
    return found


def main(reference: str, current: str) -> None:
    made = {}
    for name, connected in (("duckdb", in_duckdb), ("spark", in_spark)):
        with connected({"reference": reference, "current": current}) as con:
            columns = [c for c in con.table("reference").columns if c != "at"]
            first = build_profile(con, "reference", columns, **WHEN)
            made[name] = [first, profile_like(con, "current", first, columns=["fresh"], **WHEN)]
            made[name].append(sampled(con))
    # Python values: JSON packs the blocks to within their chance.
    print(json.dumps({name: [profile.model_dump() for profile in found] for name, found in made.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
