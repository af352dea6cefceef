"""Reference profile: what a model was trained on, small enough to travel with it."""

from __future__ import annotations

from pydantic import Field

from airflow_mlops_provider.contracts.base import Contract
from airflow_mlops_provider.contracts.packing import PackedNumbers, PackedRows

__all__ = ["ColumnProfile", "Profile"]


class ColumnProfile(Contract):
    """Counts of one column.

    Numeric: `edges` are the n-1 inner quantile edges of n bins (value <= edge falls left of it), `counts`
    and `sums` have length n, `counts` sums to the non-null rows. Datetime: the same, in seconds since 1970
    (UTC; local time where the column has no zone). Categorical: `levels` has one entry a count. `nulls` counts
    nulls and NaN. `mean` and `std` (population) are of the values. `blocks` holds one row of counts (then the
    nulls) a day block, the same bins: it gives the null distribution of a distance between windows of the same
    season. In JSON `edges`, `sums` and `blocks` are packed, `blocks` to within a quarter of their own
    chance (`PackedRows`).
    """

    name: str
    kind: str = Field(pattern="^(numeric|categorical|datetime)$")
    counts: tuple[int, ...]
    sums: PackedNumbers = ()
    edges: PackedNumbers = ()
    levels: tuple[str, ...] = ()
    nulls: int = 0
    mean: float | None = None
    std: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    blocks: PackedRows = ()


class Profile(Contract):
    """Profiles of all columns over `rows` rows; `block_ids` names the day of each row of `blocks`."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    block_ids: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    version: int = 1
