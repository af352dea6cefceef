"""Run `dbt build` on pinned lake versions and publish named models back to the lake."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch, DatasetRef, Json
from airflow_mlops_provider.contracts.protocol import EXIT_CODES, Message, Outcome, ProtocolError, Request, decode
from airflow_mlops_provider.contracts.transform import NodeResult, TransformResult, TransformSpec
from airflow_mlops_provider.exceptions import BugError, DataError, LostError, TransientError
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.dbt_child import FAILED
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.sql import identifier

__all__ = ["transform"]

_CHILD = "airflow_mlops_provider.steps.dbt_child"
_PATH = "\"{{ env_var('MLOPS_WAREHOUSE') }}\""
_TAIL = 2000


def transform(spec: TransformSpec, context: StepContext) -> TransformResult:
    """Build the project's selected nodes, then commit each model of `publish`, in that order, once a batch.

    Sources named `lake` read accepted versions only. With a batch its id, its bounds in its time zone and
    the zone are dbt variables (`batch_id`, `batch_start`, `batch_end`, `timezone`), and a published model
    holds the batch's rows: all that it has, or those with this `_batch` if it has that column. Without one
    a published table is replaced. The project's profile takes its DuckDB file from the environment variable
    MLOPS_WAREHOUSE; the file has one writer. Raises DataError naming each failed node, and where `select` or
    `publish` match nothing; TransientError where another process has the warehouse.
    """
    if not (Path(spec.bundle) / spec.project_dir / "dbt_project.yml").is_file():
        raise DataError(f"{spec.project_dir}: no dbt_project.yml there (looked in {Path(spec.bundle).resolve()})")
    lake = context.lake(spec)
    with _warehouse(lake, spec.pipeline) as file:
        built = _run_dbt(spec, context, file)
        nodes = tuple(NodeResult.model_validate(node) for node in built["nodes"])
        _check(spec, nodes, built["relations"])
        with _reader(file, spec, lake, built["versions"]) as con:
            done = {}
            for model in spec.publish:
                data = _read(con, model, built["relations"][model], spec.batch)
                done[model] = _publish(lake, model, data, spec.batch, context.run_key, built["versions"])
    return TransformResult(
        batch=spec.batch.id if spec.batch else None,
        nodes=nodes,
        published={model: DatasetRef(name=model, version=version) for model, (version, _) in done.items()},
        rows={model: rows for model, (_, rows) in done.items()},
    )


@contextmanager
def _warehouse(lake: Lake, pipeline: str) -> Iterator[Path]:
    """Yield the DuckDB file: beside a local lake's tables, for a remote lake a temporary one."""
    if "://" in lake.root:
        with tempfile.TemporaryDirectory(prefix="warehouse-") as folder:
            yield Path(folder) / f"{pipeline}.duckdb"
        return
    file = Path(lake.uri("_warehouse")).resolve() / f"{pipeline}.duckdb"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        duckdb.connect(str(file)).close()
    except duckdb.IOException as exc:
        raise TransientError(f"{file}: another process writes this warehouse; it has one writer at a time") from exc
    yield file


@contextmanager
def _reader(file: Path, spec: TransformSpec, lake: Lake, sources: Json) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(file), config={"memory_limit": spec.memory_limit}) as con:
        con.execute("set timezone = 'UTC'")
        if "://" in lake.root:  # a model that is a view reads its sources now, and remote ones belong to a session
            for table, version in sources.items():
                lake.view(con, table, table, version)
        yield con


def _run_dbt(spec: TransformSpec, context: StepContext, file: Path) -> Json:
    """Return what the child built; its messages go on to the task's log."""
    known = {k: dict(v) for k, v in context.connections.items() if k == "lake_default"}
    request = Request("transform", spec.model_dump(mode="json"), context.run_key, connections=known)
    environment = {**os.environ, "MLOPS_WAREHOUSE": str(file), "MLOPS_MEMORY_LIMIT": spec.memory_limit}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(  # noqa: S603  # this interpreter, our own module
            [sys.executable, "-m", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        ) as child,
    ):
        outcome = _listen(child, request, context)
        code = child.wait()
        errors.seek(0)
        return _result(outcome, code, errors)


