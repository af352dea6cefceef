"""The ledger's commit is the promotion; MLflow's alias follows, and moves by hand are recorded."""

import dataclasses
import multiprocessing
import os

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from airflow_mlops_provider.contracts.promote import PromoteSpec
from airflow_mlops_provider.exceptions import LostRaceError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.promote import promote
from airflow_mlops_provider.steps.promotions import PromotionLedger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture
def client(context, tmp_path):
    client = models.connect(context)
    client.create_registered_model("delay")
    for _ in range(9):
        client.create_model_version("delay", str(tmp_path))
    return client


def spec(lake, version, **kwargs):
    return PromoteSpec(pipeline="p", lake=lake.root, model="delay", version=version, **kwargs)


def keyed(context, run_key):
    return dataclasses.replace(context, run_key=run_key)


def alias(client):
    return str(client.get_model_version_by_alias("delay", "champion").version)


def test_promotions_are_kept_in_order_and_the_alias_follows(lake, context, client):
    first = promote(spec(lake, "1", expected_sequence=0), keyed(context, "a"))
    second = promote(spec(lake, "2", expected_sequence=1), keyed(context, "b"))
    assert (first.promotion.sequence, second.promotion.sequence) == (1, 2)
    assert second.promotion.former == "1"
    assert [p.version for p in PromotionLedger(lake, "delay").history()] == ["1", "2"]
    assert alias(client) == "2"


def test_a_retry_finds_its_promotion(lake, context, client):
    promote(spec(lake, "1", expected_sequence=0), keyed(context, "a"))
    again = promote(spec(lake, "1", expected_sequence=0), keyed(context, "a"))
    assert not again.written
    assert len(PromotionLedger(lake, "delay").history()) == 1


def test_a_promotion_judged_against_a_former_champion_has_lost(lake, context, client):
    promote(spec(lake, "1", expected_sequence=0), keyed(context, "a"))
    with pytest.raises(LostRaceError, match="judged at promotion 0, but the ledger is at 1"):
        promote(spec(lake, "2", expected_sequence=0), keyed(context, "b"))
    assert alias(client) == "1"


def test_killed_between_commit_and_alias_is_repaired(lake, context, client):
    promote(spec(lake, "1", expected_sequence=0), keyed(context, "a"))
    done = promote(spec(lake, "2", expected_sequence=1), keyed(context, "b")).promotion
    client.set_registered_model_alias("delay", "champion", "1")
    client.delete_model_version_tag("delay", "2", "mlops.promotion_sequence")
    assert promote(spec(lake, "2", expected_sequence=1), keyed(context, "b")).promotion == done
    assert alias(client) == "2"
    assert len(PromotionLedger(lake, "delay").history()) == 2


def test_an_alias_moved_by_hand_is_recorded_not_overwritten(lake, context, client):
    promote(spec(lake, "1", expected_sequence=0), keyed(context, "a"))
    client.set_registered_model_alias("delay", "champion", "5")
    with pytest.raises(LostRaceError, match=r"ledger is at 2 \(version 5, outside\)"):
        promote(spec(lake, "2", expected_sequence=1), keyed(context, "b"))
    assert [(p.version, p.kind) for p in PromotionLedger(lake, "delay").history()] == [
        ("1", "promote"),
        ("5", "outside"),
    ]
    assert alias(client) == "5"


def _race(root, connections, version, barrier):
    context = StepContext(f"run-{version}", connections)
    models.connect(context)
    barrier.wait()
    try:
        promote(PromoteSpec(pipeline="p", lake=root, model="delay", version=version, expected_sequence=0), context)
    except LostRaceError:
        os._exit(7)
    os._exit(0)


@pytest.mark.slow
def test_eight_processes_with_one_expected_version_have_one_winner(lake, context, client):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(8)
    args = [(lake.root, dict(context.connections), str(n), barrier) for n in range(1, 9)]
    workers = [spawn.Process(target=_race, args=a) for a in args]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(w.exitcode for w in workers) == [0] + [7] * 7
    (only,) = PromotionLedger(lake, "delay").history()
    assert alias(client) == only.version


def test_an_alias_that_collided_does_not_take_back_a_newer_one(lake, context, client, monkeypatch):
    """While the first promotion's write is refused and waits, a second one is made: its alias must stay."""
    set_registered_model_alias, calls = type(client).set_registered_model_alias, []

    def collides(self, name, alias, version):
        if not calls:
            calls.append(version)
            promote(spec(lake, "2", expected_sequence=1), keyed(context, "b"))
            raise MlflowException("UNIQUE constraint failed", error_code=BAD_REQUEST)
        set_registered_model_alias(self, name, alias, version)

    monkeypatch.setattr(type(client), "set_registered_model_alias", collides)
    promote(spec(lake, "1", expected_sequence=0), keyed(context, "a"))
    monkeypatch.undo()
    assert alias(client) == "2"
    assert [(p.version, p.kind) for p in PromotionLedger(lake, "delay").history()] == [
        ("1", "promote"),
        ("2", "promote"),
    ]
