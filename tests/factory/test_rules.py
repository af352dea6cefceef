from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops_provider.factory.config import FactoryConfig

Errors = Callable[..., list[str]]

FILE = """\
pipeline: churn
data:
  ingest:
    visits: {%s}
training:
  dataset: {target: churned}
  train: {%s}
"""
FILES, SVC = "files: in.csv", "estimator: sklearn.svm.SVC"


def ingest(text: str) -> str:
    return FILE % (text, SVC)


def train(text: str) -> str:
    return FILE % (FILES, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ingest("python_callable: include.cod.visits"),
            ("4:31 data.ingest.visits.python_callable: no file include/cod.py in the bundle, and 'include.cod' is not "
            "under [mlops] allowed_modules (empty). Did you mean 'code.py'?"),
        ),
        (
            ingest("python_callable: include.code.nothing"),
            "4:31 data.ingest.visits.python_callable: include/code.py defines no 'nothing'",
        ),
        (
            ingest("python_callable: include.code.visit"),
            "4:31 data.ingest.visits.python_callable: include/code.py defines no 'visit'. Did you mean 'visits'?",
        ),
        (
            ingest("python_callable: include.code.wrong"),
            ("4:31 data.ingest.visits.python_callable: include.code.wrong takes (batch, day), but it is called as "
            "wrong(batch)"),
        ),
        (
            ingest("python_callable: include.code.later"),
            "4:31 data.ingest.visits.python_callable: include.code.later is async; write a plain function",
        ),
        (ingest("python_callable: visits"), ("4:31 data.ingest.visits.python_callable: 'visits' is no dotted name; "
         "write module.function")),
        (
            ingest("python_callable: os.system"),
            ("4:31 data.ingest.visits.python_callable: no file os.py in the bundle, and 'os' is not under [mlops] "
            "allowed_modules (empty)"),
        ),
        (train("python_callable: include.code.visits"), ("7:28 training.train.python_callable: include.code.visits "
         "takes (batch), but it is called as visits(data, params)")),
        (train("estimator: os.system"), ("7:22 training.train.estimator: no file os.py in the bundle, and 'os' is not "
         "under [mlops] allowed_modules (empty)")),
        (ingest("files: ../secrets.csv"), ("4:21 data.ingest.visits.files: '../secrets.csv' climbs out with '..'; "
         "write a path below the bundle")),
        (ingest("files: /etc/passwd"), ("4:21 data.ingest.visits.files: '/etc/passwd' is outside the bundle and not "
         "under [mlops] allowed_roots (empty)")),
        (ingest("files: 's3://acme/x.csv'"), ("4:21 data.ingest.visits.files: 's3://acme/x.csv' is outside the bundle "
         "and not under [mlops] allowed_roots (empty)")),
        (ingest("sql: select 1, conn_id: shop"), ("4:38 data.ingest.visits.conn_id: connection 'shop' is not one of "
         "[mlops] allowed_connections (empty)")),
        (train(SVC + ", runs_on: {kubernetes: {image: a}}"), ("7:69 training.train.runs_on.kubernetes.image: 'a' is "
         "not under [mlops] allowed_images (empty)")),
        (train(SVC + ", runs_on: {python: /opt/x/bin/python}"), ("7:57 training.train.runs_on.python: interpreter "
         "'/opt/x/bin/python' is not one of [mlops] allowed_interpreters (empty)")),
        (ingest("files: 'in-{{ conn.shop.password }}.csv'"), ("4:21 data.ingest.visits.files: template "
         "'{{ conn.shop.password }}' is not allowed: a file reads no connection and no variable of Airflow; name the "
         "connection by `conn_id`")),
        (ingest("files: 'in-{{ macros.now }}.csv'"), ("4:21 data.ingest.visits.files: template '{{ macros.now }}' is "
         "not allowed; a file may use data_interval_end, data_interval_start, ds, ds_nodash, logical_date, run_id, ts, "
         "ts_nodash, params.NAME")),
        (ingest(FILES).replace("data:", "data:\n  schedule: '0 0 31 2 *'"), ("3:13 data.schedule: '0 0 31 2 *' never "
         "comes: no month that it names has a day 31")),
        (ingest(FILES) + "lake: 's3://else'\n", ("8:7 lake: 's3://else' is outside the bundle and not under [mlops] "
         "allowed_roots (empty)")),
        (ingest(FILES) + "notify: {on: [failed], notifier: include.code.Sms}\n", ("8:34 notify.notifier: "
         "include/code.py defines no 'Sms'")),
        (ingest(FILES) + "scoring: {dataset: visit}\n", ("8:20 scoring.dataset: data makes no table 'visit'. Did you "
         "mean 'visits'?")),
        (ingest(FILES) + "scoring: {dataset: visits, reconcile: daily}\n", ("8:39 scoring.reconcile: 'daily' is no "
         "schedule: write one of @hourly, @daily, @weekly, @monthly, @quarterly, @yearly, or five cron fields")),
        (ingest(FILES + "}\n    plans: {files: p.csv"), ("7:3 training.dataset: 'entities' is missing: which table "
         "holds the labelled rows?")),
    ],
)  # fmt: skip
def test_says_line_key_and_way_out(errors: Errors, text: str, said: str) -> None:
    assert errors(text) == [f"churn.yaml:{said}"]


