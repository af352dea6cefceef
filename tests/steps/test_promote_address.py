"""What is promoted may be named by version, by any address of a model, or by its training."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.contracts.promote import PromoteSpec
from airflow_mlops_provider.exceptions import ConfigError, LostRaceError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.promote import promote

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def promoted(world, key: str, **what):
    return promote(PromoteSpec(**world.common, model="m", **what), world.at(key)).promotion


def test_a_training_is_registered_and_its_twin_promoted(world):
    trained = world.train("a", refit=True)
    done = promoted(world, "p", trained=trained)
    assert (done.version, done.run_id, done.judged_run_id) == ("1", trained.refit_run_id, trained.run_id)
    source = models.connect(world.context).get_model_version("m", "1").source
    assert source == trained.refit_model_uri


def test_a_models_address_is_registered_once(world):
    trained = world.train("a")
    assert promoted(world, "p", model_uri=trained.model_uri).version == "1"
    assert promoted(world, "p", model_uri=trained.model_uri).sequence == 1
    assert len(models.connect(world.context).search_model_versions("name = 'm'")) == 1


def test_a_runs_address_is_registered_as_what_can_be_loaded(world):
    trained = world.train("a")
    assert promoted(world, "p", model_uri=f"runs:/{trained.run_id}/model").version == "1"
    source = models.connect(world.context).get_model_version("m", "1").source
    assert source == trained.model_uri
    assert world.score(dataset="entities").batches != ()


@pytest.mark.parametrize("address", ["models:/m/1", "models:/m@candidate"])
def test_an_address_of_a_version_is_that_version(watched, address):
    client = models.connect(watched.context)
    client.set_registered_model_alias("m", "candidate", "1")
    done = promoted(watched, "p", model_uri=address, reason="by hand")
    assert (done.sequence, done.version, done.former, done.reason) == (2, "1", "1", "by hand")
    assert len(client.search_model_versions("name = 'm'")) == 1


def test_nothing_to_promote_is_named(world):
    with pytest.raises(ConfigError, match="m: nothing to promote: give version, model_uri or trained"):
        promoted(world, "p")


def test_an_expected_sequence_that_has_passed_has_lost(watched):
    says = r"m: judged at promotion 0, but the ledger is at 1 \(version 1, promote\)"
    with pytest.raises(LostRaceError, match=says):
        promoted(watched, "p", version="1", expected_sequence=0)
