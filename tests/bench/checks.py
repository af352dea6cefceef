"""Twenty-five checks of a table of twenty columns: one scan, and Great Expectations on pandas on fewer rows."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.measure import Side, pairs
from tests.bench.row import Row, compared

__all__ = ["rows"]

_NUMBERS = [f"x{i}" for i in range(12)]
_WORDS = [f"c{i}" for i in range(8)]
_BAD = 0.001


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """Yield the verdict on `--rows` rows against one bare query, and on `--peer-rows` rows against GX on pandas."""
    for name, size, other in (
        ("validate_checks", given.rows, "floor"),
        ("validate_checks_peer", given.peer_rows, "peer"),
    ):
        with tempfile.TemporaryDirectory(prefix="bench-checks-") as folder:
            template = Path(folder, "template")
            _make(template, size)
            sides = {side: Side(f"{__name__}:{side}", {}, str(template)) for side in ("ours", other)}
            found = pairs(sides, given.repeats)
        against = "one bare aggregate query" if other == "floor" else "Great Expectations on pandas"
        note = f"{size:,} rows x {len(_NUMBERS + _WORDS)} columns, {len(_claims())} checks; {other}: {against}"
        yield compared(name, found, given.repeats, note=note)


def _claims() -> list[dict[str, Any]]:
    def claim(kind: str, **kwargs: Any) -> dict[str, Any]:
        return {"type": kind, "kwargs": kwargs}

    return [
        *(claim("expect_column_values_to_be_between", column=c, min_value=-4, max_value=4) for c in _NUMBERS[:8]),
        *(claim("expect_column_values_to_not_be_null", column=c) for c in (*_NUMBERS[:4], *_WORDS[:2])),
        *(claim("expect_column_values_to_be_in_set", column=c, value_set=list("abcdefghij")) for c in _WORDS[:5]),
        *(claim("expect_column_mean_to_be_between", column=c, min_value=-1, max_value=1) for c in _NUMBERS[:4]),
        claim("expect_column_values_to_match_regex", column=_WORDS[7], regex="^[a-z]$"),
        claim("expect_compound_columns_to_be_unique", column_list=["id", _WORDS[0]]),
    ]


def _make(folder: Path, size: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    columns: dict[str, Any] = {"id": np.arange(size)}
    for name in _NUMBERS:
        columns[name] = pa.array(np.clip(draw.normal(size=size), -3.9, 3.9) + 9 * (draw.random(size) < _BAD))
    letters = np.array(list("abcdefghij"))
    columns |= {name: pa.array(letters[draw.integers(0, 10, size)]) for name in _WORDS}
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    (folder / "suite.json").write_text(json.dumps({"name": "bench", "expectations": _claims()}))


def ours(place: Path) -> None:
    from airflow_mlops_provider.contracts.base import DatasetRef
    from airflow_mlops_provider.contracts.validate import Checks, ValidateSpec
    from airflow_mlops_provider.steps.context import StepContext
    from airflow_mlops_provider.steps.validate import validate

    checks = Checks(
        expectation_suite="suite.json",
        max_failed=0.1,
        dataset=DatasetRef(kind="parquet", name=str(place / "rows.parquet")),
    )
    spec = ValidateSpec(pipeline="bench", lake=str(place / "lake"), bundle=str(place), datasets={"rows": checks})
    result = validate(spec, StepContext("bench", emit=lambda _message: None))
    _seen(result.datasets["rows"].quarantined)


def floor(place: Path) -> None:
    import duckdb

    from tests.bench.claims import query

    with duckdb.connect() as con:
        con.execute(f"create view batch as select * from '{place}/rows.parquet'")
        figures = con.sql(query({"expectations": _claims()})).fetchall()[0]
    _seen(figures[0])


def peer(place: Path) -> None:
    import logging

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("bench").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(name="bench")
    for claim in _claims():
        kind = "".join(word.capitalize() for word in claim["type"].split("_"))
        suite.add_expectation(getattr(gxe, kind)(**claim["kwargs"]))
    frame = pd.read_parquet(place / "rows.parquet")
    result = batch.get_batch({"dataframe": frame}).validate(suite)
    _seen(sum(r.result.get("unexpected_count", 0) for r in result.results))


def _seen(failing: int) -> None:
    # Each side finds the rows that were made bad: a side that checks nothing would be fast.
    if not failing:
        raise RuntimeError("no failing row was found, and there are some")