@pytest.mark.parametrize(
    "expression",
    ["conn.shop.password", "var.value.key", "ds.__class__", "ti.xcom_pull()", "macros.os", "run_id|upper", "params",
     "data_interval_start.year", "ds, conn"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["{{ %s }}", "{{%s}}", "{%% set x = %s %%}", "{{- %s -}}", "{{ %s"])
def test_no_template_reaches_beyond_the_run(errors: Errors, expression: str, form: str) -> None:
    (found,) = errors(ingest(f'files: "{form % expression}"'))

    assert "is not allowed" in found


@pytest.mark.parametrize("expression", ["ds", "ts_nodash", "data_interval_end | ds", "run_id"])
def test_run_fields_are_allowed(errors: Errors, expression: str) -> None:
    assert errors(ingest(f'files: "in/{{{{ {expression} }}}}.csv"')) == []


MODULE = """\
from somewhere import imported
import os.path
if True:
    def conditional(batch): ...
try:
    from fast import source
except ImportError:
    def source(batch): ...
def decorated_as(function): return lambda batch: function(batch, 1)
@decorated_as
def decorated(batch, day): ...
alias: object = conditional
first, (second, third) = 1, (2, 3)
"""


@pytest.mark.parametrize(
    "name",
    ["imported", "os", "conditional", "source", "decorated", "alias", "third"],
)
def test_a_function_may_be_defined_in_other_ways_than_by_def(errors: Errors, bundle: Path, name: str) -> None:
    (bundle / "include" / "more.py").write_text(MODULE)

    assert errors(ingest(f"python_callable: include.more.{name}")) == []
    assert len(errors(ingest(f"python_callable: include.more.{name}_"))) == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [("(" * 5_000, "is not Python: "), ("x" * 2_000_000, "is larger than 1024 KiB"), ("def f(:", "is not Python: ")],
)
def test_a_source_that_python_refuses_is_an_error(errors: Errors, bundle: Path, source: str, said: str) -> None:
    (bundle / "include" / "more.py").write_text(source)

    (found,) = errors(ingest("python_callable: include.more.f"))
    assert f"include/more.py {said}" in found


def test_a_file_that_pythons_own_module_hides_is_not_what_would_run(errors: Errors, bundle: Path) -> None:
    (bundle / "shutil.py").write_text("def rmtree(batch): ...\n")

    (found,) = errors(ingest("python_callable: shutil.rmtree"))
    assert "shutil.py is hidden by Python's own module 'shutil'" in found


def test_a_notifier_is_given_no_connection_that_is_not_allowed(errors: Errors) -> None:
    told = "notify: {notifier: include.code.Notifier, arguments: {smtp_conn_id: admin}}\n"
    (found,) = errors(ingest(FILES) + told)

    assert "notify.arguments.smtp_conn_id: connection 'admin' is not one of [mlops] allowed_connections" in found


