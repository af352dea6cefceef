"""What a CSV file's columns are can be said where its first rows do not tell, and which words are true and false."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from pydantic import ValidationError

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.ingest import CsvDialect, Source
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.sources import read_source

BATCH = Batch(id="2013-01-01", start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 2, 1, tzinfo=UTC))


def read(folder, text, known=None, **csv):
    (folder / "t.csv").write_text(text)
    source = Source(files="t.csv", csv=csv)
    return pa.concat_tables(read_source("t", source, BATCH, StepContext("try"), bundle=str(folder), known=known))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("text", "007", "007"),
        ("text", "12:30", "12:30"),
        ("integer", "7", 7),
        ("number", "7", 7.0),
        ("boolean", "1", True),
        ("date", "2013-01-02", date(2013, 1, 2)),
        ("timestamp", "2013-01-02", datetime(2013, 1, 2)),  # noqa: DTZ001  # it says no zone
        ("timestamptz", "2013-01-02T01:00:00+02:00", datetime(2013, 1, 1, 23, tzinfo=UTC)),
    ],
)
def test_a_kind_that_is_said(tmp_path, kind, text, value):
    assert read(tmp_path, f"a,b\n{text},x\n,y\n", types={"a": kind})["a"].to_pylist() == [value, None]


def test_words_for_true_and_false(tmp_path):
    found = read(
        tmp_path, "a,b\nja,2\nnein,1\n,\n", types={"b": "boolean"}, true_values=["ja", "2"], false_values=["nein", "1"]
    )
    assert found.to_pydict() == {"a": [True, False, None], "b": [True, False, None]}
    assert read(tmp_path, "a,b\ntrue,1\nfalse,2\n", true_values=["ja"])["a"].to_pylist() == [True, False]


def test_the_tables_own_kind_goes_before(tmp_path):
    known = pa.schema([("a", pa.int64())])
    assert read(tmp_path, "a,b\n7,x\n", known, types={"a": "text"})["a"].to_pylist() == [7]


def test_a_value_of_another_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match="invalid value 'x'"):
        read(tmp_path, "a,b\nx,1\n", types={"a": "number"})
    with pytest.raises(ValidationError, match="Input should be 'text', 'integer'"):
        CsvDialect(types={"a": "int"})
