"""What every contract has in common."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict

__all__ = ["Batch", "Contract", "DatasetRef", "Json", "StepSpec"]

from typing import Any, Literal

# JSON as it comes from a file or a message: checked by the model that takes it.
Json = dict[str, Any]


class Contract(BaseModel):
    """A frozen model that refuses unknown keys. Building is put off: a DAG file loads few of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @property
    def rejected(self) -> bool:
        """Whether this result is a gate's no; the step's outcome is then `rejected`, not `succeeded`."""
        return False


class DatasetRef(Contract):
    """A table by reference; XCom carries these, never data.

    `delta`: a table of the lake, `version` its Delta version. `parquet`: `name` is a path, `version`
    its fingerprint. `sql`: `name` is a table or a query behind `conn_id`, `version` a snapshot id or
    watermark.
    """

    kind: Literal["delta", "parquet", "sql"] = "delta"
    name: str
    version: int | str | None = None
    conn_id: str | None = None


class Batch(Contract):
    """One unit of data: the half-open interval [start, end) in data time."""

    id: str
    start: AwareDatetime
    end: AwareDatetime
    timezone: str = "UTC"


class StepSpec(Contract):
    """What every step's spec says: whose pipeline it works for and where its lake and bundle lie."""

    pipeline: str
    lake: str
    bundle: str = "."
