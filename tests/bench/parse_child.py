"""`parse_child '[{side: folder}, airflow_home, n, kept]'`, run as a module: fork a child a reading, sides in turn."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["main"]


def preimport(folders: dict[str, str]) -> None:
    """Import what the DAG processor's manager imports before it forks: itself, and `airflow.*` that files name."""
    import importlib

    import airflow.dag_processing.processor
    import airflow.sdk  # noqa: F401
    from airflow.dag_processing.dagbag import BundleDagBag  # noqa: F401

    for folder in folders.values():
        for file in Path(folder, "dags").glob("*.py"):
            for name in re.findall(r"^(?:from|import) (airflow\.[\w.]+)", file.read_text(), re.MULTILINE):
                importlib.import_module(name)


def reading(folder: str) -> dict[str, Any]:
    """Return CPU seconds, new modules, tasks and peak memory of one reading, done in a fork."""
    come, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(go, json.dumps(_read(folder)).encode())
        os._exit(0)
    os.close(go)
    with os.fdopen(come) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    os.waitpid(pid, 0)
    return found


def _read(folder: str) -> dict[str, Any]:
    from airflow.dag_processing.dagbag import BundleDagBag

    known, began = set(sys.modules), time.process_time()
    # Airflow puts the bundle's root on the path.
    sys.path.insert(0, folder)
    bag = BundleDagBag(dag_folder=f"{folder}/dags", bundle_path=Path(folder), bundle_name="bench")
    took = time.process_time() - began
    if bag.import_errors:
        raise RuntimeError(f"{folder}: {bag.import_errors}")
    return {
        "cpu": took,
        "modules": sorted(set(sys.modules) - known),
        "tasks": sum(len(dag.tasks) for dag in bag.dags.values()),
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    folders, home, n, kept = json.loads(sys.argv[1])
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": f"{folders['ours']}/dags",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW__MLOPS__LAKE": f"{home}/lake",
    }
    preimport(folders)
    gc.collect()
    gc.freeze()  # as the manager does; without it a collection in each fork costs 0.1 s
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in folders}
    if kept:
        reading(folders["ours"])
    for _ in range(n):
        for side, folder in folders.items():
            if not kept:
                shutil.rmtree(Path(home, ".mlops_plans"), ignore_errors=True)
            found[side].append(reading(folder))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
