"""What names a row is found by its name and its values, never by chance alone."""

import pytest

from airflow_mlops_provider.scaffold.columns import columns_of
from airflow_mlops_provider.scaffold.key import is_named_id, key_of


@pytest.fixture
def key(con, columns):
    def of(header, rows):
        columns("\n".join([header, *rows]) + "\n")
        return key_of(con, columns_of(con), "y")

    return of


def test_a_named_id_goes_before_another_unique_column(key):
    assert key("name,customer_id,y", [f"n{i},{7 * i},0" for i in range(9)]) == ("customer_id",)
    assert key("name,x,y", [f"n{i},{i % 2},0" for i in range(9)]) == ("name",)
    assert key("at,n,y", [f"2025-01-0{i + 1},{i},0" for i in range(9)]) == ("n",)


def test_a_measure_that_happens_to_be_unique_is_no_key(key):
    assert key("balance,amount,y", [f"{i * i},{i}.5,0" for i in range(9)]) == ()


def test_a_null_or_a_twin_is_no_key(key):
    assert key("id,x,y", ["1,a,0", ",a,0", "3,b,0"]) == ()
    assert key("id,x,y", ["1,a,0", "1,a,0", "3,b,0"]) == ()


def test_a_pair_of_which_one_is_an_id(key):
    rows = [f"{i % 5},2025-0{1 + i // 5}-01,{i % 2},0" for i in range(15)]
    assert key("customer_id,month,x,y", rows) == ("customer_id", "month")
    assert key("area,month,x,y", rows) == ()


def test_a_pair_of_measures_is_none_by_chance(key):
    rows = [f"{i % 5},{100 + i // 5},0" for i in range(15)]
    assert key("flat_id,lot_size,y", rows) == ()
    assert key("order_id,line_no,y", rows) == ("order_id", "line_no")


def test_a_measure_called_as_an_id_is_none(key):
    assert key("rate_id,x,y", [f"{i}.5,1,0" for i in range(9)]) == ()
    assert key("num_hours,x,y", [f"{i * i},1,0" for i in range(9)]) == ()


@pytest.mark.parametrize("form", ["{:02d}/01/2024 10:22:33", "{}.5 %", "${}.50", '"{},000"'])
def test_a_time_or_a_number_that_no_reader_knows_is_none(key, form):
    assert key("sold,x,y", [f"{form.format(i)},1,0" for i in range(1, 13)]) == ()


def test_the_target_and_the_predictions_own_names_are_none(key):
    assert key("y,x", [f"{i},1" for i in range(9)]) == ()
    assert key("role,x,y", [f"r{i},1,0" for i in range(9)]) == ()


@pytest.mark.parametrize("name", ["id", "customer_id", "customerId", "OrderKey", "Kunden-Nr", "ID", "order no", "uuid"])
def test_names_of_ids(name):
    assert is_named_id(name)


@pytest.mark.parametrize(
    "name", ["paid", "width", "monkey", "idle", "anode", "notes", "num_hours", "no_of_steps", "key_rate"]
)
def test_names_that_only_look_so(name):
    assert not is_named_id(name)
