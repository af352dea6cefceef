"""Contract of the step that brings a batch in."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from airflow_mlops_provider.contracts.base import Batch, Contract, DatasetRef, StepSpec

__all__ = ["CsvDialect", "IngestResult", "IngestSpec", "IngestedDataset", "Source"]

CsvType = Literal["text", "integer", "number", "boolean", "date", "timestamp", "timestamptz"]


class CsvDialect(Contract):
    """How a CSV file is written."""

    delimiter: str = Field(",", pattern=r"^[\t !#-/:-@\[-`{-~]$", description="one character between two fields")
    decimal_point: Literal[".", ","] = Field(".", description="the character before a number's decimals")
    types: dict[str, CsvType] = Field(
        {},
        description="columns' kinds where the first file does not tell them: `text`, `integer`, `number`, `boolean`, "
        "`date`, `timestamp`, `timestamptz`",
    )
    true_values: tuple[str, ...] = Field((), description="words for true, besides true and 1")
    false_values: tuple[str, ...] = Field((), description="words for false, besides false and 0")

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.delimiter == self.decimal_point:
            raise ValueError(f"delimiter and decimal_point are both {self.delimiter!r}: no number could be told")
        return self


class Source(Contract):
    """Where one dataset's rows come from: exactly one of `python_callable`, `files`, `sql`."""

    python_callable: str | None = Field(
        None, description="`module.function(batch)`, yields Arrow record batches or pandas frames"
    )
    files: str | None = Field(None, description="path, glob or fsspec address; `{batch}` is the batch's id")
    format: Literal["csv", "parquet", "jsonl"] | None = Field(None, description="default: by the file's ending")
    csv: CsvDialect | None = Field(None, description="how CSV `files` are written; default: commas, decimal points")
    sql: str | None = Field(None, description="query; `:start`, `:end` and `:cursor` are bound, never pasted")
    conn_id: str | None = Field(None, description="Airflow connection of `files` or `sql`")
    cursor: str | None = Field(None, description="column of `sql` whose largest value is remembered as `:cursor`")
    unique_key: tuple[str, ...] = Field((), description="of rows with the same key in a batch the first stays")
    labels: bool = Field(False, description="outcomes: they come later than what they judge")
    reference: bool = Field(False, description="not a batch: a small table that is replaced when it changed")
    on_schema_change: Literal["evolve", "reject"] = Field(
        "evolve", description="new or missing column; a changed type is always refused"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [k for k in ("python_callable", "files", "sql") if getattr(self, k)]
        if len(given) != 1:
            raise ValueError(f"give exactly one of python_callable, files, sql; got {given or 'none'}")
        if self.sql and not self.conn_id:
            raise ValueError("sql needs conn_id")
        if self.csv and (not self.files or self.format not in (None, "csv")):
            raise ValueError("csv is for `files` in CSV: remove it")
        return self


class IngestSpec(StepSpec):
    """Bring `datasets` of one batch in; with `publish` false they are only staged, for validate to publish."""

    datasets: dict[str, Source] = Field(min_length=1)
    batch: Batch
    publish: bool = True


class IngestedDataset(Contract):
    """What came in for one dataset; `written` is false where the batch was there already."""

    dataset: DatasetRef
    rows: int
    written: bool


class IngestResult(Contract):
    """One entry a dataset."""

    batch: str
    datasets: dict[str, IngestedDataset]