def test_a_path_takes_no_params(errors: Errors) -> None:
    (found,) = errors(ingest('files: "in/{{ params.day }}.csv"'))

    assert "a path takes no params, or who starts a run would choose it" in found


def test_a_results_name_is_this_packages_own(errors: Errors) -> None:
    smuggled = "ingest.batch'] ~ conn.airflow_db.password ~ ti['task_id"
    (found,) = errors(train(f'{SVC}, parameters: {{s: {{$result: "{smuggled}"}}}}'))

    assert "'$result' is this package's own key" in found


def test_what_is_allowed_passes(errors: Errors) -> None:
    text = (
        ingest("files: 's3://acme/raw/{batch}.csv', conn_id: aws") + "defaults: {runs_on: {python: /opt/ml/bin/python}}"
    )
    allowed = {"allowed_roots": ("s3://acme",), "allowed_connections": ("*",)}

    assert errors(text, allowed_interpreters=("/opt/ml/bin/python",), **allowed) == []
    assert errors(train("python_callable: acme.models.fit"), allowed_modules=("acme",)) == []
    assert errors(ingest("python_callable: include.code.other")) == []


def test_a_root_is_a_whole_folder(errors: Errors) -> None:
    assert len(errors(ingest("files: /data/raw2/a.csv"), allowed_roots=("/data/raw",))) == 1
    assert len(errors(train("python_callable: acmeplus.fit"), allowed_modules=("acme",))) == 1


def test_a_link_does_not_lead_out_of_the_bundle(errors: Errors, bundle: Path) -> None:
    (bundle / "in").symlink_to("/etc")

    assert errors(ingest("files: in/passwd")) == [
        "churn.yaml:4:21 data.ingest.visits.files: 'in/passwd' leaves the bundle through a link"
    ]


def test_validate_and_performance_must_find_what_they_are_about(errors: Errors) -> None:
    text = """\
    pipeline: churn
    data:
      ingest: {visits: {files: a.csv}, plans: {files: b.csv, reference: true}}
      validate:
        visit: {expectation_suite: suite.json}
        plans: {expectation_suite: missing.json}
      transform: {project_dir: dbt}
    monitoring: {performance: {labels: visits, target: churned}}
    """

    assert errors(text) == [
        "churn.yaml:5:5 data.validate.visit: no dataset 'visit' is ingested. Did you mean 'visits'?",
        (
            "churn.yaml:6:5 data.validate.plans: 'plans' is a reference table: it is not staged; give "
            "`dataset: {name: plans}` to check the table"
        ),
        "churn.yaml:6:32 data.validate.plans.expectation_suite: no file 'missing.json' in the bundle",
        "churn.yaml:7:28 data.transform.project_dir: no folder 'dbt' in the bundle",
        (
            "churn.yaml:8:14 monitoring.performance: 'unique_key' is not known: write it here or `unique_key` in "
            "training.dataset"
        ),
    ]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("drift: {current: {name: v}}", "monitoring: 'schedule' is missing: without data and scoring nothing wakes it"),
        (
            "schedule: '@daily', drift: {}",
            "monitoring.drift: nothing is watched: give `current: {name: TABLE}`, or a section scoring",
        ),
        (
            "schedule: daily, drift: {current: {name: v}}",
            (
                "monitoring.schedule: 'daily' is no schedule: write one of @hourly, @daily, @weekly, @monthly, "
                "@quarterly, @yearly, or five cron fields"
            ),
        ),
        (
            "schedule: '@daily', reconcile: '@daily', drift: {current: {name: v}}",
            "monitoring.reconcile: a schedule by the clock needs no other: remove reconcile",
        ),
        (
            "schedule: '@daily', drift: {current: {kind: sql, name: v, conn_id: x}}",
            "monitoring.drift.current.conn_id: connection 'x' is not one of [mlops] allowed_connections (empty)",
        ),
        (
            "schedule: '@daily', drift: {current: {kind: sql, name: v}}",
            "monitoring.drift.current: 'conn_id' is missing: which connection leads to the table?",
        ),
        (
            "schedule: '@daily', drift: {current: {kind: parquet, name: /etc/v}}",
            "monitoring.drift.current.name: '/etc/v' is outside the bundle and not under [mlops] allowed_roots (empty)",
        ),
        (
            "schedule: '@daily', drift: {}}\nscoring: {dataset: v",
            "monitoring.schedule: scoring wakes monitoring: remove the schedule",
        ),
    ],
)
def test_monitoring_alone_says_what_it_lacks(errors: Errors, section: str, said: str) -> None:
    (found,) = errors(f"pipeline: churn\nmonitoring: {{{section}}}\n")

    assert found.partition(" ")[2] == said


