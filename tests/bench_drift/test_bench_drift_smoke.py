"""The bench runs: one small stream of each kind gives a figure for each head of its table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench_drift.__main__ import ROWS, measured
from tests.bench_drift.streams import FAULTS


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_measured(name: str) -> None:
    stream = ROWS[name]
    found = list(measured(replace(stream, columns=4, windows=1, reference_days=30), 1))
    assert len(found) == 3 + len(FAULTS)
    assert all(0 <= value <= 100 for value in found)
