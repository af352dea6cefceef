"""Patches as the API applies them."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.testing.cluster import ApiError
from airflow_mlops_provider.testing.cluster.patch import patched

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

KEYS = st.sampled_from("abc")
OBJECTS = st.recursive(
    st.dictionaries(KEYS, st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))),
    lambda inner: st.dictionaries(KEYS, inner | st.integers()),
    max_leaves=8,
)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_once_is_as_good_as_twice_and_changes_no_input(item, patch):
    before = copy.deepcopy(item)
    once = patched(item, patch, MERGE)
    assert patched(once, patch, MERGE) == once
    assert item == before


@given(OBJECTS)
def test_a_merge_patch_of_nulls_leaves_nothing(item):
    assert patched(item, dict.fromkeys(item), MERGE) == {}


@given(OBJECTS, KEYS, st.integers())
def test_what_a_json_patch_adds_it_removes(item, key, value):
    rest = {name: one for name, one in item.items() if name != key}
    added = patched(rest, [{"op": "add", "path": f"/{key}", "value": value}], JSON)
    assert added == rest | {key: value}
    assert patched(added, [{"op": "remove", "path": f"/{key}"}], JSON) == rest


def test_a_json_patch_of_lists_and_moves():
    item = {"a": [1, 2, 3], "b": {"c/d": 4}}
    operations = [
        {"op": "add", "path": "/a/0", "value": 0},
        {"op": "add", "path": "/a/-", "value": 9},
        {"op": "replace", "path": "/a/1", "value": 7},
        {"op": "move", "from": "/b/c~1d", "path": "/e"},
        {"op": "copy", "from": "/e", "path": "/f"},
    ]
    assert patched(item, operations, JSON) == {"a": [0, 7, 2, 3, 9], "b": {}, "e": 4, "f": 4}
    assert item == {"a": [1, 2, 3], "b": {"c/d": 4}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "add", "path": "/missing/deeper", "value": 1},
        {"op": "unknown", "path": "/a"},
        {"path": "/a"},
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(operation):
    with pytest.raises(ApiError) as caught:
        patched({"a": 1}, [operation], JSON)
    assert caught.value.code == 422


def test_a_strategic_patch_merges_lists_by_name():
    item = {"spec": {"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"}]}}
    patch = {"spec": {"containers": [{"name": "a", "image": "3"}, {"name": "b", "$patch": "delete"}, {"name": "c"}]}}
    containers = patched(item, patch, STRATEGIC)["spec"]["containers"]
    assert containers == [{"name": "a", "image": "3", "args": ["x"]}, {"name": "c"}]


def test_a_strategic_patch_may_replace():
    item = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    patch = {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}
    assert patched(item, patch, STRATEGIC) == {"metadata": {"labels": {"c": "3"}}}


def test_another_kind_of_patch_is_refused():
    with pytest.raises(ApiError) as caught:
        patched({}, {}, "text/plain")
    assert caught.value.code == 415
