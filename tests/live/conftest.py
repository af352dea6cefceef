from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.airflow import LiveAirflow
from tests.live.daemons import Daemon


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.standalone)
            item.add_marker(pytest.mark.timeout(1800))  # the first test waits for two months


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    # An idle Airflow takes a third of a core: the suites behind these must not pay for it.
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        for name in ("scheduler", "triggerer", "live"):
            if name in getattr(item, "funcargs", {}):
                item.funcargs[name].stop()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveAirflow]:
    """Give the one Airflow of these tests, with an MLflow server beside it."""
    live = LiveAirflow(tmp_path_factory.mktemp("live"))
    try:
        live.start()
        yield live
    finally:
        live.stop()


@pytest.fixture(scope="session")
def lived(live: LiveAirflow) -> LiveAirflow:
    """Give that Airflow after the shop's January and February: only the data's runs were started."""
    live.run_month(1)
    live.settled(1)
    # A pipeline's own tasks follow one another: what other tests wait for runs beside them.
    live.asked = {dag_id: live.start_run(dag_id) for dag_id in ("hasty-train", "gate-train")}
    live.run_month(2)
    live.settled(2)
    return live


@pytest.fixture(scope="session")
def scheduler(live: LiveAirflow) -> Iterator[Daemon]:
    """Give that Airflow's scheduler, to be killed."""
    scheduler = Daemon(live, "scheduler")
    yield scheduler
    scheduler.stop()


@pytest.fixture(scope="session")
def triggerer(live: LiveAirflow) -> Iterator[Daemon]:
    """Give that Airflow's triggerer, to be killed."""
    triggerer = Daemon(live, "triggerer")
    yield triggerer
    triggerer.stop()
