"""Feast's data source and offline store over the lake, named by dotted path in feature_store.yaml.

Only what needs Feast loads this module: its import takes 5 CPU seconds.
"""

# ruff: noqa: ARG002, ARG004 - Feast gives the signatures

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import duckdb
import pandas as pd
import pyarrow as pa
from feast import ValueType, type_map
from feast.data_source import DataSource
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field, field_validator

from airflow_mlops_provider.contracts.materialize import FeatureService, FeatureView
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.steps.features import point_in_time, register_view, row_order
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.sql import identifier

__all__ = ["LakeOfflineStore", "LakeOfflineStoreConfig", "LakeSource", "absolute", "lake_view", "to_us"]

_MODULE = "airflow_mlops_provider.steps.feast_store"


class LakeSource(DataSource):  # type: ignore[misc]  # Feast ships no types that mypy reads
    """A lake table as a Feast data source; `timestamp_field` is when a row is known."""

    def __init__(
        self, *, table: str, timestamp_field: str, name: str = "", description: str = "", owner: str = ""
    ) -> None:
        self.table = table
        super().__init__(name=name or table, timestamp_field=timestamp_field, description=description, owner=owner)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LakeSource) and super().__eq__(other) and self.table == other.table

    def __hash__(self) -> int:
        return int(super().__hash__())

    @staticmethod
    def from_proto(data_source: DataSourceProto) -> LakeSource:
        """Return the source that the registry holds."""
        return LakeSource(
            table=json.loads(data_source.custom_options.configuration)["table"],
            timestamp_field=data_source.timestamp_field,
            name=data_source.name,
            description=data_source.description,
            owner=data_source.owner,
        )

    def _to_proto_impl(self) -> DataSourceProto:
        options = json.dumps({"table": self.table}).encode()
        return DataSourceProto(
            name=self.name,
            type=DataSourceProto.CUSTOM_SOURCE,
            data_source_class_type=f"{_MODULE}.LakeSource",
            custom_options=DataSourceProto.CustomSourceOptions(configuration=options),
            timestamp_field=self.timestamp_field,
            description=self.description,
            owner=self.owner,
        )

    def source_type(self) -> Any:  # a protobuf enum
        """Return Feast's name for a source that is not its own."""
        return DataSourceProto.CUSTOM_SOURCE

    def validate(self, config: Any) -> None:  # Feast's RepoConfig
        """Accept a table that is not there yet: definitions come before the first batch."""

    @staticmethod
    def source_datatype_to_feast_value_type() -> Callable[[str], ValueType]:
        """Return Feast's own mapping of Arrow types."""
        return type_map.pa_to_feast_value_type  # type: ignore[no-any-return]  # untyped there

    def get_table_column_names_and_types(self, config: Any) -> Iterable[tuple[str, str]]:  # Feast's RepoConfig
        """Return the table's columns, for views that declare no schema."""
        schema = pa.schema(Lake(config.offline_store.lake).require(self.table).schema().to_arrow())
        return [(field.name, str(field.type)) for field in schema]


class LakeOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # untyped there
    """`lake`: its root, absolute. `versions`: tables that are read at a fixed version instead of the newest."""

    type: Literal["airflow_mlops_provider.steps.feast_store.LakeOfflineStore"] = (
        "airflow_mlops_provider.steps.feast_store.LakeOfflineStore"
    )
    lake: str
    versions: dict[str, int] = Field({})

    @field_validator("lake")
    @classmethod
    def _absolute(cls, lake: str) -> str:
        return absolute(lake, "offline_store.lake")


def lake_view(view: Any, keys: Sequence[str], features: Sequence[str], name: str = "") -> FeatureView:
    """Return a Feast feature view as our contract. Raises ConfigError if it does not read the lake."""
    if not isinstance(view.batch_source, LakeSource):
        raise ConfigError(
            f"feature view {view.name!r} reads a {type(view.batch_source).__name__}: give it a {_MODULE}.LakeSource"
        )
    if view.projection.join_key_map:
        raise ConfigError(f"feature view {view.name!r}: a join_key_map is not supported, name the entity as the column")
    return FeatureView(
        name=name or view.name,
        table=view.batch_source.table,
        join_keys=tuple(keys),
        timestamp=view.batch_source.timestamp_field,
        features=tuple(features),
        ttl=view.ttl or None,
    )


