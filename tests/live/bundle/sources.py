"""A source that is slow to answer."""

import time
from pathlib import Path

import pyarrow.compute
import pyarrow.csv


def slow(batch):
    rows = pyarrow.csv.read_csv(Path(__file__).parent / "in" / f"{batch.id}.csv")
    yield rows.slice(0, 100)
    time.sleep(8)
    yield rows.slice(100)


def day(batch):
    month = pyarrow.csv.read_csv(Path(__file__).parent / "in" / f"{batch.id[:7]}-01.csv")
    at = month["at"]
    yield month.filter(
        pyarrow.compute.and_(
            pyarrow.compute.greater_equal(at, pyarrow.scalar(batch.start, at.type)),
            pyarrow.compute.less(at, pyarrow.scalar(batch.end, at.type)),
        )
    )
