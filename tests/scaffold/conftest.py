"""A CSV file read as `init` reads it, and `init` itself as a user runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from airflow_mlops_provider.cli import main
from airflow_mlops_provider.scaffold.columns import Column, columns_of, load_csv, scratch
from airflow_mlops_provider.scaffold.csv_file import csv_file


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with scratch() as con:
        yield con


@pytest.fixture
def columns(con, tmp_path) -> Callable[[str], dict[str, Column]]:
    """Return a function that reads a CSV text and returns its columns by name."""

    def read(text: str) -> dict[str, Column]:
        path = tmp_path / "read.csv"
        path.write_text(text)
        con.execute("drop table if exists rows")
        load_csv(con, csv_file(path))
        return {column.name: column for column in columns_of(con)}

    return read


@pytest.fixture
def init(tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Return `airflow-mlops`, run in an empty folder: its exit status, what it printed, and its errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
