"""dbt in a child: what it reads, what it publishes, and what it says when it fails."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.protocol import Message
from airflow_mlops_provider.contracts.transform import TransformResult, TransformSpec
from airflow_mlops_provider.exceptions import DataError, LostError, TransientError
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.transform import transform

APRIL = Batch(id="2013-04-01", start=datetime(2013, 4, 1, 4, tzinfo=UTC), end=datetime(2013, 5, 1, 4, tzinfo=UTC))
APRIL = APRIL.model_copy(update={"timezone": "America/New_York"})
FILES = {
    "dbt_project.yml": "{name: shop, version: '1.0', profile: shop}",
    "profiles.yml": """
        shop:
          target: here
          outputs:
            here:
              type: duckdb
              path: "{{ env_var('MLOPS_WAREHOUSE') }}"
              plugins: [{module: airflow_mlops_provider.steps.dbt_lake}]
    """,
    "models/schema.yml": """
        sources: [{name: lake, tables: [{name: orders}, {name: shops}, {name: nowhere}]}]
        models:
          - name: priced
            columns: [{name: price, data_tests: [not_null]}]
    """,
    "models/priced.sql": """
        select id, price, '{{ var("batch_start") }} {{ var("timezone") }} {{ var("currency") }}' as said
        from {{ source('lake', 'orders') }} where _batch = '{{ var("batch_id") }}'
    """,
    "models/counted.sql": """
        select _batch, count(*) as orders, (select count(*) from {{ source('lake', 'shops') }}) as shops
        from {{ source('lake', 'orders') }} group by _batch
    """,
    "models/broken.sql": "select no_such_column from {{ source('lake', 'orders') }}",
    "models/behind.sql": "select * from {{ ref('broken') }}",
    "models/lost.sql": "select * from {{ source('lake', 'nowhere') }}",
}


class Shop:
    """A project and a lake with two accepted batches, an empty table, and a batch that nobody accepted."""

    def __init__(self, root: Path, lake: Lake | None = None) -> None:
        self.root = root
        for name, text in FILES.items():
            self.file(name, text)
        self.lake = lake or Lake(str(root / "lake"))
        self.said: list[str] = []
        march = APRIL.model_copy(update={"id": "2013-03-01", "start": datetime(2013, 3, 1, 5, tzinfo=UTC)})
        for batch, prices in ((APRIL, [3.0, 4.0]), (march, [1.0])):  # april first: versions follow commits, not time
            version = self.orders(batch.id, prices)
            BatchLedger(self.lake, "orders").accept(batch, version=version, rows=len(prices), run_key="load")
        self.orders("2013-05-01", [9.0])
        self.lake.write_once("shops", pa.table({"shop": pa.array([], pa.string())}), app="shops")

    def file(self, name: str, text: str) -> None:
        path = self.root / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))

    def orders(self, batch: str, prices: list[float | None]) -> int:
        rows = {
            "id": list(range(len(prices))),
            "price": pa.array(prices, pa.float64()),
            BATCH_COLUMN: [batch] * len(prices),
        }
        return self.lake.write_once("orders", pa.table(rows), app=batch)[0]

    def transform(
        self,
        select: str | None,
        *publish: str,
        batch: Batch | None = APRIL,
        emit: Callable[[Message], None] | None = None,
        connections: dict[str, dict[str, Any]] | None = None,
    ) -> TransformResult:
        spec = TransformSpec(
            pipeline="shop",
            lake=self.lake.root,
            bundle=str(self.root),
            project_dir="project",
            select=select,
            publish=publish,
            batch=batch,
            vars={"currency": "USD", "batch_id": "of a user"},
        )
        emit = emit or (lambda message: self.said.append(message.text))
        return transform(spec, StepContext("run", connections=connections or {}, emit=emit))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    return lake.read(table).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.slow
def test_models_read_accepted_versions_and_are_published_once(shop: Shop) -> None:
    before = sorted(path for path in (shop.root / "project").rglob("*"))
    result = shop.transform("priced counted", "priced", "counted")
    assert {(n.name, n.kind, n.status) for n in result.nodes} == {
        ("priced", "model", "success"),
        ("counted", "model", "success"),
        ("not_null_priced_price", "test", "pass"),
    }
    assert result.rows == {"priced": 2, "counted": 1}
    said = "2013-04-01T00:00:00-04:00 America/New_York USD"
    assert rows(shop.lake, "priced") == [
        {"id": 0, "price": 3.0, "said": said, BATCH_COLUMN: APRIL.id},
        {"id": 1, "price": 4.0, "said": said, BATCH_COLUMN: APRIL.id},
    ]
    # has the column of its own: only this batch's rows
    assert rows(shop.lake, "counted") == [{BATCH_COLUMN: APRIL.id, "orders": 2, "shops": 0}]
    (accepted,) = BatchLedger(shop.lake, "priced").accepted()
    assert (accepted.batch, accepted.rows, accepted.version) == (APRIL, 2, result.published["priced"].version)
    assert accepted.detail == {"sources": {"orders": 2, "shops": shop.lake.version("shops")}}
    assert len([line for line in shop.said if line.startswith("model ")]) == 2
    assert sorted(path for path in (shop.root / "project").rglob("*")) == before

    again = shop.transform("priced counted", "priced", "counted")
    assert again.published == result.published
    assert {table: shop.lake.version(table) for table in ("priced", "counted")} == {
        table: ref.version for table, ref in result.published.items()
    }


@pytest.fixture
def store() -> Iterator[dict[str, Any]]:
    """An S3 store in its own process (deltalake holds the interpreter while it waits), as an Airflow connection."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(300):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            urllib.request.urlopen(urllib.request.Request(f"{address}/lake", method="PUT"), timeout=30).close()
            extra = {"endpoint_url": address, "region_name": "us-east-1"}
            yield {"login": "key", "password": "secret", "extra": extra}
        finally:
            process.kill()


