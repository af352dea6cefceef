"""The task follows from the target's values; where nothing can be learned, that is said."""

import pytest

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.columns import columns_of
from airflow_mlops_provider.scaffold.target import target_of


@pytest.fixture
def target(con, columns):
    def of(values, name="y"):
        columns("x,y\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values)))
        return target_of(con, columns_of(con), name)

    return of


@pytest.mark.parametrize(
    ("values", "positive", "share"),
    [
        (["0", "1"] * 60, None, 0.5),
        (["true", "false", "false"] * 40, None, 1 / 3),
        (["yes", "no"] * 60, "yes", 0.5),
        (["stayed", "left", "stayed"] * 40, "left", 1 / 3),
        (["no", "churn", "churn"] * 40, "churn", 2 / 3),
        (["1", "2", "1"] * 40, "2", 1 / 3),
        (["-1", "1", "-1"] * 40, "1", 1 / 3),
        (["yes", "no", ""] * 60, "yes", 0.5),
    ],
)
def test_two_values_are_classes(target, values, positive, share):
    found = target(values)
    assert (found.task, found.positive) == ("classification", positive)
    assert found.share == pytest.approx(share)


@pytest.mark.parametrize("values", [["1", "2", "3"] * 40, [f"{n}.5" for n in range(120)], ["1.5", "2.5"] * 60])
def test_other_numbers_are_a_regression(target, values):
    assert target(values).task == "regression"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["1"] * 120, "'y' is 1 in every row: there is nothing to predict"),
        ([""] * 120, "'y' has no value in any row"),
        (["0", "1"] * 30, "60 rows with a target 'y' are too few: at least 100 are needed"),
        (["0"] * 120 + ["1"] * 9, "'y' is '1' in 9 rows: at least 10 of each class"),
        (["a", "b", "c"] * 40, r"has 3 classes \('a', 'b', 'c'\): .* two classes, or a number.*: is it a\?"),
        (["yes\u2028evil: [1"] * 60 + ["no"] * 60, r"has the class 'yes\\u2028evil: \[1': a pipeline file cannot"),
        (["yes\x85tasks: 1"] * 60 + ["no"] * 60, r"has the class 'yes\\x85tasks: 1': a pipeline file cannot"),
        (["${env:HOME}"] * 60 + ["no"] * 60, "has the class .*: a pipeline file cannot hold it"),
        (["yes"] * 60 + ["no {{ x }}"] * 60, "has the class .*: a pipeline file cannot hold it"),
        ([f"{n}.5" for n in range(120)] + ["inf"], "'y' is text, not a number: such as 'inf', one of 1 of 121 values"),
        ([f"{n}.5" for n in range(120)] + ["?"], "'y' is text, not a number: such as '\\?'"),
        ([f"${n}.50" for n in range(120)], r"'y' is text, not a number: .*: '\$0\.50'"),
        ([f"{n} %" for n in range(120)], "'y' is text, not a number: .*: '0 %'"),
        (['""', '"a"', '"b"'] * 40, r"has 3 classes .*: is it a\?"),
        ([f"w{n}" for n in range(120)], r"has 120 classes \('w0', 'w1', .*, \.\.\.\)"),
    ],
)
def test_what_cannot_be_learned(target, values, says):
    with pytest.raises(DataError, match=says):
        target(values)


def test_the_nearest_name_is_told(target):
    with pytest.raises(DataError, match=r"no column 'Y' for the target. Known: x, y"):
        target(["0", "1"] * 60, "Y")
