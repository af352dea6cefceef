from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from airflow_mlops_provider.cli import main
from airflow_mlops_provider.factory.errors import PipelineFileError
from airflow_mlops_provider.factory.load import parse
from airflow_mlops_provider.factory.schema import EXAMPLES, schema
from airflow_mlops_provider.factory.validate import pipeline_of

REPO = Path(__file__).parents[2]
SCHEMA = schema()
CHECK = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
SMALLEST = """\
pipeline: churn
data: {ingest: {visits: {files: "in/{batch}.csv"}}}
training: {dataset: {target: churned}, train: {estimator: sklearn.svm.SVC}}
"""


def files() -> Iterator[tuple[str, str]]:
    """Yield (name, text) of every pipeline that the repository ships or its pages show whole."""
    for folder in ("dags", "tests"):
        for path in sorted((REPO / folder).rglob("*.yaml")):
            if re.search(r"^pipeline:", path.read_text(), re.MULTILINE):
                yield path.relative_to(REPO).as_posix(), path.read_text()
    for path in [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]:
        for i, block in enumerate(
            re.findall(r"^( *)```ya?ml\n(.*?)^ *```", path.read_text(), re.MULTILINE | re.DOTALL)
        ):
            if re.search(r"^pipeline:", dedent(block[1]), re.MULTILINE):
                yield f"{path.relative_to(REPO).as_posix()}[{i}]", dedent(block[1])


def accepted(text: str) -> bool:
    try:
        pipeline_of(parse(text, "a.yaml").merged(None))
    except PipelineFileError:
        return False
    return True


def valid(text: str) -> bool:
    return bool(CHECK.is_valid(parse(text, "a.yaml").data))


def test_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


SHIPPED = dict(files())


@pytest.mark.parametrize("name", SHIPPED)
def test_what_this_repository_shows_is_valid(name: str) -> None:
    assert [error.message for error in CHECK.iter_errors(parse(SHIPPED[name], name).data)] == []


def test_there_are_pipelines_to_check() -> None:
    assert len([name for name in SHIPPED if name.startswith(("dags", "tests/live"))]) >= 8
    assert len([name for name in SHIPPED if name.endswith("]")]) >= 3


GOOD = [
    "defaults: {runs_on: local}",
    "defaults: {runs_on: {python: /opt/bin/python}}",
    "defaults: {runs_on: {kubernetes: {image: a/b, cpu: 2, memory: 16Gi, volumes: {v: {claim: c, mount_path: /v}}}}}",
    "defaults: {runs_on: null, retries: 0, retry_delay: 90s, execution_timeout: 2w}",
    "model: null",
    "lake: s3://acme",
    "scoring: {dataset: visits, probation: 0, reconcile: '@daily', unique_key: null}",
    "monitoring: {drift: {current: {name: v, version: 3}, false_alarms: 0.01}}",
    "monitoring: {performance: {}, drift: null}",
    "monitoring: {performance: {}, retrain: {when: {a: {above: 1}}, budget: {trainings: 4, per: 90d}, ask: true}}",
    "monitoring: {drift: {}, retrain: {quiet: {weekdays: [friday], dates: [{first: 2013-12-20, last: 2014-01-03}]}}}",
    "notify: {on: [failed], notifier: a.B, arguments: {any: [thing, 1, null]}}",
    "tasks: {a: {operator: b.C, after: train}, d: {operator: b.C, before: [a], arguments: {x: [1]}, retries: 0}}",
    "scoring: {dataset: visits, deadline: 30m}",
    "environments: {prod: {defaults: {pool: gpu}, training: {train: {runs_on: {kubernetes: {image: a}}}}}}",
    "environments: {prod: {data: {ingest: {visits: {unique_key: [id]}}}, training: {approval: null}}}",
    "tags: [a, 'b:c']",
]
BAD = [
    "retires: 3",
    "owner: 3",
    "model: ''",
    "tags: growth",
    "defaults: {runs_on: lokal}",
    "defaults: {runs_on: {kubernets: {}}}",
    "defaults: {runs_on: {kubernetes: {}}}",
    "defaults: {runs_on: {kubernetes: {image: a, memory: 16 GB}}}",
    "defaults: {runs_on: {kubernetes: {image: a, volumes: {v: {mount_path: /v}}}}}",
    "defaults: {retries: -1}",
    "defaults: {retries: yes}",
    "defaults: {retry_delay: 5}",
    "defaults: {retry_delay: PT5M}",
    "defaults: {retry_delay: expanding}",
    "scoring: {}",
    "scoring: {dataset: visits, probation: some}",
    "monitoring: {}",
    "monitoring: {drift: {false_alarms: 0.6}}",
    "monitoring: {drift: {}, retrain: {when: {a: 3}}}",
    "monitoring: {drift: {}, retrain: {cooldown: 0.5}}",
    "monitoring: {drift: {}, retrain: {ask: 'true'}}",
    "notify: {on: [refusal], notifier: a.B}",
    "notify: {on: [], notifier: a.B}",
    "notify: {on: [failed]}",
    "tasks: {a: {operator: b.C}}",
    "tasks: {a: {after: train}}",
    "tasks: {a: {operator: b.C, after: 3}}",
    "tasks: {a: {operator: b.C, after: Train}}",
    "tasks: {a: {operator: b.C, after: train, runs_on: local}}",
    "tasks: {a: null}",
    "scoring: {dataset: visits, deadline: 30}",
]


