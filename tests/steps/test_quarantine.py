from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops_provider.cli import main
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.quarantine import quarantined_batches, quarantined_rows

pytestmark = pytest.mark.filterwarnings("ignore:.*fetch_arrow_table.*:DeprecationWarning")

PRICE, TWICE = "expect_column_values_to_be_between(price)", "duplicate of unique_key (id)"
SHOP = """\
pipeline: shop
data:
  start: 2026-01-01
  ingest:
    orders: {files: "in/{batch}.csv", unique_key: [id]}
    refunds: {files: "in/{batch}.csv", unique_key: [id]}
  validate: {orders: {expectation_suite: suite.json, max_failed: MAX}}
"""
SUITE = {
    "name": "orders",
    "expectations": [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "price", "min_value": 0}},
    ],
}
Shop = Callable[..., Lake]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Return a function that runs a day's data and returns the lake."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AIRFLOW__MLOPS__LAKE", raising=False)
    (tmp_path / "in").mkdir()

    def run(day: str, *rows: str, least: int = 0, most: float = 1.0) -> Lake:
        SUITE["expectations"][0]["kwargs"]["min_value"] = least  # type: ignore[index]  # a list of JSON
        (tmp_path / "suite.json").write_text(json.dumps(SUITE))
        (tmp_path / "shop.yaml").write_text(SHOP.replace("MAX", str(most)))
        (tmp_path / "in" / f"{day}.csv").write_text("\n".join(("id,price", *rows, "")))
        main(["run", "shop.yaml", "data", "--batch", day])
        return Lake(str(tmp_path / ".mlops" / "lake"))

    return run


def test_batches_are_listed_with_their_reasons_the_most_frequent_first(shop: Shop) -> None:
    shop("2026-01-01", "1,3", "2,-1", "2,4", "3,-3", "3,-4")
    lake = shop("2026-01-02", "7,-1", "8,1")
    assert quarantined_batches(lake) == [
        {"dataset": "orders", "batch": "2026-01-01", "rows": 3, "reasons": {PRICE: 3, TWICE: 2}},
        {"dataset": "orders", "batch": "2026-01-02", "rows": 1, "reasons": {PRICE: 1}},
        {"dataset": "refunds", "batch": "2026-01-01", "rows": 2, "reasons": {TWICE: 2}},
    ]


def test_rows_come_as_they_were_with_key_and_reasons_first(shop: Shop) -> None:
    lake = shop("2026-01-01", "3,-3", "1,3", "2,-1")
    total, rows = quarantined_rows(lake, "orders", "2026-01-01", 1)
    assert total == 2
    assert rows == [{"key": "2", "reasons": [PRICE], "row": {"id": "2", "price": "-1"}}]


def test_of_a_batch_that_was_judged_again_the_last_judgement_counts(shop: Shop) -> None:
    shop("2026-01-01", "1,3", "2,-1", "3,-9", most=0.0)
    lake = shop("2026-01-01", "1,3", "2,-1", "3,-9", least=-5)
    (only,) = quarantined_batches(lake)
    assert (only["rows"], only["reasons"]) == (1, {PRICE: 1})
    assert [row["key"] for row in quarantined_rows(lake, "orders", "2026-01-01", 9)[1]] == ["3"]


@pytest.mark.parametrize(
    ("dataset", "batch", "said"),
    [
        ("order", "2026-01-01", "no quarantine of 'order'; there is orders"),
        ("orders", "2026-01-07", "no row of batch '2026-01-07' of orders is in quarantine; there is 2026-01-01"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(shop: Shop, dataset: str, batch: str, said: str) -> None:
    lake = shop("2026-01-01", "1,-3")
    with pytest.raises(DataError) as refused:
        quarantined_rows(lake, dataset, batch, 5)
    assert str(refused.value) == said


def test_rows_to_print_are_no_negative_number(shop: Shop) -> None:
    with pytest.raises(DataError, match="limit -1: how many rows"):
        quarantined_rows(shop("2026-01-01", "1,2"), "orders", "2026-01-01", -1)


def test_a_lake_without_a_quarantine_has_no_batch(tmp_path: Path) -> None:
    assert quarantined_batches(Lake(str(tmp_path))) == []


def test_the_commands_print_text_and_json(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop("2026-01-01", "1,3", "2,-1", "2,-4")
    capsys.readouterr()
    assert main(["quarantine", "list"]) == 0
    listed = f"orders 2026-01-01: 2 rows\n          2  {PRICE}\n          1  {TWICE}\n"
    assert capsys.readouterr().out.startswith(listed)
    assert main(["quarantine", "show", "orders", "--batch", "2026-01-01", "--limit", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "orders 2026-01-01: 1 of 2 rows"
    assert main(["quarantine", "show", "orders", "--batch", "2026-01-01", "--format", "json"]) == 0
    assert [row["key"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["2", "2"]
    assert main(["quarantine", "list", "--lake", "elsewhere"]) == 0
    assert capsys.readouterr().out == "no row is in quarantine\n"
