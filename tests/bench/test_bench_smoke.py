"""`make bench` works: a cheap row is measured in real processes, and its JSON has the form that is read elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import Figure, Side, run_child
from tests.bench.row import Row, as_table, compared, write

ROOT = Path(__file__).parents[2]


def test_one_row_is_measured_printed_and_written(tmp_path):
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", "tests.bench", "--only", "imports", "--repeats", "1", "--results", str(results)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "import_operators_factory" in done.stdout
    (row,) = json.loads(results.read_text())
    assert {"name", "ours", "peer", "floor", "ratio", "unit", "n", "command", "goal", "met"} <= row.keys()
    assert row["name"] == "import_operators_factory"
    assert row["ours"] > 0
    assert row["command"] == "make bench ONLY=imports"


def test_a_child_counts_its_own_work_and_memory_and_its_childrens():
    found = run_child(Side("tests.bench.test_bench_smoke:work", {"mb": 80}), calls=2)
    assert found.mb > 80
    assert found.warm > 0.05


def work(place: Path, mb: int) -> None:
    block = bytearray(mb << 20)
    busy = "import time\nwhile time.process_time() < 0.1: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert place.is_dir()
    del block


def test_a_missed_goal_is_shown_as_missed(tmp_path):
    found = {"ours": Figure(3.0, 2.0, 10), "floor": Figure(1.0, 1.0, 10)}
    missed = compared("stage", found, 3, most=1.3)
    kept = compared("stage_first_call", found, 3, part="cold", most=4)
    assert (missed.met, missed.ratio) == (False, 2.0)
    assert (kept.met, kept.ratio) == (True, 3.0)
    assert "MISSED" in as_table([missed])
    assert "MISSED" not in as_table([kept])


def test_rows_replace_those_of_their_name_and_leave_the_others(tmp_path):
    path = tmp_path / "results.json"
    write([Row("a", 1.0, "s", 1, ""), Row("b", 1.0, "s", 1, "")], path)
    write([Row("a", 2.0, "s", 1, "")], path)
    assert {line["name"]: line["ours"] for line in json.loads(path.read_text())} == {"a": 2.0, "b": 1.0}