def test_a_holdout_needs_to_know_which_rows_are_the_last(errors: Errors) -> None:
    text = ingest(FILES) + "  evaluate: {holdout: 10d}\n"

    wanted = "8:23 training.evaluate.holdout: needs training.dataset.event_timestamp: which rows are the last?"
    assert errors(text) == [f"churn.yaml:{wanted} Or give a share of them, such as 0.2"]
    assert errors(text.replace("target: churned", "target: churned, event_timestamp: at")) == []
    assert errors(text.replace("10d", "0.2")) == []


@pytest.mark.parametrize(
    ("holdout", "said"),
    [
        ("0", "must be greater than 0, not 0"),
        ("0.6", "must be less than or equal to 0.5, not 0.6"),
        ("1", "must be less than or equal to 0.5, not 1"),
        ("10x", "a duration such as 15m, 6h or 14d is wanted, not '10x'"),
        ("0.2, refit: true", None),
    ],
)
def test_a_share_is_at_most_half_of_the_rows_and_not_fitted_on_later(
    errors: Errors, holdout: str, said: str | None
) -> None:
    (found,) = errors(ingest(FILES) + f"  evaluate: {{holdout: {holdout}}}\n")

    if said is not None:
        assert found == f"churn.yaml:8:23 training.evaluate.holdout: {said}"
    else:
        assert found.startswith("churn.yaml:8:35 training.evaluate.refit: fits on the rows that were held out")


def test_a_regression_is_watched_by_metrics_of_numbers(errors: Errors) -> None:
    text = ingest(FILES + ", unique_key: [id]") + "  evaluate: {holdout: 0.2, primary_metric: rmse}\n"
    text += "monitoring:\n  performance: {}\n  retrain: {when: {rmse_ratio: {above: 1.2}}}\n"

    (first, second) = errors(text)
    assert first.partition(" ")[2].startswith("monitoring.performance: without 'metrics' those of probabilities")
    assert "'rmse_ratio' is not among monitoring.performance.metrics" in second
    assert errors(text.replace("performance: {}", "performance: {metrics: [rmse, rmse_ratio]}")) == []


def test_a_search_is_judged_before_the_holdout(errors: Errors) -> None:
    text = train(SVC + ", search: {space: {C: {low: 0.1, high: 10, log: true}, kernel: [rbf, linear]}}")
    text = text.replace("target: churned", "target: churned, event_timestamp: at")

    (said,) = errors(text)
    assert said.startswith("churn.yaml:7:39 training.train.search: its trials are judged on as many rows before the")
    assert errors(text + "  evaluate: {holdout: 10d}\n") == []


def test_retraining_needs_rows_to_judge_by(errors: Errors) -> None:
    text = ingest(FILES).replace("target: churned", "target: churned, event_timestamp: at")
    text += "monitoring:\n  performance: {unique_key: [id]}\n  retrain: {when: {calibration_gap: {abs_above: 0.04}}}\n"

    (said,) = errors(text)
    assert said.startswith(
        "churn.yaml:10:3 monitoring.retrain: a retrained model is judged on rows that it was not fitted"
    )
    assert errors(text.replace("monitoring:", "  evaluate: {holdout: 10d}\nmonitoring:")) == []
    (said,) = errors(text.replace(", event_timestamp: at", ""))
    assert "give training.evaluate.holdout" in said


