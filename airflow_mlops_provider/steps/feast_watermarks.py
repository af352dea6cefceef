"""How far each feature view is online: by version of its table and by time, kept in the lake."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa

from airflow_mlops_provider.exceptions import TransientError
from airflow_mlops_provider.steps.lake import Lake

__all__ = ["Watermark", "Watermarks"]

_TABLE = "_features/watermarks"
_TRIES = 20
_SCHEMA = pa.schema(
    [
        ("view", pa.string()),
        ("definition", pa.string()),
        ("store", pa.string()),
        ("version", pa.int64()),
        ("end", pa.timestamp("us", tz="UTC")),
        ("project", pa.string()),
        ("sequence", pa.int64()),
        ("recorded_at", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True, slots=True)
class Watermark:
    """Rows of the table's `version` that were known at `end` are in the online store `store`.

    The version tells late rows apart, which time alone would miss. `definition` is the view's: with another one
    nothing is online yet.
    """

    view: str
    definition: str
    store: str
    version: int
    end: datetime

    def same_place(self, other: Watermark) -> bool:
        """Return whether both speak of the same definition in the same store."""
        return (self.view, self.definition, self.store) == (other.view, other.definition, other.store)

    def not_before(self, last: Watermark) -> Watermark:
        """Return this watermark, its time no earlier than that of `last`: a watermark never goes back."""
        return replace(self, end=max(self.end, last.end))

    def covers(self, other: Watermark) -> bool:
        """Return whether nothing of `other` is left to do."""
        return self.same_place(other) and self.version >= other.version and self.end >= other.end


class Watermarks:
    """The watermarks of one Feast project."""

    def __init__(self, lake: Lake, project: str) -> None:
        self.lake = lake
        self.project = project

    def load(self) -> dict[str, Watermark]:
        """Return the newest watermark of each view."""
        rows = [row for row in self.lake.read(_TABLE).to_pylist() if row["project"] == self.project]
        return {
            row["view"]: Watermark(row["view"], row["definition"], row["store"], row["version"], row["end"])
            for row in sorted(rows, key=lambda row: row["sequence"])
        }

    def advance(self, marks: list[Watermark]) -> None:
        """Record watermarks in one commit, without those that another process has passed meanwhile.

        Raises TransientError if others won twenty times.
        """
        for _ in range(_TRIES):
            # Before the look: who commits between it and our commit takes the sequence, and we look again.
            sequence = self.lake.sequence(_TABLE, self.project) + 1
            known = self.load()
            fresh = [m for m in marks if not (m.view in known and known[m.view].covers(m))]
            stamp = {"project": self.project, "sequence": sequence, "recorded_at": datetime.now(UTC)}
            data = pa.Table.from_pylist([asdict(m) | stamp for m in fresh], schema=_SCHEMA)
            if not fresh or self.lake.write_once(_TABLE, data, app=self.project, sequence=sequence)[1]:
                return
        raise TransientError(f"{_TABLE}: {_TRIES} commits for {self.project!r} met another")
