from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from airflow_mlops_provider.cli import main
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.cost import record_cost
from airflow_mlops_provider.steps.models import connect

ROOT = Path(__file__).parents[1]
GOOD = """\
pipeline: tiny
data: {ingest: {visits: {files: "in/{batch}.csv"}}}
training: {dataset: {target: bought}, train: {estimator: sklearn.linear_model.LogisticRegression}}
"""
BAD = GOOD.replace("target", "traget").replace("pipeline: tiny", "pipeline: Tiny")
LINES = [
    ("tiny.yaml", 1, 11, "pipeline", ("a name of a-z, 0-9 and _ is wanted, a letter first, at most 63 characters, "
     "not 'Tiny'")),
    ("tiny.yaml", 3, 12, "training.dataset", "'target' is missing"),
    ("tiny.yaml", 3, 22, "training.dataset", "unknown key 'traget'. Did you mean 'target'?"),
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return `tiny.yaml` in the working directory, with one day of data beside it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("AIRFLOW__MLOPS__")]:
        monkeypatch.delenv(name)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "2026-01-01.csv").write_text("age,bought\n20,0\n30,1\n")
    (tmp_path / "tiny.yaml").write_text(GOOD)
    return tmp_path / "tiny.yaml"


def test_lint_of_a_sound_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(file)]) == 0
    assert capsys.readouterr().out == "1 file: no error\n"


def test_lint_prints_every_error_and_fails(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BAD)

    assert main(["lint", str(file)]) == 1
    *shown, last = capsys.readouterr().out.splitlines()
    assert shown[::3] == [f"{f}:{line}:{c} {path}: {text}" for f, line, c, path, text in LINES]
    assert [line.index("^") - len("    1 | ") + 1 for line in shown[2::3]] == [c for _, _, c, *_ in LINES]
    assert shown[1] == "    1 | pipeline: Tiny"
    assert last == "3 errors in 1 file"


def test_lint_of_a_folder_looks_at_every_pipeline_file_once(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(BAD)
    (file.parent / "more").mkdir()
    (file.parent / "more" / "good.yml").write_text(GOOD.replace("tiny", "good").replace("visits", "good"))
    (file.parent / "more" / "schema.yml").write_text("version: 2\nmodels: [{name: x}]\n")

    assert main(["lint", ".", str(file)]) == 1
    assert capsys.readouterr().out.endswith("\n3 errors in 1 of 2 files\n")
    assert main(["lint", "more", "absent.yaml", "--format", "json"]) == 1
    out, err = capsys.readouterr()
    assert [(error["file"], error["message"]) for error in json.loads(out)] == [
        ("absent.yaml", "cannot be read: No such file or directory")
    ]
    assert err == "1 error in 1 of 2 files\n"
    monkeypatch.chdir("more")
    (file.parent / "empty").mkdir()
    assert main(["lint", "../empty"]) == 1
    assert capsys.readouterr().err.startswith("../empty: no pipeline file below it; one ends in .yaml")


def test_a_folder_elsewhere_is_the_bundle_of_what_is_found_in_it(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (file.parent / "teams").mkdir()
    (file.parent / "own.py").write_text("def visits(batch): ...\n")
    text = GOOD.replace('files: "in/{batch}.csv"', "python_callable: own.visits")
    (file.parent / "teams" / "a.yaml").write_text(text.replace("tiny", "a").replace("{visits:", "{views:"))
    monkeypatch.chdir("in")

    assert main(["lint", str(file.parent)]) == 0
    assert main(["lint", str(file.parent / "teams" / "a.yaml")]) == 1
    assert "no file own.py in the bundle" in capsys.readouterr().out


def test_lint_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BAD)

    assert main(["lint", str(file), "--format", "json"]) == 1
    keys = ("file", "line", "column", "path", "message")
    assert json.loads(capsys.readouterr().out) == [dict(zip(keys, line, strict=True)) for line in LINES]


def test_lint_as_github_commands(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BAD)

    assert main(["lint", str(file), "--format", "github"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert (
        last == "::error file=tiny.yaml,line=3,col=22::training.dataset: unknown key 'traget'. Did you mean 'target'?"
    )


def test_lint_reads_the_suites(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "suite.json").write_text('{"name": "a", "expectations": [{"type": "expect_magic", "kwargs": {}}]}')
    file.write_text(GOOD.replace("data: {", "data: {validate: {visits: {expectation_suite: suite.json}}, "))

    assert main(["lint", str(file)]) == 1
    out = capsys.readouterr().out
    assert out.startswith(
        "tiny.yaml:2:47 data.validate.visits.expectation_suite: suite.json: expectations[0].type: "
    )  # fmt: skip
    assert str(file.parent) not in out


def test_lint_checks_every_environment(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD + "environments: {prod: {owner: [x]}}\n")

    assert main(["lint", str(file)]) == 1
    assert capsys.readouterr().out.startswith('tiny.yaml:4:30 owner: text is wanted, not ["x"]\n')


def test_lint_leaves_another_environments_allow_lists_to_it(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(GOOD + "environments: {prod: {defaults: {runs_on: {python: /opt/tools/bin/python}}}}\n")

    assert main(["lint", str(file)]) == 0
    monkeypatch.setenv("AIRFLOW__MLOPS__ENVIRONMENT", "prod")
    assert main(["lint", str(file)]) == 1
    assert "is not one of [mlops] allowed_interpreters (empty)" in capsys.readouterr().out


def test_plan_tells_every_value_and_its_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(file)]) == 0
    out = capsys.readouterr().out
    assert 'dataset = {"target": "bought", "entities": "visits"}  # tiny.yaml:3\n' in out
    assert "tiny-data  @daily in UTC, from now to ever\n" in out


def test_plan_as_json_is_the_same_every_time(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(file), "--format", "json"]) == 0
    first = capsys.readouterr().out
    main(["plan", str(file), "--format", "json"])

    assert capsys.readouterr().out == first
    assert json.loads(first)["dags"][1]["dag_id"] == "tiny-train"


def test_plan_against_another_file_tells_what_differs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "old.yaml").write_text(GOOD.replace("bought", "gone"))

    assert main(["plan", str(file), "--against", "old.yaml"]) == 0
    out = capsys.readouterr().out
    assert '    ~ dataset.target = "gone" -> "bought"  # tiny.yaml:3\n' in out
    assert out.endswith("tasks: 0 added, 0 removed, 2 changed\n")
    assert main(["plan", str(file), "--against", "old.yaml", "--format", "json"]) == 0
    assert [d["task_id"] for d in json.loads(capsys.readouterr().out)["differences"]] == ["train", "evaluate"]
    assert main(["plan", str(file), "--against", "older.yaml"]) == 1
    assert capsys.readouterr().err.startswith("--against older.yaml: no such file, and ")


