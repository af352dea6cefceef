"""Who copies the page's commands gets what the page shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "first-pipeline.md").read_text()
PROGRAMS = {"python": [sys.executable], "airflow-mlops": [sys.executable, "-m", "airflow_mlops_provider"]}


def commands() -> list[tuple[str, list[str]]]:
    """Return each command of the page's console blocks with the lines that it is to print."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def run(command: str, folder: Path) -> str:
    words = shlex.split(command)
    full = [*PROGRAMS.get(words[0], words[:1]), *words[1:]]
    reader = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_")}
    reader["AIRFLOW_HOME"] = str(folder / "airflow")
    ended = subprocess.run(full, cwd=folder, env=reader, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def shown(lines: list[str]) -> re.Pattern[str]:
    """Return a pattern of what a page shows: `...` is any lines, a fraction any fraction."""
    parts = [r"(?:.*\n)*?" if line == "..." else f"{_fractions(line)}\n" for line in lines]
    return re.compile("".join(parts))


def _fractions(line: str) -> str:
    # How fast it was, and the last digits of a fit, are another machine's.
    pieces = re.split(r"-?\b\d+\.\d+\b|(?<=tasks in )\d+", line)
    return r"\s*[+-]?\d+(?:\.\d+)?".join(re.escape(piece.rstrip()) for piece in pieces)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as the page's reader has it."""
    (script,) = re.findall(r'^```python title="customers.py"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "customers.py").write_text(script)
    (tmp_path / "dags").mkdir()
    return tmp_path


def follow(folder: Path, leave_out: str = "\0") -> list[str]:
    """Run the page's commands, in order, and compare what they print; return those that ran."""
    done = [(command, lines) for command, lines in commands() if leave_out not in command]
    for command, lines in done:
        printed = run(command, folder)
        assert shown(lines).fullmatch(printed), f"{command} printed\n{printed}"
    return [command for command, _ in done]


def test_all_but_the_test(folder):
    assert len(follow(folder, leave_out="airflow-mlops test")) == 6


@pytest.mark.long
def test_every_command(folder):
    done = follow(folder)
    assert [command.split()[1] for command in done if command.startswith("airflow-mlops")] == [
        "init",
        "lint",
        "plan",
        "test",
        "init",
    ]


def test_a_line_that_is_not_there_is_seen():
    assert shown(["a", "...", "b 1.5"]).fullmatch("a\nx\ny\nb 2.25\n")
    assert not shown(["a", "...", "b 1.5"]).fullmatch("a\nx\ny\nc 2.25\n")
    assert not shown(["a"]).fullmatch("a\nb\n")


def test_airflow_has_the_dags_that_the_page_unpauses(folder, read_dags, dags, monkeypatch):
    run("python customers.py", folder)
    run(next(command for command, _ in commands() if " --from " in command), folder)
    shutil.copytree(folder / "dags" / "churn", dags / "churn")
    monkeypatch.syspath_prepend(str(dags))
    bag = read_dags()
    assert bag.import_errors == {}
    unpaused = re.search(r"for dag in ([a-z ]+); do airflow dags unpause churn-", PAGE)
    assert set(bag.dags) == {f"churn-{section}" for section in unpaused[1].split()}
