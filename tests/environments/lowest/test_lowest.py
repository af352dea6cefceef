"""The oldest Airflow that is supported, with every tool at its lower bound."""

from __future__ import annotations

import secrets

import pytest

from tests.environments.make_env import ROOT, run

pytestmark = [pytest.mark.environment, pytest.mark.slow]

# What touches Airflow.
SUITES = ("hooks", "triggers", "operators", "sensors", "factory", "ui")
LEFT_OUT = (
    # Pods that meet what test_kubernetes.py's meet, at more length.
    "tests/operators/test_kubernetes_pipeline.py",
    "tests/operators/test_kubernetes_code.py",
    "tests/operators/test_kubernetes_refusals.py",
    "tests/operators/test_kubernetes.py::test_a_pod_that_the_cluster_took_away_is_replaced_in_the_same_try",
    "tests/operators/test_kubernetes.py::test_a_pod_that_is_taken_away_for_ever_fails_in_the_end",
    # `dag.test()` of Airflow 3.2 does not hand the exception to a failure callback; a real worker does.
    "tests/operators/test_notify.py::test_a_refusal_is_told_once_also_where_another_notifier_fails",
    "tests/operators/test_notify.py::test_a_fault_is_told_as_a_fault",
)


def test_it_is_the_lowest_airflow(lowest):
    assert run(lowest, "-c", "from importlib.metadata import version; print(version('apache-airflow'))").startswith(
        "3.2."
    )


def test_the_unit_suites_pass(lowest):
    folders = [ROOT / "tests" / suite for suite in SUITES]
    # Airflow 3.2 runs no `dag.test()` without a secret for its task API.
    secret = f"AIRFLOW__API_AUTH__JWT_SECRET={secrets.token_hex(32)}"
    # What an old library deprecates was not known to who wrote it.
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "filterwarnings=default",
        "-m",
        "not standalone and not environment and not long",
    ]
    options += [f"--deselect={test}" for test in LEFT_OUT]
    print(run("env", secret, lowest, "-m", "pytest", *folders, *options))
