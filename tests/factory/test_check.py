from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlops_provider.factory.check import lint, lint_files
from airflow_mlops_provider.factory.config import FactoryConfig

REPO = Path(__file__).parents[2]
GOOD = """\
pipeline: %s
data: {ingest: {visits: {files: "in/{batch}.csv"}}}
training: {dataset: {target: churned}, train: {estimator: sklearn.svm.SVC}}
"""
SCORED = "pipeline: a\ndata: {from: b}\nscoring: {dataset: '"
BROKEN = {
    "syntax": (b"pipeline: a\ndata: {ingest: [\n", ":3:1 not YAML: "),
    "encoding": (b"pipeline: a\nowner: Z\xfcrich\n", ":2:1 not UTF-8 text"),
    "kind": ((GOOD % "kind").replace("visits", "kind").replace("{target: churned}", "churned").encode(),
             ":3:21 training.dataset: a mapping of"),
    "size": (b"pipeline: a\n" + b"#" * 600_000, ":1:1 larger than 512 KiB"),
    "bomb": (b"pipeline: a\na: &a [1,1]\n" + b"".join(b"a%d: &b%d [%s]\n" % (i, i, b",".join([b"*b%d" % (i - 1) if i
             else b"*a"] * 9)) for i in range(9)), "are aliases multiplying?"),
    "tag": (b"pipeline: !!python/object/apply:os.system [echo]\n", ":1:11 tag 'tag:yaml.org,2002:python/object"),
    "code": ((GOOD % "code").replace('files: "in/{batch}.csv"', "python_callable: os.system").encode(),
             ":2:43 data.ingest.visits.python_callable: no file os.py in the bundle"),
}  # fmt: skip


