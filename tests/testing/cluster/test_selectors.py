"""Selectors and quantities."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.testing.cluster import ApiError
from airflow_mlops_provider.testing.cluster.quantity import quantity
from airflow_mlops_provider.testing.cluster.selectors import field_selector, label_selector

KEYS, VALUES = st.sampled_from(["a", "b.c/d"]), st.sampled_from(["1", "2", "x-y"])
LABELS = st.dictionaries(KEYS, VALUES)


def item(labels):
    return {"metadata": {"labels": labels, "name": "n"}, "status": {"phase": "Running"}}


@given(LABELS, KEYS, VALUES)
def test_a_requirement_and_its_opposite_never_both_hold(labels, key, value):
    pairs = [(f"{key}={value}", f"{key}!={value}"), (f"{key} in ({value},3)", f"{key} notin ({value}, 3)")]
    for one, other in [*pairs, (key, f"!{key}")]:
        assert label_selector(one)(item(labels)) != label_selector(other)(item(labels))


@given(LABELS, KEYS, VALUES)
def test_equality_is_what_it_says(labels, key, value):
    assert label_selector(f"{key}=={value}")(item(labels)) == (labels.get(key) == value)


@given(LABELS)
def test_all_requirements_must_hold(labels):
    assert label_selector(",".join(f"{key}={value}" for key, value in labels.items()))(item(labels))
    assert not label_selector("a in (1, 2),other")(item(labels))


def test_fields():
    assert field_selector("metadata.name=n,status.phase!=Failed")(item({}))
    assert not field_selector("status.phase=Failed")(item({}))
    assert field_selector("spec.nodeName=")(item({}))


@pytest.mark.parametrize("text", ["a b", "a in 1", "=1"])
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(ApiError) as caught:
        label_selector(text)
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("2Gi", 2 * 1024**3), ("1e3", 1000), ("1.5k", 1500), ("128974848", 128974848), ("1E", 10**18)],
)
def test_quantities(text, number):
    assert quantity(text) == Decimal(number)


@given(st.integers(0, 2**60))
def test_a_plain_number_is_itself(number):
    assert quantity(str(number)) == number


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "1KiB", "--1"])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity(text)
