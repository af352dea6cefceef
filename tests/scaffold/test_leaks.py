"""A column that a model must not see is named with its reason; one that it may see is not."""

from datetime import date, timedelta

import numpy as np
import pytest

from airflow_mlops_provider.scaffold.columns import columns_of
from airflow_mlops_provider.scaffold.leaks import left_out
from airflow_mlops_provider.scaffold.target import target_of

N = 400
DRAW = np.random.default_rng(0)
Y = DRAW.random(N) < 0.3
X = DRAW.normal(0, 1, N)
DAYS = [date(2025, 1, 1) + timedelta(days=int(d)) for d in DRAW.integers(0, 90, N)]


@pytest.fixture
def reasons(con, columns):
    def of(values, time=None):
        """Return why the column c is left out beside a target, a good column and a time; None if it is not."""
        rows = [",".join(map(str, row)) for row in zip(values, Y.astype(int), np.round(X, 3), DAYS, strict=True)]
        columns("\n".join(["c,y,x,at", *rows]) + "\n")
        known = columns_of(con)
        out = {one.name: one.reason for one in left_out(con, known, target_of(con, known, "y"), (), time)}
        assert "x" not in out
        assert "y" not in out
        return out.get("c")

    return of


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (Y.astype(int), "tells y: each of its values goes with one class only"),
        (np.where(Y, "gone", "here"), "tells y: each of its values goes with one class only"),
        (np.where(Y, DRAW.choice(["a", "b"], N), "c"), "tells y: each of its values goes with one class only"),
        (np.where(Y, np.round(X, 3), ""), "tells y: it is null for one class only"),
        ([d + timedelta(days=9) if y else "" for d, y in zip(DAYS, Y, strict=True)], "it is null for one class only"),
        (np.round(X + 100 * Y, 4), "tells y: alone it parts the classes, ROC AUC 1.0000"),
        (np.round(X - 100 * Y, 4), "tells y: alone it parts the classes, ROC AUC 1.0000"),
        ([""] * N, "null in all 400 rows"),
        (["SE"] * N, "the same value in every row"),
        (range(1000, 1000 + N), "a counter: whole numbers from 1000 to 1399 without a gap"),
        ([f"a text of {i}" for i in range(N)], "names or free text: 400 values in 400 rows"),
        ([f'"{i % 9 + 1}.{i % 7}00,50"' for i in range(N)], "another decimal sign, read as text: '1.000,50'"),
        ([f'"{i % 9},5"' for i in range(N)], "another decimal sign, read as text: '0,5'"),
        ([f"{i % 28 + 1}.12.2025" for i in range(N)], "a time that is not written as 2026-01-31, read as text: '1.12."),
        ([f"{i % 28 + 1:02d}/12/2025 10:22:33" for i in range(N)], "a time that is not written as 2026-01-31"),
        ([f"{i % 90}%" for i in range(N)], "numbers with a unit or a sign, read as text: '0%'"),
        ([f"{i % 90} €" for i in range(N)], "numbers with a unit or a sign, read as text: '0 €'"),
        ([f"$12.{i % 90:02d}" for i in range(N)], "numbers with a unit or a sign, read as text: '$12.00'"),
        ([f'"{i % 90 or ""}"' for i in range(N)], "whole numbers, text only because of 5 quoted empty fields"),
        ([f'"{round(x, 2) if x > 0 else ""}"' for x in X], "numbers, text only because of"),
        (np.where(Y, np.round(X, 3), 0), "tells y: its most frequent value goes with one class only"),
        (np.where(Y, [f"ticket {i}" for i in range(N)], "none"), "its most frequent value goes with one class only"),
        (DAYS, "a time: derive from it what the model should know"),
    ],
)
def test_left_out_of_a_classification(reasons, values, says):
    assert says in reasons(values)


