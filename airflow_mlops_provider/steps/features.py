"""Features as they were known at each event: the point-in-time join over the lake, without Feast."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from airflow_mlops_provider.contracts.materialize import FeatureDefinitions, FeatureService, FeatureView
from airflow_mlops_provider.exceptions import ConfigError, DataError, TransientError
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.sql import identifier

__all__ = [
    "export_definitions",
    "load_definitions",
    "load_service",
    "microseconds",
    "pin_versions",
    "point_in_time",
    "register_view",
    "row_order",
]

_DEFINITIONS = "_features/definitions"
_SCHEMA = pa.schema(
    [
        ("project", pa.string()),
        ("sequence", pa.int64()),
        ("definitions", pa.string()),
        ("recorded_at", pa.timestamp("us", tz="UTC")),
    ]
)


def load_definitions(lake: Lake) -> dict[str, FeatureDefinitions]:
    """Return what each Feast project of the lake defines, as last exported."""
    rows = sorted(lake.read(_DEFINITIONS).to_pylist(), key=lambda row: row["sequence"])
    return {row["project"]: FeatureDefinitions.model_validate_json(row["definitions"]) for row in rows}


def load_service(lake: Lake, name: str) -> FeatureService:
    """Return a feature service that `materialize` exported. Raises ConfigError if the lake knows none of this name."""
    known = {service.name: service for given in load_definitions(lake).values() for service in given.services}
    if name not in known:
        raise ConfigError(
            f"the lake {lake.root} has no feature service {name!r}; known: {', '.join(sorted(known)) or 'none'}. "
            "Materialize exports the services of a Feast repository"
        )
    return known[name]


def export_definitions(lake: Lake, given: FeatureDefinitions) -> bool:
    """Write a project's definitions where they differ from the last ones; False where they do not.

    Raises ConfigError if another project has a service of the same name: they are named lake-wide.
    """
    known = load_definitions(lake)
    if known.get(given.project) == given:
        return False
    names = {service.name for service in given.services}
    for project, other in known.items():
        taken = names & {service.name for service in other.services}
        if project != given.project and taken:
            raise ConfigError(f"feature service {', '.join(sorted(taken))} is defined by Feast project {project!r} too")
    sequence = lake.sequence(_DEFINITIONS, given.project) + 1
    line = {
        "project": given.project,
        "sequence": sequence,
        "definitions": given.model_dump_json(),
        "recorded_at": datetime.now(UTC),
    }
    data = pa.Table.from_pylist([line], schema=_SCHEMA)
    _, written = lake.write_once(_DEFINITIONS, data, app=given.project, sequence=sequence)
    if not written:
        raise TransientError(f"another process exported the definitions of {given.project!r} at the same moment")
    return True


def pin_versions(lake: Lake, service: FeatureService) -> dict[str, int]:
    """Return the newest version of each table that a service reads. Raises DataError if one is missing."""
    return {view.table: lake.require(view.table).version() for view in service.views}


def point_in_time(
    con: duckdb.DuckDBPyConnection,
    entities: str,
    service: FeatureService,
    lake: Lake,
    *,
    event_timestamp: str,
    versions: Mapping[str, int] | None = None,
    full_names: bool = False,
) -> str:
    """Join a service's features to a view of entity rows, and return the new view's name.

    Every row and column of `entities` is kept; their order is not. A feature is that of its table's newest row at
    or before the event; null where there is none, or where that row is older than the view's ttl (exactly ttl is
    in time). Of rows with one key and one timestamp the greatest batch counts. Timestamps without a zone are
    UTC. A null key or event finds nothing. Tables that `versions` leaves out are read at their newest version.
    `full_names` makes a feature `view__feature`, as Feast does.
    Raises ConfigError if two columns of the result have one name or the service is empty, DataError if a column
    or a table is missing.
    """
    known = _columns(con, entities)
    needed = [event_timestamp, *(key for view in service.views for key in view.join_keys)]
    _require(entities, known, needed)
    if not service.views:
        raise ConfigError(f"feature service {service.name!r} has no feature view")
    names = {(v.name, f): f"{v.name}__{f}" if full_names else f for v in service.views for f in v.features}
    _refuse_collisions(service.name, [*known, *names.values()])
    event = microseconds(f"e.{identifier(event_timestamp)}", known[event_timestamp])
    matches, moments, values, selected = [], [], [], []
    for number, view in enumerate(service.views):
        table = register_view(con, view, lake, (versions or {}).get(view.table))
        matches.append(_match(con, view, table, number, event))
        moments.append(_moment(view, number, event))
        values.append(_values(con, view, table, number))
        selected += [f"v{number}.content.{identifier(f)} as {identifier(names[view.name, f])}" for f in view.features]
    name = f"{entities}__{service.name}"
    hidden = ", ".join(f'"@{number}"' for number in range(len(service.views)))
    # Two stages: first which moment of each table a row sees, then the values of these few. To order the rows of
    # one moment in the whole table first, so that the ASOF join meets only one, takes three times as long.
    con.execute(
        f"create or replace temp view {identifier(name)} as with matched as materialized "
        f"(select {', '.join(['e.*', *moments])} from {identifier(entities)} e {' '.join(matches)}) "
        f"select {', '.join([f'm.* exclude ({hidden})', *selected])} from matched m {' '.join(values)}"
    )
    return name


def register_view(con: duckdb.DuckDBPyConnection, view: FeatureView, lake: Lake, version: int | None = None) -> str:
    """Make one version of a feature view's table readable in `con` and return its name there.

    The version is part of the name, so that two joins in one connection never change each other's tables.
    Raises DataError if the table or one of its columns is missing.
    """
    if version is None:
        version = lake.require(view.table).version()
    name = f"{view.table}@{version}"
    if not lake.view(con, name, view.table, version):
        raise DataError(f"the lake {lake.root} has no table {view.table!r}, which feature view {view.name!r} reads")
    _require(
        f"{name}, the table of feature view {view.name!r},",
        _columns(con, name),
        [*view.join_keys, view.timestamp, *view.features],
    )
    return name


def microseconds(column: str, kind: str) -> str:
    """Return SQL for a timestamp's microseconds since 1970 UTC, whatever the session's zone."""
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"epoch_us({column})"
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"epoch_us({column}::timestamp)"
    raise DataError(f"{column} is {kind}, not a timestamp")


def row_order(con: duckdb.DuckDBPyConnection, view: FeatureView, table: str) -> tuple[str, str]:
    """Return SQL for a row's moment in microseconds, and for a struct of batch and features.

    The struct orders rows of one moment: by batch first, then by value, so that the same rows always give the
    same one.
    """
    known = _columns(con, table)
    batch = [f"_batch := {identifier(BATCH_COLUMN)}"] if BATCH_COLUMN in known else []
    fields = ", ".join([*batch, *(f"{identifier(f)} := {identifier(f)}" for f in view.features)])
    return microseconds(identifier(view.timestamp), known[view.timestamp]), f"struct_pack({fields})"


def _match(con: duckdb.DuckDBPyConnection, view: FeatureView, table: str, number: int, event: str) -> str:
    keys = [*map(identifier, view.join_keys)]
    moment, _ = row_order(con, view, table)
    on = [*(f"e.{key} = f{number}.{key}" for key in keys), f"{event} >= f{number}.moment"]
    return (
        f"asof left join (select {', '.join(keys)}, {moment} as moment from {identifier(table)}) f{number} "
        f"on {' and '.join(on)}"
    )


def _moment(view: FeatureView, number: int, event: str) -> str:
    if not view.ttl:
        return f'f{number}.moment as "@{number}"'
    fresh = f"{event} - f{number}.moment <= {view.ttl // timedelta(microseconds=1)}"
    return f'case when {fresh} then f{number}.moment end as "@{number}"'


def _values(con: duckdb.DuckDBPyConnection, view: FeatureView, table: str, number: int) -> str:
    keys = [*map(identifier, view.join_keys)]
    moment, row = row_order(con, view, table)
    seen = f'select distinct {", ".join(keys)}, "@{number}" as moment from matched'
    rows = f"select {', '.join(keys)}, {moment} as moment, {row} as content from {identifier(table)}"
    on = [*(f"m.{key} = v{number}.{key}" for key in keys), f'm."@{number}" = v{number}.moment']
    return (
        f"left join (select {', '.join(keys)}, moment, max(content) as content from ({rows}) "
        f"semi join ({seen}) using ({', '.join([*keys, 'moment'])}) group by all) v{number} on {' and '.join(on)}"
    )


def _columns(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    found = con.sql(f"select * from {identifier(relation)} limit 0")
    return dict(zip(found.columns, map(str, found.types), strict=True))


def _require(where: str, known: Mapping[str, str], needed: list[str]) -> None:
    missing = [name for name in needed if name not in known]
    if missing:
        raise DataError(f"{where} has no column {', '.join(missing)}; it has {', '.join(known)}")


def _refuse_collisions(service: str, names: list[str]) -> None:
    # DuckDB's names are blind to case.
    folded = [name.casefold() for name in names]
    doubled = sorted({name for name in names if folded.count(name.casefold()) > 1})
    if doubled:
        raise ConfigError(
            f"feature service {service!r} would give more than one column {', '.join(doubled)}: "
            "rename the feature, or leave it out of the service"
        )