@pytest.mark.parametrize("text", GOOD)
def test_accepts_what_the_loader_accepts(text: str) -> None:
    assert (valid(f"{SMALLEST}{text}\n"), accepted(f"{SMALLEST}{text}\n")) == (True, True)


@pytest.mark.parametrize("text", BAD)
def test_refuses_what_the_loader_refuses(text: str) -> None:
    assert (valid(f"{SMALLEST}{text}\n"), accepted(f"{SMALLEST}{text}\n")) == (False, False)


@pytest.mark.parametrize(
    ("old", "new", "good"),
    [
        ("target: churned", "target: churned, window: expanding", True),
        ("target: churned", "target: churned, window: 90d", True),
        ("target: churned", "target: churned, window: 90", False),
        ("target: churned", "traget: churned", False),
        ("estimator:", "python_callable: a.b, estimator:", False),
        ("estimator:", "python_callable: null, estimator:", True),
        ("estimator: sklearn.svm.SVC", "search: {space: {C: [1, 2]}}", False),
        ("estimator:", "search: {space: {C: {low: 1, high: 2.5}, k: [a, 1, true]}, time: 1h}, estimator:", True),
        ("estimator:", "search: {space: {}}, estimator:", False),
        ("estimator:", "search: {space: {C: {low: 1}}}, estimator:", False),
        ("files:", "sql: select 1, conn_id: a, files:", False),
        ("files:", "labels: True, files:", False),
        ("files:", "format: xml, files:", False),
        ("visits:", "Visits:", False),
        ("data: {", "data: {from: other, ", False),
        ("data: {", "data: {start: 2013-01-01, schedule: '0 6 * * *', ", True),
        ("data: {", "data: {start: 1.1.2013, ", False),
        ("data: {ingest: {visits: {files: 'in/{batch}.csv'}}}", "data: {from: other}", True),
        ("data: {", "data: {validate: {visits: {max_failed: 2}}, ", False),
        ("data: {", "data: {transform: {select: x}, ", False),
        ("pipeline: churn", "pipeline: Churn", False),
        ("pipeline: churn", "owner: b", False),
    ],
)
def test_agrees_with_the_loader_about_sections(old: str, new: str, good: bool) -> None:
    text = SMALLEST.replace('"', "'").replace(old, new)

    assert new in text
    assert (valid(text), accepted(text)) == (good, good)