def test_run_says_how_each_task_ended(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(file), "data", "--batch", "2026-01-01", "--lake", "lake"]) == 0
    assert "ingest: succeeded in" in capsys.readouterr().out
    assert (file.parent / "lake" / "visits").is_dir()
    assert main(["run", str(file), "data", "--batch", "2026-01-02", "--lake", "lake"]) == 1


def test_what_is_wrong_is_one_line_on_standard_error(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(file), "ingest"]) == 1
    assert capsys.readouterr().err == "ingest needs a batch: --batch 2013-04-01\n"
    assert main(["plan", "absent.yaml"]) == 1
    assert capsys.readouterr().err == "absent.yaml: cannot be read: No such file or directory\n"


def test_doctor_describes_this_and_another_interpreter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert f"({sys.executable})" in capsys.readouterr().out
    assert main(["doctor", "--python", sys.executable, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["executable"] == sys.executable
    assert main(["doctor", "--python", "/nowhere/python"]) == 1
    assert "/nowhere/python cannot be started" in capsys.readouterr().err


def test_lint_loads_neither_airflow_nor_a_tool(file: Path) -> None:
    heavy = "{'airflow', 'pandas', 'pyarrow', 'duckdb', 'mlflow', 'ibis', 'jinja2'}"
    code = (
        "import sys; from airflow_mlops_provider.cli import main; "
        f"assert main(['lint', 'tiny.yaml']) == 0; assert not {heavy} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=file.parent, env={"PYTHONPATH": str(ROOT)})


def test_the_module_runs_as_the_script_does(file: Path) -> None:
    command = [sys.executable, "-m", "airflow_mlops_provider", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout.startswith("airflow-mlops-provider ")


def test_plan_prints_the_pod_of_a_step(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_IMAGES", "acme/")
    monkeypatch.setenv("AIRFLOW__MLOPS__LAKE", "s3://lake")
    pod = "runs_on: {kubernetes: {image: acme/train:1, memory: 4Gi}}"
    file.write_text(GOOD.replace("estimator:", f"{pod}, estimator:"))

    assert main(["plan", str(file), "--manifest", "train"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    kubernetes_validate.validate(found, "1.33", strict=True)
    assert found["spec"]["containers"][0]["image"] == "acme/train:1"
    assert main(["plan", str(file), "--manifest", "evaluate"]) == 1
    assert "evaluate runs in no pod" in capsys.readouterr().err
    assert main(["plan", str(file), "--manifest", "trian"]) == 1
    assert "tiny.yaml makes no task 'trian'; it makes ingest, " in capsys.readouterr().err


def test_cost_prints_each_run_and_each_model(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{file.parent}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    fields = {"conn_type": "mlflow", "host": uri, "extra": {}}
    context = StepContext("k", {"mlflow_default": fields})
    assert main(["cost"]) == 0
    assert capsys.readouterr().out == "no run has its cost recorded; training in a pod records it\n"
    client = connect(context)
    for price in (2.0, None):
        run = client.create_run("0")
        gpu = {"class": "a100", "devices": 1, "price": price}
        record_cost(context, run.info.run_id, model="delay", seconds=5400, peak_memory_bytes=2**31, gpu=gpu)

    assert main(["cost", "--model", "delay"]) == 0
    head, first, second, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["model", "version", "run", "started", "gpu", "hours", "peak", "GiB", "cost"]
    assert {tuple(line.split()[-3:]) for line in (first, second)} == {("1.500", "2.0", "3.00"), ("1.500", "2.0", "-")}
    assert total == "delay: 2 runs, cost 3.00 of 1 of them"
    assert main(["cost", "--format", "json"]) == 0
    assert {row["cost"] for row in json.loads(capsys.readouterr().out)} == {3.0, None}
    assert main(["cost", "--model", "dealy"]) == 1
    assert "no run of model 'dealy' has its cost recorded" in capsys.readouterr().err


def test_requirements_prints_the_pinned_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requirements", "decide"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"duckdb=={version('duckdb')}" in lines
    assert not [line for line in lines if "==" not in line]
    assert main(["requirements", "trian"]) == 1
    assert "no step 'trian'" in capsys.readouterr().err


def test_sweep_pods_without_a_cluster_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))

    assert main(["sweep-pods", "--namespace", "ml", "--older-than", "48"]) == 1
    assert capsys.readouterr().err


def test_a_reader_that_has_seen_enough_gets_no_trace() -> None:
    command = [sys.executable, "-m", "airflow_mlops_provider", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
