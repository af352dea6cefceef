from __future__ import annotations

import time
from pathlib import Path

import pytest

from airflow_mlops_provider.cli import main
from airflow_mlops_provider.factory.secrets_rule import secret_faults

FILE = """\
pipeline: churn
data:
  ingest: {visits: {files: in.csv}}
  transform: {project_dir: dbt_project, vars: {dsn: "postgres://me:hunter2@db/x"}}
training:
  dataset: {target: churned}
  train: {estimator: sklearn.svm.SVC, parameters: {deep: [{api_key: hunter2}]}}
notify: {notifier: include.code.Notifier, arguments: {webhook_token: hunter2, nothing: no.Such}}
"""


@pytest.mark.parametrize(
    ("key", "value"),
    [("password", "x"), ("db_password", "x"), ("clientSecret", "x"), ("api-key", "x"), ("AWS_SECRET_ACCESS_KEY", "x"),
     ("Authorization", "Bearer x"), ("token", "x"), ("url", "https://me:x@host/p"), ("uri", "see s3://a:b@c and d")],
)  # fmt: skip
def test_what_looks_like_a_secret_is_told_without_it(key: str, value: str) -> None:
    ((path, message),) = secret_faults({"outer": [{key: value}]}, ("at",))
    assert path == ("at", "outer", 0, key)
    assert value not in message
    assert message.endswith("a pipeline file holds no secret: name a connection of Airflow that does")


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_tokens", "5"), ("token", 5), ("token", None), ("token", ""), ("token", "{{ params.token }}"), ("key", "x"),
     ("secret_name", "churn-db"), ("tokenizer", "bert"), ("pad_token", "<pad>"), ("password_conn_id", "x"),
     ("unique_key", "id"), ("url", "https://host:80/a@b"), ("url", "https://me@host/"),
     ("mail", "mailto:me@host"), ("time", "10:30 @ home")],
)  # fmt: skip
def test_what_is_none_is_let_through(key: str, value: object) -> None:
    assert list(secret_faults({key: value}, ())) == []


def test_a_password_of_digits_is_one() -> None:
    ((path, message),) = secret_faults({"db_password": 123456}, ())
    assert path == ("db_password",)
    assert "123456" not in message


def test_every_mapping_of_ones_own_is_looked_at_and_no_line_with_a_secret_is_shown(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bundle)
    (bundle / "churn.yaml").write_text(FILE.replace("Notifier,", "Notifer,"))
    assert main(["lint", "churn.yaml"]) == 1
    out = capsys.readouterr().out
    assert "hunter2" not in out
    assert [line.split(" ")[1] for line in out.splitlines()[:-1]] == [
        "data.transform.vars.dsn:",
        "training.train.parameters.deep[0].api_key:",
        "notify.notifier:",
        "notify.arguments.webhook_token:",
    ]


@pytest.mark.parametrize("text", ["a://" + "b" * 400_000, "://a:" * 100_000, "://" + ":" * 400_000, "a" * 400_000])
def test_a_hostile_text_is_answered_soon(text: str) -> None:
    began = time.monotonic()
    assert list(secret_faults({"a": text}, ())) == []
    assert time.monotonic() - began < 0.5
