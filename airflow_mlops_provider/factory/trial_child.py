"""The process of a trial: it makes Airflow's database, runs the DAGs and prints how each task ended."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from airflow_mlops_provider.factory.plan_data import DagPlan, PipelinePlan
from airflow_mlops_provider.factory.trial import PLAN
from airflow_mlops_provider.factory.trial_lines import line_of
from airflow_mlops_provider.factory.trial_runs import TrialRun, people

__all__ = ["main", "trial_dags"]

_SHOWN = re.compile(r"LINE \d+:.*|[\s^~]*")
# By DAG and task: why a task of this process failed.
_ERRORS: dict[tuple[str, str], str] = {}


def trial_dags() -> dict[str, Any]:
    """Return the DAGs of this AIRFLOW_HOME's trial by id; nothing is retried, as nothing is waited for."""
    from airflow_mlops_provider.factory.build import build_dag

    home = Path(os.environ["AIRFLOW_HOME"])
    planned, given = _planned(home), json.loads((home / "runs.json").read_text())
    # Airflow looks for the bundle around a DAG's file, which for a trial lies elsewhere.
    loader = str(Path(given["bundle"]) / f"{given['file']}.py")
    found = {dag.dag_id: build_dag(planned, dag, loader) for dag in planned.dags}
    for dag in found.values():
        for task in dag.tasks:
            task.retries = 0
            task.on_failure_callback = []
    return found


def _remember() -> None:
    """Keep why a step's task fails: Airflow 3.2's `dag.test()` tells no callback."""
    from airflow_mlops_provider.operators.base import StepOperator

    execute = StepOperator.execute

    def remembering(self: StepOperator, *given: Any, **named: Any) -> Any:
        try:
            return execute(self, *given, **named)
        except Exception as exc:
            # Databases end with the line of a query and a caret below it.
            said = [line for line in str(exc).strip().splitlines() if not _SHOWN.fullmatch(line)]
            _ERRORS[self.dag_id, self.task_id] = said[-1] if said else type(exc).__name__
            raise

    # Of the class: what runs is a copy of the DAG's task.
    StepOperator.execute = remembering  # type: ignore[method-assign]


def main(home: Path) -> int:
    """Run what runs.json says and report on the process's output; all other words go to log.txt."""
    report = os.fdopen(os.dup(1), "w", buffering=1)
    with (home / "log.txt").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        given = json.loads((home / "runs.json").read_text())
        sys.path.insert(0, given["bundle"])
        # MLflow of some versions makes a folder where it is called, and a worker of Airflow's is called anywhere.
        os.chdir(home)
        try:
            return _Trial(home, report).run([TrialRun(**run) for run in given["runs"]])
        except Exception as exc:
            print(f"failed: {type(exc).__name__}: {exc}", file=report)
            raise


def _planned(home: Path) -> PipelinePlan:
    return PipelinePlan.from_json(json.loads((home / PLAN).read_text()))


class _Trial:
    """One trial's DAGs and what is printed of them."""

    def __init__(self, home: Path, report: TextIO) -> None:
        self.home, self.report = home, report
        self.planned = _planned(home)

    def run(self, runs: list[TrialRun]) -> int:
        """Run one after the other, up to the first that fails; return the exit status."""
        began, failed, tasks = time.monotonic(), False, 0
        self._say(f"{self.planned.pipeline}: {len(runs)} DAG runs")
        bag = self._bag()
        for run in runs:
            self._say(f"{run.dag_id}{f', batch {run.batch}' if run.batch else ''}")
            if run.note:
                self._say(f"  {run.note}")
            dag = self.planned.dag(run.dag_id)
            ended = self._ended(bag[run.dag_id], run, dag)
            tasks += len(ended)
            failed = any(state in ("failed", "upstream_failed") for _, state, _, _ in ended)
            for line in ended:
                self._say("  {:<14} {:<9} {:>6}  {}".format(*line).rstrip())
            if failed:
                break
        seconds = time.monotonic() - began
        self._say(f"{'failed' if failed else 'all well'}: {tasks} tasks in {seconds:.0f} s")
        return 1 if failed else 0

    def _bag(self) -> dict[str, Any]:
        from airflow.utils.db import initdb

        # Made from Airflow's own models: a second, where its migrations one by one are most of a minute.
        initdb()
        _remember()
        return trial_dags()

    def _ended(self, dag: Any, run: TrialRun, planned: DagPlan) -> list[tuple[str, str, str, str]]:
        """Return (task, state, seconds, what came out) of each task, in the plan's order."""
        unasked = dict.fromkeys(people(planned), "answered yes: a trial asks nobody")
        unasked["start_training"] = "a training is due: a trial starts no other"
        unasked |= {task.task_id: "not run: an operator of your own" for task in planned.tasks if task.free}
        pattern = re.compile("|".join(map(re.escape, unasked)))
        when = {"logical_date": datetime.fromisoformat(run.logical_date)} if run.logical_date else {}
        dag_run = dag.test(mark_success_pattern=pattern, **when)
        states, results = _found(dag_run)
        lines = []
        for task in planned.tasks:
            state, seconds = states.get(task.task_id, ("none", 0.0))
            said = line_of(task.task_id, results.get(task.task_id))
            if state == "failed":
                said = _ERRORS.pop((run.dag_id, task.task_id), "see log.txt")
            said = unasked.get(task.task_id, said) if state == "success" else said
            lines.append((task.task_id, state, f"{seconds:.1f} s" if seconds else "", said))
        return lines

    def _say(self, line: str) -> None:
        print(line, file=self.report, flush=True)


def _found(dag_run: Any) -> tuple[dict[str, tuple[str, float]], dict[str, Any]]:  # Airflow's DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        of_run = select(XComModel).where(XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id)
        results = {row.task_id: row.value for row in session.scalars(of_run) if row.key == "return_value"}
        states = {
            ti.task_id: (str(ti.state), float(ti.duration or 0.0)) for ti in dag_run.get_task_instances(session=session)
        }
    return states, results


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
