"""A source that is slow to answer."""

import time
from pathlib import Path

import pyarrow.csv


def slow(batch):
    rows = pyarrow.csv.read_csv(Path(__file__).parent / "in" / f"{batch.id}.csv")
    yield rows.slice(0, 100)
    time.sleep(8)
    yield rows.slice(100)
