"""`airflow-mlops test`: a pipeline's DAGs run once in an Airflow, a lake and an MLflow of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ParserError
from contextlib import ExitStack
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigError, MissingExtraError
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.plan import plan
from airflow_mlops_provider.factory.plan_data import PipelinePlan
from airflow_mlops_provider.factory.trial_runs import check_runnable, runs_of

__all__ = ["PLAN", "trial"]

_CHILD = "airflow_mlops_provider.factory.trial_child"
# What the child reads, in its AIRFLOW_HOME.
PLAN = "trial.json"
_LOADER = """
from airflow_mlops_provider.factory.trial_child import trial_dags  # makes each dag of Airflow

globals().update(trial_dags())
"""


def trial(
    file: Path, *, bundle: Path, environment: str | None = None, pipeline: str | None = None, keep: Path | None = None
) -> int:
    """Run the DAGs of a pipeline file in order and print what came out; return 0, or 1 where a task failed.

    They run in a process with an AIRFLOW_HOME, a lake and an MLflow below `keep` (default: a temporary folder, removed
    at the end). Raises MissingExtraError without Airflow, ConfigError for what cannot be tried here.
    """
    if find_spec("airflow") is None:
        raise MissingExtraError("airflow", "airflow")
    config = _settings(os.environ)
    planned = plan(file, environment=environment, bundle=bundle, config=config, pipeline=pipeline)
    check_runnable(planned, bundle)
    runs = runs_of(planned, bundle)
    with ExitStack() as stack:
        home = _new(keep) if keep else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-mlops-")))
        _prepare(home, replace(planned, lake=str(home / "lake"), notify=None))
        given = {"bundle": str(bundle.resolve()), "file": file.stem, "runs": [run.as_json() for run in runs]}
        (home / "runs.json").write_text(json.dumps(given))
        child = [sys.executable, "-m", _CHILD, str(home)]
        ended = subprocess.run(child, env=_environment(home, config, planned), check=False)  # noqa: S603  # our own
    if ended.returncode:
        print(
            f"all that was said is in {keep}/log.txt"
            if keep
            else "with --keep DIR all that was said stays in DIR/log.txt"
        )
    return 1 if ended.returncode else 0


def _settings(environ: Mapping[str, str]) -> FactoryConfig:
    """Return `[mlops]` of the user's airflow.cfg under the environment's; Airflow itself would make such a file."""
    home = Path(environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    parser = ConfigParser(interpolation=None, strict=False)
    file = Path(environ.get("AIRFLOW_CONFIG") or home / "airflow.cfg").expanduser()
    try:
        parser.read(file, encoding="utf-8")
    except (ParserError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{file}: {exc}") from exc
    written = dict(parser["mlops"]) if parser.has_section("mlops") else {}
    names = [field.name for field in fields(FactoryConfig)]
    return FactoryConfig.of({name: environ.get(f"AIRFLOW__MLOPS__{name.upper()}", written.get(name)) for name in names})


def _new(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is no empty folder: a trial begins with an empty lake; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _prepare(home: Path, planned: PipelinePlan) -> None:
    (home / "dags").mkdir()
    # Not by the pipeline's name: Airflow puts this folder on the path, and a module hides a bundle's folder.
    (home / "dags" / "airflow_mlops_trial_dags.py").write_text(_LOADER)
    (home / PLAN).write_text(json.dumps(planned.as_json()))


def _environment(home: Path, config: FactoryConfig, planned: PipelinePlan) -> dict[str, str]:
    """Return the child's environment: the user's own, but nothing that leads to their Airflow, MLflow or store."""
    led = ("AIRFLOW_", "_AIRFLOW", "MLFLOW_", "DBT_", "FEAST_", "OPENLINEAGE_")
    connections = {k: v for k, v in os.environ.items() if k.startswith("AIRFLOW_CONN_")}
    connections.pop("AIRFLOW_CONN_LAKE_DEFAULT", None)
    tracking = f"sqlite:///{home}/mlflow.db"
    mlflow = {"conn_type": "mlflow", "host": tracking, "extra": {"artifact_root": str(home / "artifacts")}}
    settings = {
        f"AIRFLOW__MLOPS__{field.name.upper()}": ",".join(value) if isinstance(value, tuple) else str(value)
        for field in fields(FactoryConfig)
        if (value := getattr(config, field.name))
    }
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(led)},
        **connections,
        **settings,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of a trial that nobody reaches" * 3,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__MLOPS__ENVIRONMENT": planned.environment or "",
        "AIRFLOW__MLOPS__LAKE": str(home / "lake"),
        "AIRFLOW_CONN_MLFLOW_DEFAULT": json.dumps(mlflow),
        "MLFLOW_TRACKING_URI": tracking,
    }
