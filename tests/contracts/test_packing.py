"""What is packed in JSON comes back as it was, and plain lists are read as before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_mlops_provider.contracts.profile import ColumnProfile

counts = st.integers(0, 10**12) | st.integers(0, 300)
tables = st.integers(1, 30).flatmap(
    lambda n: st.lists(st.lists(counts, min_size=n, max_size=n).map(tuple), max_size=40)
)
numbers = st.lists(st.floats(allow_nan=False), max_size=30)


def column(**fields: object) -> ColumnProfile:
    return ColumnProfile.model_validate({"name": "x", "kind": "numeric", "counts": [], **fields})


def there_and_back(**fields: object) -> ColumnProfile:
    return ColumnProfile.model_validate_json(column(**fields).model_dump_json())


@given(numbers, numbers)
def test_numbers_come_back_as_they_were(edges: list[float], sums: list[float]) -> None:
    found = there_and_back(edges=edges, sums=sums)
    assert (found.edges, found.sums) == (tuple(edges), tuple(sums))


@given(tables)
def test_counts_come_back_to_a_quarter_of_their_chance(blocks: list[tuple[int, ...]]) -> None:
    found = np.array(there_and_back(blocks=blocks).blocks, dtype=object)
    assert column(blocks=blocks).blocks == tuple(blocks)
    if blocks:
        given_rows = np.array(blocks, dtype=object)
        assert found.shape == given_rows.shape
        allowed = np.sqrt(given_rows.mean(axis=0).astype(float)) / 4
        assert (abs(found - given_rows) <= np.maximum(allowed, 0)).all()
    else:
        assert found.size == 0


@given(tables.map(lambda table: table[:1]) | st.lists(st.tuples(*[st.integers(0, 15)] * 21), max_size=20))
def test_one_row_and_small_counts_come_back_as_they_were(blocks: list[tuple[int, ...]]) -> None:
    assert there_and_back(blocks=blocks).blocks == tuple(blocks)


def test_lists_are_read_too() -> None:
    text = '{"name": "x", "kind": "numeric", "counts": [1], "edges": [1.5], "sums": [1], "blocks": [[1, 0], [0, 2]]}'
    found = ColumnProfile.model_validate_json(text)
    assert (found.edges, found.sums, found.blocks) == ((1.5,), (1.0,), ((1, 0), (0, 2)))


@pytest.mark.parametrize("field", ["blocks", "edges", "sums"])
@pytest.mark.parametrize("text", ["not packed", "abc"])
def test_a_damaged_text_is_named(field: str, text: str) -> None:
    with pytest.raises(ValidationError, match=field):
        column(**{field: text})
