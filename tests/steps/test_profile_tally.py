"""Rows are counted alike in whatever batches and order of days they come."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.steps.profile_tally import NEW, REST, Counted, Figures, count

EDGES = (-1.0, 0.0, 0.5)
LEVELS = ("a", "b", NEW)
rows = st.tuples(
    st.none() | st.dates(dt.date(2013, 1, 1), dt.date(2013, 1, 4)),
    st.none() | st.sampled_from([np.nan, np.inf, -np.inf, *EDGES]) | st.floats(-2, 2),
    st.none() | st.sampled_from(["a", "b", "c", ""]),
)


def counted(given: list[tuple[Any, ...]], cuts: tuple[int, ...] = (), edges: Any = EDGES) -> Counted:
    schema = pa.schema({"day": pa.date32(), "x": pa.float64(), "c": pa.string()})
    parts = [given[i:j] for i, j in zip((0, *cuts), (*cuts, len(given)), strict=True)]
    columns = [[pa.array(c, f.type) for c, f in zip(zip(*part, strict=True), schema, strict=True)] for part in parts]
    batches = [pa.record_batch(made, schema=schema) for made in columns if made]
    return count(pa.RecordBatchReader.from_batches(schema, batches), {"x": edges}, {"c": LEVELS})


@settings(max_examples=200, deadline=None)
@given(st.lists(rows, min_size=1, max_size=60), st.data())
def test_every_row_is_counted_at_its_day_and_place(given: list[tuple[Any, ...]], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(given)), max_size=3)) - {len(given)})
    found = counted(given, tuple(cuts))
    x, c = found.columns["x"], found.columns["c"]
    days = sorted({day for day, _, _ in given if day is not None})
    lines = [*days, None]
    numbers, texts = np.zeros((len(lines), 5), int), np.zeros((len(lines), 4), int)
    for day, number, text in given:
        line = lines.index(day)
        bad = number is None or not np.isfinite(number)
        numbers[line, 4 if bad else sum(number > edge for edge in EDGES)] += 1
        texts[line, 3 if text is None else LEVELS.index(text if text in LEVELS else NEW)] += 1
    kept = len(days) + any(day is None for day, _, _ in given)
    assert (found.rows, found.days) == (len(given), days)
    assert x.counts.tolist() == numbers[:kept].tolist()
    assert c.counts.tolist() == texts[:kept].tolist()
    finite = np.array([number for _, number, _ in given if number is not None and np.isfinite(number)])
    places = np.searchsorted(EDGES, finite)
    assert x.sums == pytest.approx(np.bincount(places, finite, 4).tolist(), rel=1e-12, abs=1e-12)
    if len(finite):
        assert (x.figures.minimum, x.figures.maximum) == (finite.min(), finite.max())
        assert (x.figures.mean, x.figures.std) == pytest.approx((finite.mean(), finite.std()), rel=1e-9, abs=1e-9)
    else:
        assert x.figures == Figures()


@pytest.mark.parametrize("edges", [127, 255, 256, 1000])
def test_bins_may_be_many(edges: int) -> None:
    given = [(None, float(i), None) for i in range(edges + 1)]
    found = counted(given, edges=tuple(i + 0.5 for i in range(edges)))
    assert found.columns["x"].counts.tolist() == [[1] * (edges + 1) + [0]]


def test_a_text_of_no_level_is_a_null_only_where_there_is_no_bucket_for_it() -> None:
    schema = pa.schema({"day": pa.date32(), "c": pa.string()})
    batch = pa.record_batch([pa.nulls(4, pa.date32()), pa.array(["a", "b", "b", None])], schema=schema)
    found = {
        levels: count(pa.RecordBatchReader.from_batches(schema, [batch]), {}, {"c": levels})
        .columns["c"]
        .counts.tolist()
        for levels in (("a", REST), ("a", NEW), ("a",), ())
    }
    assert found == {("a", REST): [[1, 2, 1]], ("a", NEW): [[1, 2, 1]], ("a",): [[1, 3]], (): [[4]]}
