"""What is held out by time leaves enough rows on either side of its begin, or init says why it cannot."""

from datetime import date, timedelta

import pytest

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.columns import columns_of
from airflow_mlops_provider.scaffold.heldout import holdout
from airflow_mlops_provider.scaffold.schedule import timed
from airflow_mlops_provider.scaffold.target import target_of

FIRST = date(2024, 1, 1)


@pytest.fixture
def held(con, columns):
    def of(rows_of):
        """Return the holdout of 100 days, each with so many rows as a function says."""
        days = [FIRST + timedelta(days=day) for day in range(100) for _ in range(rows_of(day))]
        columns("at,y\n" + "".join(f"{day},{n}.5\n" for n, day in enumerate(days)))
        known = columns_of(con)
        return holdout(con, timed(con, known, "at"), target_of(con, known, "y"))

    return of


def test_a_fifth_of_the_days(held):
    # The last of four months is scored.
    assert held(lambda _: 2) == "18d"


def test_longer_where_the_newest_are_few(held):
    assert held(lambda day: 5 if day < 50 or day == 99 else int(day == 70)) == "45d"


def test_shorter_where_the_oldest_are_few(held):
    # Nearly all rows came in from the 10th of March on.
    assert held(lambda day: 9 if day >= 78 else int(day % 10 == 0)) == "9d"


def test_one_row_on_a_side_is_no_judgement(held):
    says = r"101 rows with a y lie before 2024-04-01, where the last batch begins.* at least 20 of each; without --time"
    with pytest.raises(DataError, match=says):
        held(lambda day: 99 if day == 90 else 1 if day in (0, 40) else 99 if day == 99 else 0)
