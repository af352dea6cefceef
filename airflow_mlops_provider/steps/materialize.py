"""Write what is new in feature tables to the online store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import duckdb
from deltalake.exceptions import DeltaError

from airflow_mlops_provider.contracts.materialize import FeatureView, MaterializeResult, MaterializeSpec
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.feast_repo import FeastRepo
from airflow_mlops_provider.steps.feast_sqlite import EVENT_COLUMN
from airflow_mlops_provider.steps.feast_watermarks import Watermark, Watermarks
from airflow_mlops_provider.steps.features import register_view, row_order
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.online import OnlineStore, online_store
from airflow_mlops_provider.steps.sql import identifier

__all__ = ["materialize"]


def materialize(spec: MaterializeSpec, context: StepContext) -> MaterializeResult:
    """Apply the repository, then write each view's entities whose newest row known at the batch's end has changed.

    Changed is counted from the view's watermark, a version of its table and a time: a batch that is run again
    writes none, a row that came late is found. A batch that lies before the watermark is worked up to the
    watermark. Raises ConfigError if the repository or a view is wrong, DataError if a table or column is missing.
    """
    lake = context.lake(spec)
    repo = FeastRepo.read(Path(spec.bundle, spec.feature_repo), lake)
    views = _chosen(repo.definitions(lake).views, spec.feature_views)
    watermarks = Watermarks(lake, repo.project)
    known = watermarks.load()
    rows: dict[str, int] = {}
    marks: list[Watermark] = []
    with closing(online_store(repo)) as online, duckdb.connect(config={"memory_limit": "2GB"}) as con:
        for view in views:
            last = known.get(view.name)
            mark = Watermark(
                view.name, view.model_dump_json(), online.id, lake.require(view.table).version(), spec.batch.end
            )
            last = last if last is not None and last.same_place(mark) else None
            if last is not None:
                mark = mark.not_before(last)
            marks.append(mark)
            rows[view.name] = 0 if mark == last else _write(con, online, lake, view, mark, last, context)
            context.say(f"{view.name}: {rows[view.name]} rows", len(rows) / len(views))
    watermarks.advance(marks)
    return MaterializeResult(
        batch=spec.batch.id,
        rows=rows,
        watermark=min((mark.end for mark in marks), default=None),
        versions={view.table: mark.version for view, mark in zip(views, marks, strict=True)},
    )


def _chosen(views: Sequence[FeatureView], names: Sequence[str]) -> list[FeatureView]:
    known = {view.name: view for view in views}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"feature_views: no online view {', '.join(unknown)}; known: {', '.join(known) or 'none'}")
    return [known[name] for name in names] or list(views)


def _write(
    con: duckdb.DuckDBPyConnection,
    online: OnlineStore,
    lake: Lake,
    view: FeatureView,
    mark: Watermark,
    last: Watermark | None,
    context: StepContext,
) -> int:
    changed = _newest(con, online, lake, view, mark)
    if last is not None:
        try:
            con.execute(
                f"create or replace temp table changed as {changed} except {_newest(con, online, lake, view, last)}"
            )
        except (DeltaError, duckdb.IOException) as exc:
            # Vacuum took what the watermark refers to. All rows again is right, and only slower.
            context.say(f"{view.name}: version {last.version} of {view.table} is gone, writing all entities: {exc}")
            last = None
    if last is None:
        con.execute(f"create or replace temp table changed as {changed}")
    return online.write(view, con.table("changed"))


def _newest(con: duckdb.DuckDBPyConnection, online: OnlineStore, lake: Lake, view: FeatureView, mark: Watermark) -> str:
    """Return SQL for each entity's newest row that was known at the watermark, in the online store's types."""
    table = register_view(con, view, lake, mark.version)
    moment, row = row_order(con, view, table)
    found = con.table(table)
    kinds = dict(zip(found.columns, map(str, found.types), strict=True))
    keys = [*map(identifier, view.join_keys)]
    end = round(mark.end.timestamp() * 1e6)
    plain = [
        f"{online.column(f'newest.content.{identifier(f)}', kinds[f], view.name)} as {identifier(f)}"
        for f in view.features
    ]
    return (
        f"select {', '.join([*keys, *plain])}, newest.moment as {EVENT_COLUMN} from ("
        f"select {', '.join(keys)}, max(struct_pack(moment := {moment}, content := {row})) as newest "
        f"from {identifier(table)} where {moment} <= {end} and {' and '.join(f'{key} is not null' for key in keys)} "
        f"group by all)"
    )