def _listen(child: subprocess.Popen[str], request: Request, context: StepContext) -> Outcome | None:
    if child.stdin is None or child.stdout is None:
        raise BugError("the child was started without pipes")
    try:
        child.stdin.write(request.encode() + "\n")
        child.stdin.close()
        for line in child.stdout:
            said = decode(line)
            if isinstance(said, Outcome):
                return said
            if isinstance(said, Message):
                context.emit(said)
    except (ProtocolError, BrokenPipeError) as exc:
        child.kill()
        raise LostError(f"dbt's process broke off: {exc}") from exc
    except BaseException:  # an interrupted step must not leave a writer behind
        child.kill()
        raise
    return None


def _result(outcome: Outcome | None, code: int, errors: IO[str]) -> Json:
    if outcome is None or code != EXIT_CODES[outcome.status]:
        raise LostError(f"dbt's process ended with {code} and no outcome; its last words: {errors.read()[-_TAIL:]}")
    if outcome.kind == "bad_input":
        raise DataError(outcome.error)
    if outcome.kind == "transient":
        raise TransientError(outcome.error)
    if outcome.result is None:
        raise BugError(f"{outcome.error}\n{outcome.trace}")
    return outcome.result


def _check(spec: TransformSpec, nodes: tuple[NodeResult, ...], relations: dict[str, str | None]) -> None:
    failed = [node for node in nodes if node.status in FAILED]
    if failed:
        said = "; ".join(f"{node.kind} {node.name}: {' '.join(node.message.split())}" for node in failed)
        raise DataError(f"{spec.project_dir}: {len(failed)} of {len(nodes)} nodes failed: {said}")
    unbuilt = [model for model in spec.publish if not relations.get(model)]
    if unbuilt:
        raise DataError(
            f"{spec.project_dir}: publish names {', '.join(unbuilt)}, which select {spec.select!r} did not build as a "
            f"table or view; built: {', '.join(sorted(name for name, made in relations.items() if made)) or 'none'}"
        )


def _publish(lake: Lake, model: str, data: pa.Table, batch: Batch | None, key: str, sources: Json) -> tuple[int, int]:
    """Return the lake version that holds the model's rows and how many they are; written at most once a batch."""
    if batch is None:
        version, _ = lake.write_once(model, data, app=f"{model}/{key}", mode="overwrite", on_schema_change="evolve")
        return version, data.num_rows
    ledger = BatchLedger(lake, model)
    done = next((row for row in ledger.accepted() if row.batch.id == batch.id), None)
    if done is not None and done.version is not None:
        return done.version, done.rows
    version, _ = lake.write_once(model, data, app=f"{model}/{batch.id}#1", on_schema_change="evolve")
    ledger.accept(batch, version=version, rows=data.num_rows, run_key=key, detail={"sources": sources})
    return version, data.num_rows


def _read(con: duckdb.DuckDBPyConnection, model: str, relation: str, batch: Batch | None) -> pa.Table:
    """Return the model's rows, of the batch where there is one, with the batch's id in each."""
    try:
        columns = [column[0] for column in con.execute(f"from {relation} limit 0").description or []]
    except (duckdb.CatalogException, duckdb.BinderException) as exc:  # no such table, no such file
        raise DataError(f"model {model} is not in the warehouse: the profile's path must be {_PATH}; {exc}") from exc
    if batch is None:
        return con.execute(f"from {relation}").to_arrow_table()
    own = identifier(BATCH_COLUMN)
    if BATCH_COLUMN in columns:
        return con.execute(f"from {relation} where {own} = ?", [batch.id]).to_arrow_table()
    return con.execute(f"select *, ?::varchar as {own} from {relation}", [batch.id]).to_arrow_table()
