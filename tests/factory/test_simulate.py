"""`airflow-mlops retrain simulate`: the file's policy, a changed one, another file's, over one history."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from airflow_mlops_provider.cli import main
from airflow_mlops_provider.steps.lake import Lake
from tests.steps.governed import World

FILE = """\
pipeline: p
model: m
training:
  dataset: {entities: labels, target: late, event_timestamp: at, unique_key: [id]}
  train: {estimator: sklearn.linear_model.LogisticRegression}
  evaluate: {holdout: 10d}
monitoring:
  schedule: "@monthly"
  performance: {metrics: [calibration_gap]}
  retrain: {when: {calibration_gap: {abs_above: 0.04}}, cooldown: 14d}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a pipeline file, in whose lake three months were decided on."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("AIRFLOW__MLOPS__")]:
        monkeypatch.delenv(name)
    world = World(Lake(str(tmp_path / ".mlops" / "lake")))
    world.promote("1")
    for month, gap in ((1, 0.01), (2, -0.06), (3, 0.045)):
        world.label(month)
        world.measure(month, gap)
        world.decide()
        if month == 2:
            world.conclude(2, "refused")
    (tmp_path / "p.yaml").write_text(FILE)
    return tmp_path / "p.yaml"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["retrain", "simulate", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_file_s_own_policy_is_what_the_ledger_says(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, first, second, third, space, ledger, written = said(capsys, str(file))
    assert re.split("  +", head) == [
        "batch", "version", "calibration_gap", "kept", "ledger", "written", "what happened", "reason",
    ]  # fmt: skip
    assert first.split()[:7] == ["2013-01-01", "1", "0.0100", "0.0100", "none", "none", "-"]
    assert second.split()[:8] == ["2013-02-01", "1", "-0.0600", "-0.0600", "retrain", "retrain", "2", "refused"]
    assert third.split()[4:9] == ["retrain", "retrain", "no", "training", "ended"]
    assert second.endswith("calibration_gap -0.0600, allowed at most +- 0.04; 0 columns drifted")
    assert (space, ledger) == ("", "ledger: 2 trainings, 0 promoted, 1 refused; calibration_gap 0.0383 on 3 batches")
    assert written == (
        "written: 2 trainings, 0 promoted, 1 refused; 3 of 3 decisions are the ledger's, 3 with its reason; "
        "calibration_gap kept 0.0383 on 3 batches"
    )


def test_a_changed_policy_stands_beside_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(
        capsys, str(file), "--policy", "when.calibration_gap.abs_above=0.005", "--policy", "debounce={times: 2, of: 2}"
    )
    assert lines[0].split()[4:7] == ["ledger", "written", "changed"]
    assert [line.split()[6] for line in lines[1:4]] == ["wait", "retrain", "retrain"]
    assert "1 of the last 1 judged batches asked, debounce wants 2 of 2" in lines[1]
    eager = said(capsys, str(file), "--policy", "when={calibration_gap: {above: 0}}", "--policy", "cooldown=60d")
    assert eager[1].split()[6] == "retrain"
    assert eager[3].split()[6:8] == ["wait", "?"]
    assert eager[-2] == (
        "changed: 1 training, 0 promoted, 0 refused; 1 never made, of whose models nothing is known; "
        "0 of 3 decisions are the ledger's, 0 with its reason; "
        "calibration_gap kept 0.0100 (served: 0.0100) on 1 batch, not known on 2"
    )
    assert eager[-1].startswith("?: said of the figures of the champion that served")


def test_another_file_s_policy_stands_beside_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = file.with_name("other.yaml")
    other.write_text(FILE.replace("pipeline: p", "pipeline: q").replace("0.04", "0.05"))
    lines = said(capsys, str(file), "--against", str(other))
    assert lines[0].split()[4:7] == ["ledger", "written", "against"]
    assert [line.split()[6] for line in lines[1:4]] == ["none", "retrain", "none"]


def test_as_json_with_every_figure(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads("\n".join(said(capsys, str(file), "--policy", "cooldown=40d", "--format", "json")))
    assert [replay["name"] for replay in found["replays"]] == ["written", "changed"]
    assert found["replays"][1]["policy"]["cooldown"] == "P40D"
    assert found["batches"][2]["replays"][1]["reason"].startswith(
        "30.9583 days from training p__2013-02-01, cool-down is 40"
    )
    assert found["batches"][1]["recorded"]["decision"] == "retrain"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("coldown=4d", "--policy coldown=4d: the policy has no key 'coldown'. Did you mean 'cooldown'?"),
        ("when.gap.abov=1", "--policy when.gap.abov=1: when.gap has no key 'abov'. Did you mean 'above'?"),
        ("cooldown=4", "--policy: cooldown: a duration such as 6h or 14d is wanted"),
        ("cooldown", "--policy cooldown: write KEY=VALUE, such as cooldown=30d or when.log_loss.above=0.6"),
        ("debounce={times: 3, of: 2}", "--policy: debounce: 3 of 2 batches can never ask: times is at most of"),
        ("when.gap.above=1", "retrain.when: gap is not measured on batch 2013-01-01; there are calibration_gap,"),
    ],
)
def test_a_change_that_fits_nothing_is_an_error(
    file: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    assert main(["retrain", "simulate", str(file), "--policy", change]) == 1
    assert message in capsys.readouterr().err


def test_a_file_without_a_policy_and_a_lake_without_history_are_errors(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retrain", "simulate", str(file), "--lake", "elsewhere"]) == 1
    assert "pipeline p: no batch of labels was decided on or measured yet" in capsys.readouterr().err
    file.write_text(FILE.partition("  retrain:")[0])
    assert main(["retrain", "simulate", str(file)]) == 1
    assert "p.yaml has no monitoring.retrain: there is no policy to replay" in capsys.readouterr().err
