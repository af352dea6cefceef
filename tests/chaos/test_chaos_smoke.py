"""`make chaos` works: every scenario holds once, and what does not hold ends it with a code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.result import Found, as_table

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_scenario_holds_once():
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--n", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()[-5:]] == ["0"] * 5


def test_a_violation_is_in_the_table():
    found = Found("nothing is lost", n=2)
    found.check(True, "not said")
    found.check(False, "batch 7 is there twice")
    table = as_table([found])
    assert "batch 7 is there twice" in table
    assert "not said" not in table