POD = "runs_on: {kubernetes: {image: acme/train:1, namespace: ml, service_account: trainer, gpu: a100}}"


def test_a_pod_names_what_airflows_people_allow(errors: Errors) -> None:
    text = train(f"{SVC}, {POD}")
    allowed = {
        "allowed_images": ("acme/",),
        "allowed_namespaces": ("ml",),
        "allowed_service_accounts": ("trainer",),
        "gpu_classes": '{"a100": {}}',
        "lake": "s3://lake",
    }

    assert errors(text, **allowed) == []
    for setting, key in (
        ("allowed_images", "image"),
        ("allowed_namespaces", "namespace"),
        ("allowed_service_accounts", "service_account"),
        ("gpu_classes", "gpu"),
    ):
        (said,) = errors(text, **{**allowed, setting: () if key != "gpu" else None})
        assert f"training.train.runs_on.kubernetes.{key}: " in said
        assert f"[mlops] {setting} (empty)" in said


@pytest.mark.parametrize(
    ("image", "prefix", "good"),
    [
        ("acme.io/train:1", "acme.io", True),
        ("acme.io.example.com/train", "acme.io", False),
        ("acme.io/train:1", "acme.io/train", True),
        ("acme.io/trainer", "acme.io/train", False),
        ("acme.io/train@sha256:ab", "acme.io/train", True),
        ("train", "train", True),
    ],
)
def test_an_image_is_under_a_prefix_by_whole_parts(image: str, prefix: str, good: bool) -> None:
    assert FactoryConfig(allowed_images=(prefix,)).allows_image(image) is good


def test_what_is_misspelt_in_a_pod_is_not_said_to_be_missing(errors: Errors) -> None:
    pod = "{image: acme/a, memory: 16 GB, volums: {lake: {claim: lake, mount_path: /srv}}}"
    text = train(f"{SVC}, runs_on: {{kubernetes: {pod}}}")

    assert errors(text, lake="/srv/lake") == [
        "churn.yaml:7:69 training.train.runs_on.kubernetes.image: 'acme/a' is not under [mlops] allowed_images (empty)",
        ("churn.yaml:7:85 training.train.runs_on.kubernetes.memory: a quantity of Kubernetes is wanted, such as 500m, "
         "2 or 16Gi, not '16 GB'"),
        ("churn.yaml:7:92 training.train.runs_on.kubernetes: unknown key 'volums'. Did you mean 'volumes'?"),
    ]  # fmt: skip


def test_a_pod_sees_the_lake(errors: Errors) -> None:
    text = train(SVC + ", runs_on: {kubernetes: {image: acme/a, volumes: {lake: {claim: lake, mount_path: /srv}}}}")
    config = {"allowed_images": ("acme/",)}

    assert errors(text, lake="s3://lake", **config) == []
    assert errors(text, lake="/srv/lake", **config) == []
    (said,) = errors(text, lake="/data/lake", **config)
    assert "the pod does not see the lake '/data/lake': mount a volume at that path" in said


def test_a_condition_on_what_nobody_measures_is_named(errors: Errors) -> None:
    text = train(SVC).replace("{target: churned}", "{target: churned, event_timestamp: at, unique_key: [id]}")
    text += "  evaluate: {holdout: 5d}\n"
    text += "monitoring:\n  performance: {metrics: [log_loss]}\n  retrain: {when: {logloss: {above: 1}}}\n"
    (said,) = errors(text)
    assert "monitoring.retrain.when.logloss: 'logloss' is not among monitoring.performance.metrics" in said
    (unsaid,) = errors(text.replace("when: {logloss: {above: 1}}", "cooldown: 14d"))
    assert "without 'when' calibration_gap and calibration_slope would ask" in unsaid
    assert errors(text.replace("{metrics: [log_loss]}", "{}").replace("when: {logloss: {above: 1}}", "")) == []
    assert "Did you mean 'log_loss'?" in said
