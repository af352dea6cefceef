"""`python -m tests.bench [--only NAME] [--repeats N]`: measure, print the table, write .bench/results.json."""

from __future__ import annotations

import argparse
import os
import warnings
from dataclasses import replace
from pathlib import Path

from tests.bench import checks, drift, imports, mlflow_log, overhead, parse, pods, stages, triggers, waiting_pods
from tests.bench.measure import ROOT, SETTINGS
from tests.bench.row import Row, as_table, write

__all__ = ["BENCHES", "main"]

# What `--only` takes: each gives one row or several.
BENCHES = {
    "imports": imports.rows,
    "parse": parse.rows,
    "step_overhead": overhead.rows,
    "pods": pods.rows,
    "triggers": triggers.rows,
    "waiting_pods": waiting_pods.rows,
    "mlflow_log": mlflow_log.rows,
    **{name: stages.of(name) for name in stages.STAGES},
    "drift_profile": drift.rows,
    "validate_checks": checks.rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=BENCHES, help="one benchmark")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of runs, whose median is shown")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of drift_profile and validate_checks")
    parser.add_argument("--peer-rows", type=int, default=100_000, help="rows where Evidently and GX take part")
    parser.add_argument("--results", type=Path, default=ROOT / ".bench" / "results.json", help="where the JSON goes")
    given = parser.parse_args()
    os.environ.update(SETTINGS)
    warnings.simplefilter("ignore")  # of the libraries, while the demo's months are made; tests have them as errors
    made: list[Row] = []
    for name in [given.only] if given.only else BENCHES:
        print(f"{name}: {given.repeats} pairs ...", flush=True)
        for row in BENCHES[name](given):
            made.append(replace(row, command=f"make bench ONLY={name}"))
            write(made[-1:], given.results)
    print()
    print(as_table(made))


if __name__ == "__main__":
    main()
