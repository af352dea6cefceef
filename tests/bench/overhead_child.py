"""`python -m tests.bench.overhead_child '[folder, n]'`: CPU seconds of n runs of each DAG there, one after another."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from tests.bench.child import cpu

__all__ = ["main"]


def main() -> None:
    folder, n = json.loads(sys.argv[1])
    with contextlib.redirect_stdout(sys.stderr):
        from airflow.dag_processing.dagbag import BundleDagBag
        from airflow.utils.db import initdb

        initdb()
        bag = BundleDagBag(dag_folder=folder, bundle_path=Path(folder), bundle_name="dags-folder")
        if bag.import_errors:
            raise RuntimeError(bag.import_errors)
        found: dict[str, list[float]] = {dag_id: [] for dag_id in sorted(bag.dags, reverse=True)}
        for _ in range(n + 1):
            for dag_id, times in found.items():
                began = cpu()
                state = str(bag.dags[dag_id].test().state)
                times.append(cpu() - began)
                if state != "success":
                    raise RuntimeError(f"{dag_id}: {state}")
    # The first run of a process pays for what Airflow sets up once.
    print(json.dumps({dag_id: times[1:] for dag_id, times in found.items()}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
