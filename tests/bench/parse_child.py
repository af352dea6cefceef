"""`parse_child '[{side: folder}, home, n, what]'`, run as a module: fork a child a reading, sides in turn."""

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


def reading(folder: str, what: dict[str, Any]) -> dict[str, Any]:
    """Return CPU seconds, new modules, tasks and peak memory of one reading, done in a fork."""
    come, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(go, json.dumps(_read(folder, what)).encode())
        os._exit(0)
    os.close(go)
    with os.fdopen(come) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    os.waitpid(pid, 0)
    return found


def _read(folder: str, what: dict[str, Any]) -> dict[str, Any]:
    from airflow.dag_processing.dagbag import BundleDagBag

    if what["dag"]:
        # As the context manager of a task's process sets it.
        os.environ |= {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": what["dag"], "_AIRFLOW_PARSING_CONTEXT_TASK_ID": "train"}
    known, began = set(sys.modules), time.process_time()
    # Airflow puts the bundle's root on the path.
    sys.path.insert(0, folder)
    place = f"{folder}/dags/{what['file'] or ''}"
    bag = BundleDagBag(dag_folder=place, bundle_path=Path(folder), bundle_name="bench")
    took = time.process_time() - began
    if bag.import_errors or not bag.dags:
        raise RuntimeError(f"{folder}: {bag.import_errors or 'no DAG'}")
    return {
        "cpu": took,
        "modules": sorted(set(sys.modules) - known),
        "tasks": sum(len(dag.tasks) for dag in bag.dags.values()),
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    folders, home, n, what = json.loads(sys.argv[1])
    # Behind all else, for the peer alone.
    sys.path.append(f"{home}/peer")
    os.environ |= {
        "AIRFLOW_HOME": f"{home}/airflow",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": f"{folders['ours']}/dags",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW__MLOPS__LAKE": f"{home}/lake",
    }
    preimport(folders)
    gc.collect()
    gc.freeze()  # as the manager does; without it a collection in each fork costs 0.1 s
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in folders}
    if what["kept"]:
        reading(folders["ours"], what)
    for i in range(n):
        if what["changed"]:
            _edit(Path(folders["ours"], "dags", what["file"]).with_suffix(".yaml"), i)
        for side, folder in folders.items():
            if not what["kept"]:
                shutil.rmtree(Path(home, "airflow", ".mlops_plans"), ignore_errors=True)
            found[side].append(reading(folder, what))
    print(json.dumps(found), flush=True)


def _edit(file: Path, number: int) -> None:
    file.write_text(f"{file.read_text()}# edit {number}\n")


if __name__ == "__main__":
    main()