@pytest.mark.slow
def test_a_lake_on_s3_is_read_and_written_alike(tmp_path: Path, store: dict[str, Any]) -> None:
    shop = Shop(tmp_path, Lake("s3://lake/shop", store))
    result = shop.transform("priced counted", "priced", "counted", connections={"lake_default": store})
    assert result.rows == {"priced": 2, "counted": 1}
    assert rows(shop.lake, "counted") == [{BATCH_COLUMN: APRIL.id, "orders": 2, "shops": 0}]
    assert not (tmp_path / "lake").exists()


@pytest.mark.slow
def test_without_a_batch_the_table_is_replaced(shop: Shop) -> None:
    shop.transform("counted", "counted", batch=None)
    shop.orders("2013-06-01", [5.0])
    assert sorted(row[BATCH_COLUMN] for row in rows(shop.lake, "counted")) == ["2013-03-01", "2013-04-01"]


@pytest.mark.slow
def test_each_failed_node_is_named_and_nothing_is_published(shop: Shop) -> None:
    june = Batch(id="2013-06-01", start=datetime(2013, 6, 1, tzinfo=UTC), end=datetime(2013, 7, 1, tzinfo=UTC))
    version = shop.orders(june.id, [5.0, None])
    BatchLedger(shop.lake, "orders").accept(june, version=version, rows=2, run_key="load")
    with pytest.raises(DataError) as failed:
        shop.transform("priced broken behind lost", "priced", batch=june)
    text = str(failed.value)
    assert text.startswith("project: ")
    assert "model broken: " in text
    assert 'Referenced column "no_such_column" not found' in text
    assert "model lost: " in text
    assert "test not_null_priced_price: Got 1 result, configured to fail if != 0" in text
    assert "behind" not in text.replace("behind.sql", "")
    assert shop.lake.version("priced") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("select", "publish", "message"),
    [
        ("tag:flights", (), "project: select 'tag:flights' matches no node of the dbt project"),
        ("priced", ("counted",), "publish names counted, which select 'priced' did not build .*; built: priced"),
    ],
)
def test_names_without_a_match_are_refused(shop: Shop, select: str, publish: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        shop.transform(select, *publish)


@pytest.mark.slow
def test_a_project_that_dbt_cannot_read_is_refused(shop: Shop) -> None:
    shop.file("models/priced.sql", "select {{ ref('nobody')")
    with pytest.raises(DataError, match=r"(?s)project: dbt refuses the project: .*priced"):
        shop.transform(None)


@pytest.mark.slow
def test_a_profile_with_a_file_of_its_own_cannot_publish(shop: Shop) -> None:
    shop.file(
        "profiles.yml", FILES["profiles.yml"].replace("{{ env_var('MLOPS_WAREHOUSE') }}", str(shop.root / "own.duckdb"))
    )
    with pytest.raises(DataError, match="priced is not in the warehouse: the profile's path must be"):
        shop.transform("priced", "priced")


def test_a_folder_without_a_project_is_refused(shop: Shop) -> None:
    (shop.root / "project" / "dbt_project.yml").unlink()
    with pytest.raises(DataError, match=r"project: no dbt_project\.yml there"):
        shop.transform(None)


@pytest.mark.slow
def test_an_interrupted_step_leaves_no_writer(shop: Shop) -> None:
    def interrupt(_: Message) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.transform("priced", emit=interrupt)
    duckdb.connect(str(shop.root / "lake" / "_warehouse" / "shop.duckdb")).close()
    assert shop.transform("priced", "priced").rows == {"priced": 2}


def test_a_busy_warehouse_is_a_passing_fault(shop: Shop) -> None:
    file = shop.root / "lake" / "_warehouse" / "shop.duckdb"
    file.parent.mkdir()
    hold = f"import duckdb, sys; con = duckdb.connect({str(file)!r}); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TransientError, match="another process writes this warehouse"):
            shop.transform("priced")
        holder.communicate("")


def test_a_child_without_an_outcome_is_lost(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", str(shop.root))
    with pytest.raises(LostError, match="ended with 1 and no outcome; its last words: "):
        shop.transform("priced")
