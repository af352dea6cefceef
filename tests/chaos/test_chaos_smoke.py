"""`make chaos` works: a quick scenario holds once, and what does not hold is in the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.chaos.result import Found, as_table

ROOT = Path(__file__).parents[2]


def test_a_scenario_holds_once():
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--n", "1", "--only", "decisions"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split()[-1] == "0"


def test_a_violation_is_in_the_table():
    found = Found("nothing is lost", n=2)
    found.check(True, "not said")
    found.check(False, "batch 7 is there twice")
    table = as_table([found])
    assert "batch 7 is there twice" in table
    assert "not said" not in table
