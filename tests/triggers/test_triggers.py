"""Triggers look at real tables and registries, and never in their first ten seconds."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pyarrow as pa
import pytest
from airflow.sdk import Asset, AssetWatcher
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.triggers import wait
from airflow_mlops_provider.triggers.dataset import DatasetVersionTrigger
from airflow_mlops_provider.triggers.model import ModelVersionTrigger

WORDS = st.text("abcdefgh_", min_size=1, max_size=8)


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(wait, "FIRST_LOOK_S", 0.05)


async def first(trigger):
    async with asyncio.timeout(20):
        return (await anext(aiter(trigger.run()))).payload


async def after(seconds, do):
    await asyncio.sleep(seconds)
    await asyncio.to_thread(do)


def test_nothing_fires_before_ten_seconds():
    assert wait.FIRST_LOOK_S >= 10


def test_a_new_version_fires_and_an_old_one_does_not(tmp_path, hurried):
    lake = Lake(str(tmp_path))
    lake.write_once("visits", pa.table({"a": [1]}), app="1")
    version = lake.version("visits")
    trigger = DatasetVersionTrigger(lake=str(tmp_path), table="visits", after=version, poke_interval=0.05)

    async def both():
        started = time.monotonic()
        event, _ = await asyncio.gather(
            first(trigger), after(0.5, lambda: lake.write_once("visits", pa.table({"a": [2]}), app="2"))
        )
        return event, time.monotonic() - started

    event, waited = asyncio.run(both())
    assert event == {"version": version + 1}
    assert waited >= 0.5


def test_a_table_that_comes_to_be_fires(tmp_path, hurried):
    lake = Lake(str(tmp_path))
    lake.write_once("visits", pa.table({"a": [1]}), app="1")
    trigger = DatasetVersionTrigger(lake=str(tmp_path), table="visits", after=None, poke_interval=0.05)
    assert asyncio.run(first(trigger)) == {"version": 1}


def test_another_champion_fires(tmp_path, connect, hurried):
    connect("mlflow_default", conn_type="mlflow", host=f"sqlite:///{tmp_path}/m.db")
    client = MlflowHook().get_conn()
    client.create_registered_model("delay")
    for _ in range(2):
        client.create_model_version("delay", source=f"{tmp_path}/model")
    client.set_registered_model_alias("delay", "champion", "1")
    trigger = ModelVersionTrigger(model="delay", alias="champion", other_than="1", poke_interval=0.05)

    async def both():
        change = after(0.3, lambda: client.set_registered_model_alias("delay", "champion", "2"))
        return (await asyncio.gather(first(trigger), change))[0]

    assert asyncio.run(both()) == {"version": "2"}


def test_the_trigger_of_an_asset_goes_on_with_each_later_version(tmp_path, hurried):
    lake = Lake(str(tmp_path))
    lake.write_once("visits", pa.table({"a": [1]}), app="1")
    trigger = DatasetVersionTrigger(lake=str(tmp_path), table="visits", after=None, poke_interval=0.05)
    asset = Asset("visits", watchers=[AssetWatcher(name="new versions", trigger=trigger)])
    assert asset.watchers[0].trigger is trigger

    async def versions():
        events = trigger.run()
        found = [(await anext(events)).payload]
        await asyncio.to_thread(lake.write_once, "visits", pa.table({"a": [2]}), app="2")
        found.append((await anext(events)).payload)
        await events.aclose()
        return found

    first_version = lake.version("visits")
    assert asyncio.run(versions()) == [{"version": first_version}, {"version": first_version + 1}]


def test_the_trigger_of_a_task_ends_with_its_event(tmp_path, hurried):
    Lake(str(tmp_path)).write_once("visits", pa.table({"a": [1]}), app="1")
    trigger = DatasetVersionTrigger(lake=str(tmp_path), table="visits", after=None, poke_interval=0.05)
    trigger.task_instance = SimpleNamespace(task_id="watch")  # as the triggerer sets it

    async def events():
        return [event.payload async for event in trigger.run()]

    assert asyncio.run(events()) == [{"version": 1}]


@given(table=WORDS, version=st.none() | st.integers(0, 9), every=st.integers(1, 99))
def test_a_trigger_made_again_is_the_same(table, version, every):
    for trigger in (
        DatasetVersionTrigger(lake="l", table=table, after=version, poke_interval=every),
        ModelVersionTrigger(model=table, alias="a", other_than=None, poke_interval=every),
    ):
        path, arguments = trigger.serialize()
        assert path == f"{type(trigger).__module__}.{type(trigger).__name__}"
        assert type(trigger)(**arguments).serialize() == (path, arguments)
