"""Every pipeline file that this repository ships: built as its plan says, and the same in each process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlops_provider.cli import main

ROOT = Path(__file__).parents[2]
LIVE = ROOT / "tests" / "live" / "bundle"
EXAMPLES = {path: bundle for bundle, place in ((ROOT, ROOT / "dags"), (LIVE, LIVE)) for path in place.glob("*.yaml")}
NAMES = [path.stem for path in EXAMPLES]
# What the factory takes from the plan's own arguments for Airflow's operator of human work.
HUMAN = ("approval", "ask")

SERIALIZED = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.serialization.serialized_objects import DagSerialization

for folder, bundle in json.loads(sys.argv[1]):
    sys.path.insert(0, bundle)
    bag = BundleDagBag(dag_folder=folder, bundle_path=Path(bundle), bundle_name="examples")
    assert not bag.import_errors, bag.import_errors
    for dag_id in sorted(bag.dags):
        # Sorted as Airflow's own hash of a version sorts them: it keeps some of a DAG's keys in a set.
        print(json.dumps(DagSerialization.to_dict(bag.dags[dag_id]), sort_keys=True))
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """Allow what the examples name outside their bundle."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_CONNECTIONS", "*")
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_IMAGES", "acme/")
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_MODULES", "airflow.providers.standard")
    # Kept plans would tell that an earlier test planned the same.
    monkeypatch.setenv("AIRFLOW_HOME", "/nonexistent")
    for name in ("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "_AIRFLOW_PARSING_CONTEXT_TASK_ID"):
        monkeypatch.delenv(name, raising=False)


def printed(path, bundle, capsys):
    """Return what `airflow-mlops plan --format json` prints."""
    assert main(["plan", str(path), "--bundle", str(bundle), "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def built(path, bundle, monkeypatch):
    from airflow.dag_processing.dagbag import BundleDagBag

    monkeypatch.syspath_prepend(str(bundle))
    bag = BundleDagBag(dag_folder=str(path.with_suffix(".py")), bundle_path=bundle, bundle_name="examples")
    assert bag.import_errors == {}
    return bag.dags


@pytest.mark.parametrize(("path", "bundle"), EXAMPLES.items(), ids=NAMES)
def test_what_plan_prints_is_what_is_built(path, bundle, monkeypatch, capsys):
    compare(path, bundle, monkeypatch, capsys)


@pytest.mark.parametrize("template", ["classification", "fraud", "regression"])
def test_what_plan_prints_of_a_template_is_what_is_built(template, tmp_path, monkeypatch, capsys):
    name = f"a_{template}"
    assert main(["init", name, "--template", template, "--into", str(tmp_path)]) == 0
    capsys.readouterr()

    compare(tmp_path / name / f"{name}.yaml", tmp_path, monkeypatch, capsys)


def compare(path, bundle, monkeypatch, capsys):
    plan = printed(path, bundle, capsys)
    dags = built(path, bundle, monkeypatch)

    assert set(dags) == {dag["dag_id"] for dag in plan["dags"]}
    for dag in plan["dags"]:
        assert said_of_dag(dags[dag["dag_id"]], dag) == {key: dag[key] for key in ("owner", "tags", "max_active_runs")}
        assert {task.task_id for task in dags[dag["dag_id"]].tasks} == {task["task_id"] for task in dag["tasks"]}
        for task in dag["tasks"]:
            operator = dags[dag["dag_id"]].get_task(task["task_id"])
            assert said_of_task(operator, task) == {key: task[key] for key in said_of_task(operator, task)}


def said_of_dag(dag, plan):
    """Return of a built DAG what its plan says, in the plan's own form."""
    schedule, timetable = plan["schedule"], dag.timetable
    if schedule["kind"] == "none":
        assert dag.schedule is None
    elif schedule["kind"] == "interval":
        kept = timetable.serialize()
        days = [day and day.split("T")[0] for day in (kept["start"], kept["end"])]
        assert days == [schedule["start"], schedule["end"]]
        assert kept["timezone"] == schedule["timezone"]
    else:
        condition = getattr(timetable, "asset_condition", timetable)
        assert sorted(asset.uri for asset in condition.objects) == sorted(schedule["assets"])
    return {"owner": dag.default_args["owner"], "tags": sorted(dag.tags), "max_active_runs": dag.max_active_runs}


def said_of_task(operator, plan):
    """Return of a built task what its plan says, in the plan's own form; arguments as the operator keeps them."""
    own = {} if plan["task_id"] in HUMAN else {
        "arguments": {key: value if "$result" in str(value) else getattr(operator, key)
                      for key, value in plan["arguments"].items()},
    }  # fmt: skip
    options = {
        "retries": operator.retries,
        "retry_delay_s": operator.retry_delay.total_seconds(),
        "pool": operator.pool,
        "execution_timeout_s": operator.execution_timeout and operator.execution_timeout.total_seconds(),
    }
    return {
        "operator": f"{type(operator).__module__}.{type(operator).__name__}",
        "inlets": [asset.uri for asset in operator.inlets],
        "outlets": [asset.uri for asset in operator.outlets],
        **({"runs_on": operator.runs_on} if hasattr(operator, "runs_on") else {}),
        # What nobody said is Airflow's own.
        **{key: value for key, value in options.items() if plan[key] is not None},
        **own,
    }


@pytest.mark.slow
def test_processes_with_other_hash_seeds_give_the_same_bytes():
    folders = [(str(ROOT / "dags" / "flights.py"), str(ROOT)), *((str(path.with_suffix(".py")), str(LIVE))
               for path in sorted(LIVE.glob("*.yaml")))]  # fmt: skip
    seen = set()
    for seed in ("0", "1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", SERIALIZED, json.dumps(folders)]
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
        assert len(done.stdout.splitlines()) > 10
        seen.add(done.stdout)

    assert len(seen) == 1


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("probation: 1", "probation: 2", {"score", "monitor"}),
        ("holdout: 10d", "holdout: 12d", {"train"}),
        ("max_failed: 0.02", "max_failed: 0.03", {"data"}),
        ("false_alarms: 0.01", "false_alarms: 0.02", {"monitor"}),
        ("# The demo:", "# A line more.\n# The demo:", set()),
    ],
)
def test_an_edit_makes_a_new_version_of_the_dags_that_it_concerns(tmp_path, monkeypatch, old, new, changed):
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import DagSerialization

    for name in ("include", "expectations", "dbt_project"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "target"))
    text = (ROOT / "dags" / "flights.yaml").read_text()
    assert old in text
    hashes = []
    for version in (text, text.replace(old, new)):
        (tmp_path / "flights.yaml").write_text(version)
        (tmp_path / "flights.py").write_text((ROOT / "dags" / "flights.py").read_text())
        dags = built(tmp_path / "flights.yaml", tmp_path, monkeypatch)
        hashes.append({name: SerializedDagModel.hash(DagSerialization.to_dict(dag)) for name, dag in dags.items()})

    assert {name for name in hashes[0] if hashes[0][name] != hashes[1][name]} == {f"flights-{one}" for one in changed}