@pytest.mark.parametrize(
    "values",
    [
        np.where(DRAW.random(N) < 0.9, Y, ~Y).astype(int),
        np.round(X + 3 * Y, 4),
        DRAW.choice(["a", "b", ""], N),
        DRAW.integers(0, 10_000, N),
        [f"w{i}" for i in DRAW.integers(0, 150, N)],
        ["x" if d < 0.1 else "" for d in DRAW.random(N)],
        [f"{i:04d}" for i in DRAW.integers(0, 20, N)],
        [f"{i:03d}" for i in DRAW.integers(0, 20, N)],
        [f"1.{i}.0" for i in DRAW.integers(0, 20, N)],
        DRAW.choice(["a", "b", '""'], N),
    ],
    ids=[
        "good",
        "better",
        "levels",
        "whole numbers",
        "many levels",
        "sparse",
        "codes",
        "short codes",
        "versions",
        "quoted levels",
    ],
)
def test_kept(reasons, values):
    assert reasons(values) is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.round(2 * X + 1, 4), r"tells y: correlation +1.0000"),
        (np.round(-X, 4), r"tells y: correlation -1.0000"),
        (np.round(np.exp(4 * X), 9), r"tells y: correlation +1.0000"),
    ],
)
def test_left_out_of_a_regression(con, columns, values, says):
    rows = [f"{c},{y},{x}" for c, y, x in zip(values, np.round(X, 6), DRAW.normal(0, 1, N), strict=True)]
    columns("\n".join(["c,y,x", *rows]) + "\n")
    known = columns_of(con)
    (one,) = left_out(con, known, target_of(con, known, "y"), (), None)
    assert (one.name, one.reason) == ("c", says)


def test_a_word_that_stands_for_the_number_is_left_out_of_a_regression(con, columns):
    prices = [10, 20, 30, 40]
    rows = [f"w{prices[i % 4]},{prices[i % 4]},{DRAW.normal():.4f}" for i in range(N)]
    columns("\n".join(["c,y,x", *rows]) + "\n")
    known = columns_of(con)
    (one,) = left_out(con, known, target_of(con, known, "y"), (), None)
    assert one.reason == "tells y: it hardly differs among rows of one value, 0.00% of its variance"


@pytest.mark.parametrize("name", ["a", "b", "rows", "ones", "place", "spread"])
@pytest.mark.parametrize(("values", "target"), [(np.exp(4 * X), X), (X + 100 * Y, Y.astype(int))])
def test_a_leak_of_any_name_is_found(con, columns, name, values, target):
    rows = [f"{c:.9f},{y},{x:.4f}" for c, y, x in zip(values, target, DRAW.normal(0, 1, N), strict=True)]
    columns("\n".join([f"{name},y,x", *rows]) + "\n")
    known = columns_of(con)
    assert [one.name for one in left_out(con, known, target_of(con, known, "y"), (), None)] == [name]


def test_an_id_with_a_few_twins_is_still_one(con, columns):
    rows = [f"{100_000 + 7 * (i % 391)},{y},{x:.3f}" for i, (y, x) in enumerate(zip(Y.astype(int), X, strict=True))]
    columns("\n".join(["customer_id,y,x", *rows]) + "\n")
    known = columns_of(con)
    (one,) = left_out(con, known, target_of(con, known, "y"), (), None)
    assert (one.name, one.reason) == ("customer_id", "an id: 391 values in 400 rows")


def test_the_future_is_what_lies_later_than_the_time(reasons):
    later = [day + timedelta(days=int(n)) for day, n in zip(DAYS, DRAW.integers(-3, 4, N), strict=True)]
    count = sum(a > b for a, b in zip(later, DAYS, strict=True))
    assert reasons(later, time="at") == f"the future: later than at in {count} of 400 rows"
    assert reasons([day - timedelta(days=1) for day in DAYS], time="at").startswith("a time:")


def test_key_and_time(con, columns):
    columns(
        "id,part,at,x,y\n"
        + "".join(
            f"{i // 2},{i % 2},{d},{x:.3f},{int(y)}\n" for i, (d, x, y) in enumerate(zip(DAYS, X, Y, strict=True))
        )
    )
    known = columns_of(con)
    out = left_out(con, known, target_of(con, known, "y"), ("id", "part"), "at")
    assert [(one.name, one.reason) for one in out] == [
        ("id", "part of the key"),
        ("part", "part of the key"),
        ("at", "the time"),
    ]
