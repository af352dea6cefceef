"""What a page tells a reader to copy, and the data of the shop that the pages are about."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

__all__ = ["blocks", "visits"]

PAGES = Path(__file__).parents[2] / "docs" / "ladder"


def blocks(page: str) -> dict[str, str]:
    """Return a page's fenced blocks that have a title, by title: ```python title="dags/watch.py"."""
    text = (PAGES / page).read_text()
    found = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no block with a title"
    return dict(found)


def visits(days: int, *, first: str = "2025-01-01", shift: float = 0.0, per_day: int = 60, seed: int = 0) -> pa.Table:
    """Return visits of some days: `churned` depends on `spend`, whose mean is `shift`; `age` is a whole number."""
    draw = np.random.default_rng([seed, days])
    count = days * per_day
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    spend = draw.normal(shift, 1, count)
    return pa.table(
        {
            "customer": np.arange(count) + 1_000_000 * seed,
            "at": pa.array(
                [start + timedelta(days=i // per_day, minutes=20 * (i % per_day)) for i in range(count)],
                pa.timestamp("us", tz="UTC"),
            ),
            "age": draw.integers(18, 80, count),
            "plan": draw.choice(["basic", "plus"], count),
            "spend": spend,
            "churned": draw.random(count) < 1 / (1 + np.exp(2 * spend)),
        }
    )
