"""Every row is in one batch, as it stood; the same rows always in the same one."""

from datetime import date

import pytest

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.columns import columns_of
from airflow_mlops_provider.scaffold.csv_file import csv_file
from airflow_mlops_provider.scaffold.schedule import dealt, timed
from airflow_mlops_provider.scaffold.split import split


def put(path, text):
    path.write_bytes(text.encode())
    return csv_file(path)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def contents(folder):
    return {path.stem: path.read_bytes().decode() for path in sorted(folder.iterdir())}


def test_by_time_line_by_line(con, columns, tmp_path, folder):
    text = 'at;x\r\n2025-03-04;"a;\r\nb"\r\n2025-03-01T23:59:59;c\r\n;lost\r\n2025-03-03 00:00;d'
    columns(text)
    file = put(tmp_path / "t.csv", text)
    found = split(file, timed(con, columns_of(con), "at"), ("x",), folder)
    assert contents(folder) == {
        "2025-03-01": "at;x\r\n2025-03-01T23:59:59;c\r\n",
        "2025-03-02": "at;x\r\n",
        "2025-03-03": "at;x\r\n2025-03-03 00:00;d\n",
        "2025-03-04": 'at;x\r\n2025-03-04;"a;\r\nb"\r\n',
    }
    assert (found.rows, found.timeless) == ((1, 0, 1, 1), 1)


def test_dealt_by_the_key_and_so_in_any_order(tmp_path, folder):
    lines = [f"k{i},{i}\n" for i in range(1000)]
    schedule = dealt(date(2025, 3, 1))
    found = split(put(tmp_path / "t.csv", "key,x\n" + "".join(lines)), schedule, ("key",), folder)
    before = {day: set(text.splitlines()) for day, text in contents(folder).items()}
    assert sum(found.rows) == 1000
    assert 150 < found.rows[1] < 250
    split(put(tmp_path / "t.csv", "key,x\n" + "".join(reversed(lines))), schedule, ("key",), folder)
    assert {day: set(text.splitlines()) for day, text in contents(folder).items()} == before


def test_without_a_key_rows_are_numbered(tmp_path, folder):
    file = put(tmp_path / "t.csv", "\ufeffa|b\n" + "1|2\n" * 50)
    split(file, dealt(date(2025, 3, 1)), (), folder)
    texts = contents(folder).values()
    assert all(text.startswith("row_id|a|b\n") for text in texts)
    numbers = [line.split("|")[0] for text in texts for line in text.splitlines()[1:]]
    assert sorted(map(int, numbers)) == list(range(1, 51))


def test_a_time_that_is_none_is_told_with_its_line(con, columns, tmp_path, folder):
    columns("at,x\n2025-03-01,1\n2025-03-02,1\n2025-03-04,1\n")
    schedule = timed(con, columns_of(con), "at")
    with pytest.raises(DataError, match="line 3: 'soon' is no time"):
        split(put(tmp_path / "t.csv", "at,x\n2025-03-01,1\nsoon,1\n"), schedule, ("x",), folder)
