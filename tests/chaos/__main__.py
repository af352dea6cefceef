"""`python -m tests.chaos --n N`: every scenario N times, a table, and exit code 1 if anything did not hold."""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["SCENARIOS", "main"]

# Pods and daemons last: they bring Airflow into this process.
SCENARIOS = ("writers", "audits", "promotions", "decisions", "pods", "daemons")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--n", type=int, default=3, help="how often each scenario runs")
    parser.add_argument("--only", choices=SCENARIOS, nargs="+", help="these scenarios")
    parser.add_argument("--seed", type=int, default=None, help="of the moments at which processes are killed")
    given = parser.parse_args()
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    from tests.chaos.result import as_table

    seed = random.randrange(2**32) if given.seed is None else given.seed
    draw = random.Random(seed)
    print(f"N = {given.n}, seed {seed}", flush=True)
    results = []
    for name in given.only or SCENARIOS:
        scenario = importlib.import_module(f"tests.chaos.{name}")
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as home:
            results.append(scenario.run(given.n, Path(home), draw))
        print(f"{results[-1].what}: {time.monotonic() - began:.0f} s", flush=True)
    print(as_table(results))
    return 1 if any(found.violations for found in results) else 0


if __name__ == "__main__":
    sys.exit(main())
