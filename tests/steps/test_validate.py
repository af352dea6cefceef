"""A batch is published whole or not at all, once, and no failing row is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.contracts.base import Batch, DatasetRef
from airflow_mlops_provider.contracts.validate import Checks, ValidateResult, ValidateSpec
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.validate import validate

pytestmark = pytest.mark.filterwarnings("ignore:.*fetch_arrow_table.*:DeprecationWarning")

BATCH = Batch(id="2013-01-01", start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 2, 1, tzinfo=UTC))
INT = pa.int64()
RANGE = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "a", "max_value": 5},
    "description": "a is too large",
}


class World:
    """A lake with staged batches, a bundle with suites, and a spec on datasets `one` and `two`."""

    def __init__(self, root: Path) -> None:
        self.lake = Lake(str(root / "lake"))
        self.bundle = root / "bundle"
        self.bundle.mkdir()

    def stage(self, dataset: str, values: list[Any], kind: pa.DataType = INT, batch: str = BATCH.id) -> None:
        table = pa.table({"k": [f"{batch}/{n}" for n in range(len(values))], "a": pa.array(values, kind)})
        table = table.append_column("_batch", pa.array([batch] * len(values), pa.string()))
        with self.lake.replacing(self.lake.staged("p", dataset, batch)) as sink:
            pq.write_table(table, sink)

    def suite(self, *claims: dict[str, Any]) -> str:
        (self.bundle / "suite.json").write_text(json.dumps({"name": "s", "expectations": list(claims)}))
        return "suite.json"

    def spec(self, max_failed: float = 0.5, **more: Any) -> ValidateSpec:
        checks = Checks(expectation_suite="suite.json", max_failed=max_failed)
        given = {"datasets": {"one": checks}, "batch": BATCH, "publish": ("one", "two"), **more}
        return ValidateSpec(pipeline="p", lake=self.lake.root, bundle=str(self.bundle), **given)

    def run(self, spec: ValidateSpec, run_key: str = "run") -> ValidateResult:
        return validate(spec, StepContext(run_key, emit=lambda _: None))

    def values(self, table: str) -> list[Any]:
        rows = self.lake.read(table)
        return sorted(rows["a"].to_pylist()) if rows.num_columns else []

    def statuses(self, dataset: str) -> list[str]:
        return [row.status for row in BatchLedger(self.lake, dataset).rows()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.suite(RANGE)
    made.stage("one", [1, 2, 9])
    made.stage("two", [3, 4])
    return made


def test_good_rows_are_published_and_failing_ones_quarantined(world: World) -> None:
    result = world.run(world.spec())
    assert (result.verdict, world.values("one"), world.values("two")) == ("pass", [1, 2], [3, 4])
    assert (world.values("quarantine/one"), world.lake.version("quarantine/two")) == ([9], None)
    one = result.datasets["one"]
    assert (one.rows, one.quarantined, one.reasons) == (3, 1, {"a is too large": 1})
    assert (one.accepted, one.quarantine) == (
        DatasetRef(name="one", version=world.lake.version("one")),
        DatasetRef(name="quarantine/one", version=world.lake.version("quarantine/one")),
    )
    accepted = BatchLedger(world.lake, "one").accepted()[0]
    assert (accepted.batch.id, accepted.rows, accepted.version) == (BATCH.id, 2, world.lake.version("one"))


def test_a_quarantined_row_says_why_and_whence(world: World) -> None:
    world.run(world.spec(unique_keys={"one": ("k",)}))
    row = world.lake.read("quarantine/one").to_pylist()[0]
    assert (row["k"], row["_batch"], row["_reasons"]) == ("2013-01-01/2", BATCH.id, ["a is too large"])
    assert (row["_run_key"], row["_row_key"], len(row["_suite_version"])) == ("run", "2013-01-01/2", 16)
    assert row["_first_seen"].tzinfo is not None


def test_one_refused_dataset_keeps_the_whole_batch_out(world: World) -> None:
    result = world.run(world.spec(max_failed=0.1))
    assert result.rejected
    assert "one: 1 of 3 rows fail (33.3%), more than max_failed 10.0%; most often: a is too large" in result.refusal()
    assert (world.lake.version("one"), world.lake.version("two")) == (None, None)
    assert (world.values("quarantine/one"), world.statuses("one"), world.statuses("two")) == (
        [9],
        ["refused"],
        ["refused"],
    )


def test_a_refused_batch_is_accepted_once_it_is_staged_anew(world: World) -> None:
    world.run(world.spec(max_failed=0.1))
    world.stage("one", [1, 2, 5])
    assert world.run(world.spec(max_failed=0.1), "again").verdict == "pass"
    assert (world.values("one"), world.values("two"), world.statuses("one")) == ([1, 2, 5], [3, 4], ["accepted"])


def test_the_same_refusal_twice_quarantines_once(world: World) -> None:
    for run in ("first", "second"):
        world.run(world.spec(max_failed=0.1), run)
    assert world.values("quarantine/one") == [9]


def test_a_stricter_suite_loses_no_row_that_an_earlier_one_let_pass(world: World) -> None:
    world.run(world.spec(max_failed=0.1))
    world.suite({**RANGE, "kwargs": {"column": "a", "max_value": 1}})
    world.run(world.spec(max_failed=0.9), "again")
    assert (world.values("one"), world.values("quarantine/one")) == ([1], [2, 9, 9])


def test_an_accepted_batch_keeps_its_verdict_and_nothing_is_written(world: World) -> None:
    first = world.run(world.spec())
    before = {t: world.lake.version(t) for t in ("one", "two", "quarantine/one", "_ledgers/batches/one")}
    world.stage("one", [7, 8])
    world.suite({**RANGE, "kwargs": {"column": "a", "max_value": 0}})
    assert world.run(world.spec(), "another run") == first
    assert {t: world.lake.version(t) for t in before} == before


def test_two_batches_follow_each_other(world: World) -> None:
    world.run(world.spec())
    later = Batch(id="2013-02-01", start=BATCH.end, end=datetime(2013, 3, 1, tzinfo=UTC))
    world.stage("one", [5], batch=later.id)
    world.stage("two", [6], batch=later.id)
    world.run(world.spec(batch=later))
    assert (world.values("one"), world.values("two")) == ([1, 2, 5], [3, 4, 6])


def test_a_unique_key_alone_quarantines_and_never_refuses(world: World) -> None:
    world.stage("two", [3, 3, 3, 4])
    result = world.run(world.spec(unique_keys={"two": ("a",)}))
    assert (result.verdict, world.values("two"), world.values("quarantine/two")) == ("pass", [3, 4], [3, 3])
    assert result.datasets["two"].reasons == {"duplicate of unique_key (a)": 2}


def test_a_unique_key_that_the_suite_states_too_is_one_reason(world: World) -> None:
    world.suite({"type": "expect_column_values_to_be_unique", "kwargs": {"column": "a"}, "description": "twice"})
    world.stage("one", [1, 1, 2])
    assert world.run(world.spec(unique_keys={"one": ("a",)})).datasets["one"].reasons == {"twice": 1}


def test_nan_is_kept_as_it_came(world: World) -> None:
    world.stage("one", [float("nan"), 1.0, 9.0], pa.float64())
    world.run(world.spec())
    kept = world.lake.read("one")["a"].to_pylist()
    assert kept[0] != kept[0]
    assert kept[1] == 1.0


def test_an_empty_batch_passes_and_is_recorded(world: World) -> None:
    world.stage("one", [])
    result = world.run(world.spec())
    assert (result.verdict, result.datasets["one"].rows, world.statuses("one")) == ("pass", 0, ["accepted"])


def test_a_changed_type_names_the_column_and_nothing_is_written(world: World) -> None:
    world.run(world.spec())
    later = Batch(id="2013-02-01", start=BATCH.end, end=datetime(2013, 3, 1, tzinfo=UTC))
    world.stage("one", [9, 1], batch=later.id)
    world.stage("two", ["text"], pa.string(), batch=later.id)
    before = world.lake.version("quarantine/one")
    with pytest.raises(DataError, match=r"two: column types changed: a: int64 became string"):
        world.run(world.spec(batch=later))
    assert (world.lake.version("quarantine/one"), world.values("one")) == (before, [1, 2])


def test_a_new_column_follows_the_policy(world: World) -> None:
    world.run(world.spec())
    later = Batch(id="2013-02-01", start=BATCH.end, end=datetime(2013, 3, 1, tzinfo=UTC))
    world.stage("two", [1], batch=later.id)
    with world.lake.replacing(world.lake.staged("p", "one", later.id)) as sink:
        pq.write_table(pa.table({"k": ["x"], "a": [1], "new": [1.5], "_batch": [later.id]}), sink)
    with pytest.raises(DataError, match="on_schema_change is reject"):
        world.run(world.spec(batch=later, on_schema_change={"one": "reject"}))
    world.run(world.spec(batch=later))
    assert world.lake.read("one")["new"].null_count == 2


def test_nothing_staged_says_what_to_do(world: World) -> None:
    missing = world.spec(publish=("one", "three"))
    with pytest.raises(DataError, match="staged there by ingest: run it first"):
        world.run(missing)
    assert world.lake.version("quarantine/one") is None


def test_a_suite_outside_the_bundle_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="outside the bundle"):
        world.run(world.spec(datasets={"one": Checks(expectation_suite="../suite.json")}))


def test_a_lookup_table_that_is_not_there_is_named(world: World) -> None:
    query = "SELECT * FROM {batch} WHERE k NOT IN (SELECT k FROM keys)"
    world.suite({"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": query}})
    with pytest.raises(DataError, match="looks keys up in 'keys'"):
        world.run(world.spec())
    world.lake.write_once("keys", pa.table({"k": ["2013-01-01/0", "2013-01-01/1"]}), app="keys")
    assert world.run(world.spec()).datasets["one"].quarantined == 1


def test_a_table_that_exists_gets_a_verdict_and_is_left_alone(world: World) -> None:
    version, _ = world.lake.write_once("there", pa.table({"a": [1, 9]}), app="there")
    checks = Checks(expectation_suite="suite.json", dataset=DatasetRef(name="there", version=version))
    result = world.run(world.spec(datasets={"there": checks}, publish=(), batch=None))
    assert result.refusal() == (
        "there: 1 of 2 rows fail (50.0%), more than max_failed 0.0%; most often: a is too large (1)"
    )
    assert (world.lake.version("there"), world.lake.version("quarantine/there")) == (version, None)


def test_a_parquet_file_gets_a_verdict(world: World, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "x.parquet")
    ref = DatasetRef(kind="parquet", name=str(tmp_path / "x.parquet"))
    checks = Checks(expectation_suite="suite.json", dataset=ref)
    assert world.run(world.spec(datasets={"x": checks}, publish=(), batch=None)).verdict == "pass"


def test_what_was_half_published_is_not_refused_behind_its_back(world: World) -> None:
    spec = world.spec()
    _killed_before(world, spec, "_ledgers/batches/one")
    world.suite({**RANGE, "kwargs": {"column": "a", "max_value": 0}})
    with pytest.raises(DataError, match="put the suite and the lookup tables back"):
        world.run(spec)


@pytest.mark.parametrize("table", ["quarantine/one", "one", "two", "_ledgers/batches/one", "_ledgers/batches/two"])
def test_killed_before_any_commit_the_next_try_finishes_the_work_once(world: World, table: str) -> None:
    spec = world.spec()
    _killed_before(world, spec, table)
    assert not (table == "one" and world.lake.version("quarantine/one") is None)
    assert world.run(spec).verdict == "pass"
    assert (world.values("one"), world.values("two"), world.values("quarantine/one")) == ([1, 2], [3, 4], [9])
    assert (world.statuses("one"), world.statuses("two")) == (["accepted"], ["accepted"])


_CHILD = """
import os, signal, sys, warnings
from airflow_mlops_provider.contracts.validate import ValidateSpec
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.validate import validate

write = Lake.write_once
def killed(self, table, *args, **kwargs):
    if table == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, table, *args, **kwargs)
Lake.write_once = killed
validate(ValidateSpec.model_validate_json(sys.argv[1]), StepContext("run"))
"""


def _killed_before(world: World, spec: ValidateSpec, table: str) -> None:
    """Run the step in a process that dies where it would write `table`."""
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-W", "ignore", "-c", _CHILD, spec.model_dump_json(), table]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": root}, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