@pytest.fixture
def at(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the bundle as the working directory."""
    monkeypatch.chdir(bundle)
    return bundle


def errors(bundle: Path, text: str, **config: object) -> list[str]:
    (bundle / "churn.yaml").write_text(text)
    found = lint(bundle / "churn.yaml", bundle=bundle, config=FactoryConfig(**config))  # type: ignore[arg-type]
    return [str(error) for error in found]


def test_a_broken_file_hides_no_other(at: Path) -> None:
    for name, (raw, _) in BROKEN.items():
        (at / f"{name}.yaml").write_bytes(raw)
    for i in range(20):
        (at / f"good{i}.yaml").write_text((GOOD % f"good{i}").replace("visits", f"visits{i}"))
    files = [(path, at) for path in (*sorted(at.glob("*.yaml")), at / "absent.yaml")]

    linted = {file.name: file.errors for file in lint_files(files, config=FactoryConfig())}
    assert len(linted) == 28
    assert str(linted.pop("absent.yaml")[0]) == "absent.yaml:1:1 cannot be read: No such file or directory"
    for name, (_, said) in BROKEN.items():
        assert said in str(linted[f"{name}.yaml"][0])
    assert {name for name, found in linted.items() if found} == {f"{name}.yaml" for name in BROKEN}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pipeline: a\n" + "x: y\n" * 10_000_000, "a.yaml:1:1 larger than 512 KiB"),
        ("pipeline: a\na: &a 1\nb: [" + "*a," * 100_000 + "1]\n", "are aliases multiplying?"),
        ("pipeline: a\n" + "".join(f"k{i}: 1\n" for i in range(15_000)), "a.yaml:2:1 unknown key 'k0'. Known: "),
        (SCORED + "{{" * 200_000 + "'}\n", "template '{{' is not allowed"),
        (SCORED + "{{ " + "a " * 200_000 + "}}'}\n", "template '{{ a a"),
        ("pipeline: a\nscoring: {dataset: v}\nenvironments:\n" + "  e%d: {owner: [x]}\n" * 3_000 % tuple(range(3_000)),
         "a.yaml:3:1 environments: more than 50 environments"),
    ],
    ids=["size", "aliases", "keys", "openings", "template", "environments"],
)  # fmt: skip
def test_a_hostile_file_is_answered_soon_in_little_memory(at: Path, text: str, said: str) -> None:
    (at / "a.yaml").write_text(text)
    # Not ru_maxrss: a child begins with that of its parent.
    code = (
        "import re, sys, time; from airflow_mlops_provider.cli import main; main(['lint', 'a.yaml']); "
        "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]; "
        "print(time.process_time(), peak, file=sys.stderr)"
    )
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)

    assert said in done.stdout.splitlines()[0]
    seconds, kilobytes = map(float, done.stderr.split())
    assert (seconds < 3, kilobytes < 200_000) == (True, True), done.stderr


def test_two_files_are_compared(at: Path) -> None:
    for name in ("a", "b"):
        (at / f"{name}.yaml").write_text((GOOD % name).replace("visits", name) + "model: churn\n")

    first, second = lint_files([(at / "a.yaml", at), (at / "b.yaml", at)], config=FactoryConfig())
    assert first.errors == []
    assert "model 'churn' is trained in a.yaml:4, too" in str(second.errors[0])


def test_dbts_models_are_looked_up_where_dbt_left_its_manifest(at: Path) -> None:
    text = (GOOD % "churn").replace(
        "}}}\n", '}}, transform: {project_dir: dbt_project, select: "tag:dialy rows", publish: [rows, rosw]}}\n'
    )
    assert errors(at, text) == []
    node = {"name": "rows", "fqn": ["shop", "rows"], "resource_type": "model", "tags": ["daily"]}
    kinds = ("unit_tests", "exposures", "metrics", "semantic_models", "saved_queries")
    (at / "dbt_project" / "target").mkdir()
    manifest = {kind: {} for kind in kinds} | {"nodes": {"model.shop.rows": node}}
    (at / "dbt_project" / "target" / "manifest.json").write_text(json.dumps(manifest))

    assert errors(at, text) == [
        "churn.yaml:2:99 data.transform.select: dbt selects nothing by 'tag:dialy'. Did you mean 'daily'?",
        "churn.yaml:2:133 data.transform.publish[1]: dbt knows no model 'rosw'. Did you mean 'rows'?",
    ]


def test_features_are_looked_up_in_the_repository(at: Path) -> None:
    (at / "include" / "features" / "views.py").write_text(
        'FeatureView(name="rates")\nFeatureService(name="churn_v1")\n'
    )
    text = (GOOD % "churn").replace(
        "}}}\n", "}}, materialize: {feature_repo: include/features, feature_views: [rates, rate]}}\n"
    ) + (
        "scoring: {dataset: visits, feature_service: churn_v2}\n"
        "monitoring: {drift: {feature_service: churn_v1}}\n"
        "environments: {prod: {scoring: {feature_service: other}}}\n"
    )

    assert errors(at, text) == [
        ("churn.yaml:2:122 data.materialize.feature_views[1]: include/features defines no feature view 'rate'. "
         "Did you mean 'rates'?"),
        ("churn.yaml:4:45 scoring.feature_service: include/features defines no feature service 'churn_v2'. "
         "Did you mean 'churn_v1'?"),
        "churn.yaml:6:50 scoring.feature_service: include/features defines no feature service 'other'. Known: churn_v1",
    ]  # fmt: skip


def test_what_cannot_be_read_of_the_repository_is_no_error(at: Path) -> None:
    text = (GOOD % "churn").replace(
        "}}}\n", "}}, materialize: {feature_repo: include/features, feature_views: [rate]}}\n"
    )
    assert len(errors(at, text)) == 1
    (at / "include" / "features" / "views.py").write_text("from acme.features import *\n")
    assert errors(at, text) == []


def test_a_wrong_key_hides_no_schedule_that_is_none(at: Path) -> None:
    text = (GOOD % "churn").replace("data: {", 'data: {bogus: 1, schedule: "@dayly", ')
    said = errors(at, text)
    assert len(said) == 2
    assert any("unknown key 'bogus'" in error for error in said)
    assert any("data.schedule: '@dayly' is no schedule" in error for error in said)
