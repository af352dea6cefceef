"""`airflow mlops ...`: the same commands in Airflow's own command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlops_provider.cli import main

ROOT = Path(__file__).parents[2]
AIRFLOW = [sys.executable, "-m", "airflow"]


@pytest.fixture
def airflow(tmp_path):
    """Return a function that runs Airflow's command line in a home of its own."""

    def airflow(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW__MLOPS")}
        environment |= {"AIRFLOW_HOME": str(tmp_path), "COLUMNS": "100", **settings}
        return subprocess.run(
            [*AIRFLOW, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
        )

    return airflow


@pytest.mark.slow
def test_its_help_lists_every_command_and_nothing_is_warned_of(airflow, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main(["--help"], name="airflow mlops")
    done = airflow("mlops", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == capsys.readouterr().out
    assert "usage: airflow mlops [-h]" in done.stdout


@pytest.mark.slow
def test_a_command_runs_there_and_gives_its_exit_status(airflow, tmp_path):
    sound = airflow("mlops", "lint", "dags/flights.yaml")
    assert (sound.returncode, sound.stdout, sound.stderr) == (0, "1 file: no error\n", "")
    (tmp_path / "bad.yaml").write_text("pipeline: Bad\n")
    broken = airflow("mlops", "lint", str(tmp_path / "bad.yaml"))
    assert broken.returncode == 1
    assert "not 'Bad'" in broken.stdout
    usage = airflow("mlops", "quarantine", "show", "orders")
    assert usage.returncode == 2
    assert "usage: airflow mlops quarantine show" in usage.stderr


@pytest.mark.slow
def test_it_has_the_settings_of_airflow_cfg(airflow, tmp_path):
    (tmp_path / "airflow.cfg").write_text("[mlops]\nlake = s3://acme-ml\n")
    done = airflow("mlops", "plan", "dags/flights.yaml")
    assert "lake s3://acme-ml" in done.stdout.splitlines()[0]


def test_airflows_own_commands_load_nothing_of_it():
    code = (
        "import sys; from airflow.cli import cli_parser; cli_parser.get_parser(); "
        "print(*(n for n in sys.modules if n.startswith('airflow_mlops_provider.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split()) - {"airflow_mlops_provider.get_provider_info"}
    assert loaded <= {"airflow_mlops_provider.ui", "airflow_mlops_provider.ui.command"}