WHOLE = """\
pipeline: churn
tags: [growth]
defaults: {retries: 2, retry_delay: 30s, runs_on: local}
data:
  schedule: "@monthly"
  start: 2026-01-01
  ingest:
    visits: {files: "in/{batch}.csv", unique_key: [id], on_schema_change: reject}
    plans: {sql: select 1, conn_id: shop, reference: true}
  validate: {visits: {expectation_suite: suite.json, max_failed: 0.02, dataset: {name: v, version: 3}}}
  transform: {project_dir: dbt_project, publish: [rows], vars: {a: [1]}, execution_timeout: 1h}
training:
  dataset: {target: churned, columns: [age, plan], window: 90d}
  train:
    python_callable: include.code.train
    parameters: {depth: null}
    search: {space: {C: {low: 0.1, high: 10, log: true}, kernel: [rbf, 3]}, time: 1h}
    runs_on: {kubernetes: {image: a, cpu: 2, volumes: {data: {claim: c, mount_path: /data}}, tolerations: [{key: a}]}}
  evaluate: {holdout: 10d, gates: {log_loss: {vs_champion: better, alpha: 0.1}}, slices: [plan]}
  approval: {approvers: [risk], timeout: 2d}
scoring: {dataset: rows, probation: 1, deadline: 1h}
tasks:
  warm: {operator: include.code.Warm, after: train, before: [evaluate], arguments: {a: [b]}, retry_delay: 1m}
monitoring:
  drift: {page: [plan], false_alarms: 0.01}
  performance: {metrics: [log_loss]}
  retrain: {when: {log_loss: {above: 0.04}}, quiet: {dates: [{first: 2026-01-01, last: 2026-01-02}]}}
notify: {on: [refused], notifier: include.code.Notifier, arguments: {path: alerts.jsonl}}
"""
PLACES = list(parse(WHOLE, "a.yaml").marks)
VALUES = st.sampled_from(
    [None, True, 0, 1, -1, 0.5, 3.5, "", "a", "A b", "local", "expanding", "1d", "90", "2026-01-01", "better", "friday",
     "16Gi", [], ["a"], [1], [{}], [["a"]], {}, {"a": 1}, {"A": {}}, {"a": {}}, {"name": "a"}, {"low": 1, "high": 2},
     {"python": "a"}, {"kubernetes": {}}, {"first": "2026-01-01"}, {"above": 1}]
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES, st.booleans()), min_size=1, max_size=3))
@example([(("data",), None, False)])
@settings(max_examples=400, deadline=None)
def test_what_the_loader_accepts_is_valid_whatever_is_written(changes: list[tuple[tuple[Any, ...], Any, bool]]) -> None:
    data = parse(WHOLE, "a.yaml").data
    for path, value, beside in changes:
        place: Any = data
        for key in path[:-1]:
            place = place[key] if isinstance(place, dict) and key in place else None
        if isinstance(place, dict) and path:
            place["other" if beside else path[-1]] = deepcopy(value)
    text = yaml.safe_dump(data, sort_keys=False)

    assert valid(text) or not accepted(text)


def test_every_key_says_what_it_means() -> None:
    silent = [path for path, key in keys(SCHEMA) if not key.get("description")]

    assert silent == []
    links = [path for path, key in keys(SCHEMA) if re.search(r"\]\(|templated", key["description"])]
    assert links == []


def keys(part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(part, dict):
        for key, value in part.get("properties", {}).items():
            if isinstance(value, dict) and "not" not in value:
                yield f"{path}.{key}".lstrip("."), value
        for name, inner in part.items():
            if name not in ("examples", "default"):
                yield from keys(inner, path if name in ("properties", "anyOf") else f"{path}.{name}".lstrip("."))
    elif isinstance(part, list):
        for inner in part:
            yield from keys(inner, path)


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_are_valid_where_they_stand(path: str) -> None:
    part = SCHEMA
    for key in path.split(".") if path else []:
        part = part["additionalProperties"] if key == "NAME" else part["properties"][key]
    assert part["examples"] == EXAMPLES[path]
    check = Draft202012Validator({**part, "$defs": SCHEMA["$defs"]})

    assert [error.message for example in EXAMPLES[path] for error in check.iter_errors(example)] == []


def test_the_command_prints_it_without_airflow(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
    code = (
        "import sys; from airflow_mlops_provider.factory.schema import schema; schema(); "
        "assert not {'airflow', 'pandas', 'duckdb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPO)
