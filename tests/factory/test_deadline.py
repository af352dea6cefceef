"""A run that is not done in time, as Airflow's own database and triggerer see it."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest

LOADER = """
from airflow_mlops_provider.factory.build import build_dags

globals().update(build_dags(__file__))
"""
SHOP = """
pipeline: shop
data: {ingest: {orders: {files: "orders/{batch}.csv"}}}
training:
  dataset: {target: late}
  train: {estimator: sklearn.dummy.DummyClassifier}
  deadline: 2h
notify: {notifier: deadline_alerts.ToFile, arguments: {path: "PATH"}}
"""
ALERTS = """
import json
from pathlib import Path

from airflow.sdk import BaseNotifier

class ToFile(BaseNotifier):
    template_fields = ("path", "who")

    def __init__(self, path):
        super().__init__()
        self.path, self.who = path, "{{ mlops.pipeline }}"

    def notify(self, context):
        Path(self.path).write_text(json.dumps({**context["mlops"], "who": self.who}))
"""

LATE = """
from pathlib import Path

class Late:
    def __init__(self, path):
        self.path = path

    def __call__(self, context):
        Path(self.path).write_text("{who}")
"""


@pytest.fixture
def bag(dags, read_dags, tmp_path):
    (dags / "deadline_alerts.py").write_text(ALERTS)
    (dags / "shop.yaml").write_text(SHOP.replace("PATH", str(tmp_path / "told.json")))
    (dags / "shop.py").write_text(LOADER)
    found = read_dags()
    assert found.import_errors == {}
    return found


def test_only_the_dag_of_that_section_has_one(bag):
    (alert,) = bag.dags["shop-train"].deadline
    assert alert.interval == timedelta(hours=2)
    assert bag.dags["shop-data"].deadline is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("notify: {", "notify: {on: [failed], ", ("6:13 training.deadline: nobody is told: give `notify`, with "
         "missed_deadline among its events")),
        ("  deadline: 2h\nnotify: {", "notify: {on: [missed_deadline], ", ("6:14 notify.on: missed_deadline never "
         "comes: no section has a `deadline`")),
        ("deadline: 2h", "deadline: 0h", ("6:13 training.deadline: a duration such as 15m, 6h or 14d is wanted, not "
         "'0h'")),
    ],
)  # fmt: skip
def test_a_deadline_of_which_nobody_hears_is_an_error(errors, bundle, old, new, said):
    text = SHOP.lstrip().replace("deadline_alerts.ToFile", "include.code.Notifier")
    assert errors(text) == []
    found = errors(text.replace(old, new))
    assert found == [f"churn.yaml:{said}"]


@pytest.fixture
def queued(bag, airflow_db):
    """Give the session and the deadline of a run that was queued three hours ago."""
    from airflow.api.common.delete_dag import delete_dag
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from airflow.models.deadline import Deadline
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import select

    DagBundlesManager().sync_bundles_to_db()
    with create_session() as session:
        sync_bag_to_db(bag, "dags-folder", None, session=session)
    with create_session() as session:
        dag = SerializedDagModel.get("shop-train", session=session).dag
        run = dag.create_dagrun(
            run_id="manual__1",
            run_after=datetime.now(UTC),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.QUEUED,
            session=session,
        )
        session.flush()
        deadline = session.scalar(select(Deadline).where(Deadline.dagrun_id == run.id))
        yield session, deadline
    delete_dag("shop-train")
    delete_dag("shop-data")


def test_a_run_that_is_queued_gets_the_deadline(queued):
    _, deadline = queued
    assert deadline.deadline_time - deadline.dagrun.queued_at == timedelta(hours=2)
    assert not deadline.missed


def test_who_is_told_is_a_notifier_of_the_bundle_called_in_the_triggerer(queued, tmp_path, monkeypatch):
    session, deadline = queued
    deadline.handle_miss(session)
    # As the triggerer finds it: in the database, without the bundle on its path.
    trigger = deadline.callback.trigger
    kind, kwargs = trigger.classpath, trigger.kwargs
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not entry.endswith("dags")])
    monkeypatch.delitem(sys.modules, "deadline_alerts", raising=False)
    module, _, name = kind.rpartition(".")
    events = asyncio.run(_all(getattr(import_module(module), name)(**kwargs)))
    assert [event.payload["state"] for event in events] == ["running", "success"]
    told = json.loads((tmp_path / "told.json").read_text())
    assert (told["event"], told["pipeline"], told["who"]) == ("missed_deadline", "shop", "shop")
    assert told["message"].startswith("run manual__1 of shop-train was not done by ")


def test_each_bundle_is_asked_for_its_own_notifier_and_its_newest(tmp_path, monkeypatch):
    from airflow_mlops_provider.operators import deadline

    def told(folder):
        monkeypatch.setattr(deadline, "_folder_of", lambda _: folder)
        path = tmp_path / "told.txt"
        deadline._tell("own_alerts.Late", {"path": str(path)}, {"dag_run": {}})
        return path.read_text()

    for who in ("a", "b"):
        (tmp_path / who).mkdir()
        (tmp_path / who / "own_alerts.py").write_text(LATE.format(who=who))
    before = list(sys.path)
    assert [told(tmp_path / who) for who in "aba"] == ["a", "b", "a"]
    assert sys.path == before
    assert "own_alerts" not in sys.modules


def test_a_notifier_that_the_triggerer_could_not_import_is_an_error(dags, read_dags, tmp_path):
    (dags / "deadline_alerts.py").write_text(f"{ALERTS}\nclass Out:\n    class In(ToFile): ...\n\nIn = Out.In\n")
    (dags / "shop.yaml").write_text(SHOP.replace("PATH", str(tmp_path)).replace("ToFile", "In"))
    (dags / "shop.py").write_text(LOADER)
    sys.modules.pop("deadline_alerts", None)
    (found,) = read_dags().import_errors.values()
    assert "notify.notifier: Out.In does not stand at the top of deadline_alerts" in found
    sys.modules.pop("deadline_alerts", None)


async def _all(trigger):
    return [event async for event in trigger.run()]


def test_the_same_file_read_again_makes_no_new_version_of_the_dag(queued, read_dags):
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from airflow.models.dag_version import DagVersion
    from sqlalchemy import select

    session, deadline = queued
    session.commit()
    sync_bag_to_db(read_dags(), "dags-folder", None, session=session)
    session.commit()
    assert len(session.scalars(select(DagVersion).where(DagVersion.dag_id == "shop-train")).all()) == 1
    assert deadline.deadline_alert_id is not None