class LakeOfflineStore(OfflineStore):  # type: ignore[misc]  # untyped there
    """Historical features by the same point-in-time join that training and scoring use."""

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
    ) -> RetrievalJob:
        """Return a job over `entity_df`, a pandas frame of entity rows; expired features are null, rows stay."""
        if not isinstance(entity_df, pd.DataFrame):
            raise ConfigError(f"entity_df must be a pandas DataFrame, not {type(entity_df).__name__}")
        event = offline_utils.infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        views = tuple(_requested(view, feature_refs) for view in feature_views)
        service = FeatureService(name="requested", views=views)
        store = config.offline_store

        def query(con: duckdb.DuckDBPyConnection) -> str:
            con.register("entities", entity_df)
            return point_in_time(
                con,
                "entities",
                service,
                Lake(store.lake),
                event_timestamp=event,
                versions=store.versions,
                full_names=full_feature_names,
            )

        metadata = RetrievalMetadata(
            features=feature_refs,
            keys=[column for column in entity_df.columns if column != event],
            min_event_timestamp=entity_df[event].min(),
            max_event_timestamp=entity_df[event].max(),
        )
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        return LakeRetrievalJob(query, full_feature_names, on_demand, metadata)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: Any,
        data_source: LakeSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Return a job for each entity's newest row in [start_date, end_date]: what `feast materialize` writes."""
        return _rows_job(config, data_source, join_key_columns, feature_name_columns, start_date, end_date, True)

    @staticmethod
    def pull_all_from_table_or_query(
        config: Any,
        data_source: LakeSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Return a job for all rows in [start_date, end_date]; a bound that is left out is open."""
        return _rows_job(config, data_source, join_key_columns, feature_name_columns, start_date, end_date, False)


class LakeRetrievalJob(RetrievalJob):  # type: ignore[misc]  # untyped there
    """Runs its query in a DuckDB connection of its own whenever an answer is asked for."""

    def __init__(
        self,
        query: Callable[[duckdb.DuckDBPyConnection], str],
        full_names: bool = False,
        on_demand: Sequence[Any] = (),
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        super().__init__()
        self._query = query
        self._full_names = full_names
        self._on_demand = list(on_demand)
        self._metadata = metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'")
            name = self._query(con)
            return con.execute(f"select * from {identifier(name)}").to_arrow_table()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()

    @property
    def full_feature_names(self) -> bool:
        """Whether a feature is called `view__feature`."""
        return self._full_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        """Views that Feast computes from the answer."""
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata


def _requested(view: Any, feature_refs: list[str]) -> FeatureView:
    prefix = f"{view.projection.name_to_use()}:"
    features = [ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)]
    name = view.projection.name_alias or view.name
    return lake_view(view, [column.name for column in view.entity_columns], features, name)


def _rows_job(
    config: Any,
    source: LakeSource,
    keys: list[str],
    features: list[str],
    start: datetime | None,
    end: datetime | None,
    newest: bool,
) -> LakeRetrievalJob:
    store = config.offline_store
    view = FeatureView(
        name=source.name,
        table=source.table,
        join_keys=tuple(keys),
        timestamp=source.timestamp_field,
        features=tuple(features),
    )

    def query(con: duckdb.DuckDBPyConnection) -> str:
        table = register_view(con, view, Lake(store.lake), store.versions.get(source.table))
        moment, row = row_order(con, view, table)
        bounds = [f"{moment} >= {to_us(start)}"] if start else []
        bounds += [f"{moment} <= {to_us(end)}"] if end else []
        last = (
            f" qualify row_number() over (partition by {', '.join(map(identifier, keys))} "
            f"order by {moment} desc, {row} desc) = 1"
            if newest
            else ""
        )
        columns = ", ".join(map(identifier, [*keys, *features, source.timestamp_field]))
        con.execute(
            f"create or replace temp view pulled as select {columns} from {identifier(table)} "
            f"where {' and '.join([*bounds, 'true'])}{last}"
        )
        return "pulled"

    return LakeRetrievalJob(query)


def to_us(when: datetime) -> int:
    """Return microseconds since 1970 UTC; a time without a zone is UTC, as in Feast."""
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1e6)


def absolute(path: str, where: str) -> str:
    """Return the path. Raises ValueError if it is relative, or holds a variable that nobody set."""
    if "$" in path or not ("://" in path or Path(path).is_absolute()):
        raise ValueError(f"{where}: {path!r} is not an absolute path; set MLOPS_LAKE to the lake's root")
    return path
