"""The effect of a column's drift on predictions: of a linear model it is known."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.steps.attribution import attribute, undone
from airflow_mlops_provider.steps.profile import build_profile, profile_like

ROWS = 4000


def reference_of(frame: pd.DataFrame) -> tuple[ColumnProfile, ...]:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with duckdb.connect() as con:
        con.register("rows", table)
        return build_profile(con, "rows", list(frame.columns), timestamp=None, timezone="UTC").columns


def counts_like(values: pd.Series, reference: ColumnProfile) -> np.ndarray:
    with duckdb.connect() as con:
        con.register("rows", pa.table({reference.name: pa.array(values, from_pandas=True)}))
        like = Profile(rows=1, columns=(reference,))
        (found,) = profile_like(con, "rows", like, timestamp=None, timezone="UTC").columns
    return np.array([*found.counts[: len(reference.counts)], found.nulls])


def drawn(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    colour = pd.Series(rng.choice(["red", "green"], ROWS, p=[0.7, 0.3]), dtype=object)
    return pd.DataFrame({"size": rng.normal(size=ROWS), "weight": rng.normal(size=ROWS), "colour": colour})


def linear(rows: pd.DataFrame) -> np.ndarray:
    red = (rows["colour"] == "red").to_numpy(float)
    return 2.0 * rows["size"].fillna(0).to_numpy() + 0.1 * rows["weight"].to_numpy() - 1.5 * red


def test_a_shift_moves_predictions_by_the_models_own_weight():
    rows = drawn(1).assign(size=drawn(1)["size"] + 1.0, weight=drawn(1)["weight"] + 1.0)
    effects = attribute(linear, rows, reference_of(drawn()))
    assert next(iter(effects)) == "size"
    assert effects["size"].mean == pytest.approx(2.0, abs=0.1)
    assert effects["weight"].mean == pytest.approx(0.1, abs=0.01)
    assert abs(effects["colour"].mean) < 0.05
    assert effects["size"].each >= effects["size"].mean


def test_levels_that_became_rare_are_drawn_back_and_new_ones_have_gone():
    rows = drawn(1)
    rows.loc[: ROWS // 2, "colour"] = "violet"
    effects = attribute(linear, rows, reference_of(drawn())[2:])
    red = float((rows["colour"] == "red").mean())
    assert effects["colour"].mean == pytest.approx(-1.5 * (red - 0.7), abs=0.03)


def test_nulls_that_are_too_many_get_values_of_the_reference():
    rows = drawn(1).assign(size=drawn(1)["size"] + 3.0)
    rows.loc[: ROWS // 2, "size"] = np.nan
    filled = undone(rows["size"], reference_of(drawn())[0])
    assert filled.notna().all()
    assert filled.mean() == pytest.approx(0.0, abs=0.05)


def test_of_a_flag_only_some_rows_move():
    then = pd.DataFrame({"flag": np.repeat([0.0, 1.0], [500, 500])})
    now = pd.Series(np.repeat([0.0, 1.0], [700, 300]), name="flag")
    back = undone(now, reference_of(then)[0])
    assert back.mean() == pytest.approx(0.5, abs=0.002)
    assert (back != now).sum() == 200


def test_booleans_are_numbers_in_a_frame_and_levels_in_a_profile():
    then = pd.DataFrame({"late": np.repeat([True, False], [250, 750])})
    now = pd.Series(np.repeat([1.0, 0.0], [500, 500]), name="late")
    assert undone(now, reference_of(then)[0]).mean() == pytest.approx(0.25, abs=0.002)


def test_whole_numbers_stay_whole():
    rng = np.random.default_rng(0)
    then, now = pd.DataFrame({"hour": rng.integers(0, 24, 500) * 1.0}), pd.Series(rng.integers(12, 30, 500) * 1.0)
    back = undone(now.rename("hour"), reference_of(then)[0])
    assert not np.mod(back, 1).any()
    assert back.mean() == pytest.approx(then["hour"].mean(), abs=0.5)


def test_rows_without_a_prediction_are_left_out():
    rows = drawn(1).assign(size=drawn(1)["size"] + 1.0)
    gaps = rows["weight"].to_numpy() < 0

    def odd(frame):
        return np.where(gaps, np.nan, linear(frame))

    found = attribute(odd, rows, reference_of(drawn())[:1])["size"]
    assert (found.rows, found.mean) == ((~gaps).sum(), pytest.approx(2.0, abs=0.15))
    assert attribute(lambda frame: np.full(len(frame), np.nan), rows, reference_of(drawn())) == {}


def test_rows_of_the_reference_itself_have_no_effect():
    effects = attribute(linear, drawn(), reference_of(drawn()))
    assert max(effect.each for effect in effects.values()) < 0.02


def test_dates_and_columns_that_the_model_does_not_read_have_none():
    seen = drawn().assign(at=pd.Timestamp("2013-01-01"))
    effects = attribute(linear, drawn(1), reference_of(seen))
    assert set(effects) == {"size", "weight", "colour"}


numbers = st.lists(st.one_of(st.none(), st.floats(-100, 100)), min_size=20, max_size=60)
texts = st.lists(st.one_of(st.none(), st.sampled_from("abcd")), min_size=20, max_size=60)


@settings(max_examples=60, deadline=None)
@given(then=st.one_of(st.tuples(numbers, numbers), st.tuples(texts, texts)))
def test_what_is_undone_has_the_references_shares(then):
    first, second = then
    kind = object if any(isinstance(value, str) for value in first + second) else float
    if all(value is None for value in first) or all(value is None for value in second):
        return
    (reference,) = reference_of(pd.DataFrame({"x": pd.Series(first, dtype=kind)}))
    back = undone(pd.Series(second, dtype=kind, name="x"), reference)
    expected = np.array([*reference.counts, reference.nulls])
    expected = expected / expected.sum()
    found = counts_like(back, reference)
    # A bin's mean is one value: what is drawn back lies in its bin; a row here or there is rounding.
    assert np.abs(found / len(second) - expected).max() <= 2.5 / len(second)
