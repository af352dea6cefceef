"""The demo's rows with their features as known at each event, in bare DuckDB: files listed by Delta, ASOF joins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["files", "joined"]


def joined(place: Path, entities: str, views: list[dict[str, Any]], where: str = "true") -> str:
    """Return a query of the lake table `entities` beside the features of `views`, null where they are older than ttl.

    `where` is of the entities' own columns, `e` their name.
    """
    joins, features = [], []
    for i, view in enumerate(views):
        keys = " and ".join(f"e.{key} = v{i}.{key}" for key in view["join_keys"])
        moment = f"v{i}.{view['timestamp']}"
        joins.append(f"asof left join {files(place, view['table'])} v{i} on {keys} and e.scheduled_at >= {moment}")
        # Not the difference of the two: that costs as much again as the join.
        fresh = f"{moment} >= e.scheduled_at - interval '{view['ttl_s']} seconds'"
        features += [f"case when {fresh} then v{i}.{name} end as {name}" for name in view["features"]]
    source = f"(select * from {files(place, entities)} e where {where}) e"
    return f"select {', '.join(['e.*', *features])} from {source} {' '.join(joins)}"


def files(place: Path, table: str) -> str:
    """Return SQL that reads the newest version of a lake table."""
    from deltalake import DeltaTable

    uris = DeltaTable(str(place / "lake" / table)).file_uris()
    return f"read_parquet({uris}, union_by_name=true)"
