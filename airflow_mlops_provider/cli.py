"""`airflow-mlops`: run, plan, lint and simulate a pipeline, adopt a model, its cost, what is installed. No Airflow."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_mlops_provider import __version__
from airflow_mlops_provider.exceptions import MlopsError
from airflow_mlops_provider.factory.config import FactoryConfig

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 good, 1 errors, a refused batch or a failed task, 2 usage."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.command(given))
    except MlopsError as exc:
        print(exc, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` has; what is still buffered must not fail at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airflow-mlops", description="A model's whole life from one YAML file.")
    parser.add_argument("--version", action="version", version=f"airflow-mlops-provider {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run one task or section here, without Airflow")
    run.add_argument("file", type=Path)
    run.add_argument("name", help="a section (data, training, scoring, monitoring) or a task (ingest, train, ...)")
    run.add_argument("--batch", metavar="ID", help="start of a batch, such as 2013-04-01")
    run.add_argument("--run-id", metavar="ID", help="run whose results are read and written")
    run.add_argument("--lake", metavar="DIR", help="lake where the file names none")
    run.set_defaults(command=_run)

    plan = commands.add_parser("plan", help="print the DAGs and tasks that a file makes")
    plan.add_argument("file", type=Path)
    plan.add_argument("--format", choices=("text", "json"), default="text")
    shown = plan.add_mutually_exclusive_group()
    shown.add_argument("--manifest", metavar="STEP", help="print the pod that a step would run in, as YAML")
    shown.add_argument("--against", metavar="REV|FILE", help="print what differs from a git revision or another file")
    plan.set_defaults(command=_plan)

    lint = commands.add_parser("lint", help="print every error of the files, with lines")
    lint.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="a pipeline file, or a folder of them")
    lint.add_argument("--format", choices=("text", "json", "github"), default="text")
    lint.set_defaults(command=_lint)

    schema = commands.add_parser("schema", help="print the JSON schema of a pipeline file, for editors")
    schema.set_defaults(command=_schema)

    retrain = commands.add_parser("retrain", help="try a retraining policy over a pipeline's history")
    simulate = retrain.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "simulate", help="print what a policy would have decided, batch by batch, beside what was decided"
    )
    simulate.add_argument("file", type=Path, help="the pipeline whose history is replayed, with its own policy")
    other = simulate.add_mutually_exclusive_group()
    other.add_argument(
        "--policy", action="append", metavar="KEY=VALUE", help="change a key below monitoring.retrain; repeatable"
    )
    other.add_argument("--against", type=Path, metavar="FILE", help="another pipeline file, for its policy")
    simulate.add_argument("--lake", metavar="DIR", help="lake where the file names none")
    simulate.add_argument("--format", choices=("text", "json"), default="text")
    simulate.set_defaults(command=_simulate)

    for command in (run, plan, simulate):
        command.add_argument("--environment", metavar="NAME", help="one of the file's environments")
    for command in (run, plan, lint, simulate):
        command.add_argument("--bundle", type=Path, metavar="DIR", help="root of the bundle (default: see below)")
        command.epilog = "The bundle is the working directory where the file lies below it, else the file's folder."

    adopt = commands.add_parser("adopt", help="take a registered model under watch: a reference profile and a ledger")
    adopt.add_argument("model", help="registered name in MLflow")
    adopt.add_argument(
        "--reference", required=True, metavar="DATASET", help="what is normal: a lake table, or see below"
    )
    adopt.add_argument("--version", metavar="V", help="version (default: the one of the alias)")
    adopt.add_argument("--alias", metavar="A", default="champion", help="alias that follows (default: champion)")
    adopt.add_argument("--event-timestamp", metavar="COLUMN", help="column of the reference whose days are compared")
    adopt.add_argument("--lake", metavar="DIR", help="lake of the ledger (default: [mlops] lake, else .mlops/lake)")
    adopt.epilog = "DATASET is a TABLE of the lake, parquet:PATH (or a glob or address) or sql:CONN_ID:TABLE_OR_QUERY."
    adopt.set_defaults(command=_adopt)

    cost = commands.add_parser("cost", help="print what trainings in pods used and cost, by run and model version")
    cost.add_argument("--model", metavar="M", help="registered name in MLflow (default: all)")
    cost.add_argument(
        "--lake", metavar="DIR", help="lake whose own MLflow is read where none is set, as in a local run"
    )
    cost.add_argument("--format", choices=("text", "json"), default="text")
    cost.set_defaults(command=_cost)

    requirements = commands.add_parser("requirements", help="print the pinned packages that a step needs")
    requirements.add_argument("step", metavar="STEP", help="a step, such as train")
    requirements.add_argument("--python", metavar="PATH", help="as installed for this interpreter")
    requirements.set_defaults(command=_requirements)

    doctor = commands.add_parser("doctor", help="say what is installed here, or for another interpreter")
    doctor.add_argument("--python", metavar="PATH", help="ask this interpreter")
    doctor.add_argument("--format", choices=("text", "json"), default="text")
    doctor.set_defaults(command=_doctor)
    swept = commands.add_parser("sweep-pods", help="delete pods and Secrets of steps that nobody waits for any more")
    swept.add_argument("--namespace", required=True, metavar="NS")
    swept.add_argument(
        "--older-than", type=float, required=True, metavar="HOURS", help="longer than any step of yours runs"
    )
    swept.add_argument("--dry-run", action="store_true", help="print them, delete nothing")
    swept.set_defaults(command=_sweep_pods)
    return parser


def _run(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.local import LocalRun
    from airflow_mlops_provider.factory.plan import plan

    config = FactoryConfig.from_environment()
    config = replace(config, lake=given.lake or config.lake)
    bundle = _bundle(given)
    planned = plan(given.file, environment=given.environment, bundle=bundle, config=config)
    local = LocalRun.of(planned, bundle, lambda task, message: print(f"{task}: {message.text}", flush=True))
    good = True
    for end in local.run(given.name, batch=given.batch, run_id=given.run_id):
        print(f"{end.task_id}: {end.status} in {end.seconds:.1f} s{_why(end)} (run {end.run_id})", flush=True)
        if end.trace:
            print(end.trace, file=sys.stderr)
        good = good and end.good
    return 0 if good else 1


def _why(end: Any) -> str:  # local.TaskEnd
    result = end.result or {}
    refused = [
        f"{k}: {'; '.join(v['refused_because'])}"
        for k, v in result.get("datasets", {}).items()
        if v.get("refused_because")
    ]
    reason = end.detail or result.get("reason") or " | ".join(refused)
    return f": {reason}" if reason else ""


def _plan(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.plan import plan
    from airflow_mlops_provider.factory.show import plan_text

    planned = plan(given.file, environment=given.environment, bundle=_bundle(given))
    if given.against:
        from airflow_mlops_provider.factory.compare import differences_json, differences_text
        from airflow_mlops_provider.factory.earlier import earlier_plan

        config = FactoryConfig.from_environment()
        earlier = earlier_plan(
            given.against, given.file, replace(config, environment=given.environment or config.environment)
        )
        as_json = given.format == "json"
        print(
            json.dumps(differences_json(earlier, planned), indent=2) if as_json else differences_text(earlier, planned)
        )
    elif given.manifest:
        from airflow_mlops_provider.factory.pods import manifest_text

        print(manifest_text(planned, given.manifest, FactoryConfig.from_environment()), end="")
    elif given.format == "json":
        print(json.dumps(planned.as_json(provenance=True), indent=2))
    else:
        print(plan_text(planned), end="")
    return 0


def _lint(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.check import lint_files
    from airflow_mlops_provider.factory.find import pipeline_files
    from airflow_mlops_provider.factory.show import errors_text, summary_text

    found = [(file, _bundle(given, file, folder)) for file, folder in pipeline_files(given.paths)]
    linted = lint_files(found, config=FactoryConfig.from_environment())
    print(errors_text(linted, given.format), end="")
    print(summary_text(linted), file=sys.stdout if given.format == "text" else sys.stderr)
    return 1 if any(file.errors for file in linted) else 0


def _schema(_: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.schema import schema

    print(json.dumps(schema(), indent=2, ensure_ascii=False))
    return 0


def _adopt(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.adopt import adopt_model

    config = FactoryConfig.from_environment()
    adopted = adopt_model(
        given.model,
        given.reference,
        version=given.version,
        alias=given.alias,
        event_timestamp=given.event_timestamp,
        lake=given.lake or config.lake,
    )
    line = f"{given.model} version {adopted.version} is {given.alias}: profile of {adopted.rows:,} rows"
    print(f"{line}, columns {', '.join(adopted.columns)}")
    return 0


def _simulate(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.simulate import simulated, simulation_text

    config = FactoryConfig.from_environment()
    result = simulated(
        given.file,
        changes=given.policy or (),
        against=given.against,
        environment=given.environment,
        bundle=_bundle(given),
        config=replace(config, lake=given.lake or config.lake),
    )
    text = result.model_dump_json(indent=2) if given.format == "json" else simulation_text(result)
    print(text)
    return 0


def _cost(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.cost import cost_text, model_costs

    rows = model_costs(given.model, lake=given.lake or FactoryConfig.from_environment().lake)
    print(json.dumps(rows, indent=2) if given.format == "json" else cost_text(rows))
    return 0


def _requirements(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.runners.requirements import pinned, pinned_by

    print("\n".join(pinned_by(given.python, given.step) if given.python else pinned(given.step)))
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.show import doctor_text
    from airflow_mlops_provider.runners.check import check, describe

    found = check(given.python) if given.python else describe()
    if not given.python:
        found["airflow"] = _airflow()
    print(json.dumps(found, indent=2) if given.format == "json" else doctor_text(found))
    return 0


def _airflow() -> str | None:
    from importlib.metadata import version

    return version("apache-airflow") if find_spec("airflow") else None


def _sweep_pods(given: argparse.Namespace) -> int:
    from datetime import UTC, datetime, timedelta

    from airflow_mlops_provider.runners.sweep import sweep

    age = timedelta(hours=given.older_than)
    for found in sweep(given.namespace, age, datetime.now(UTC), dry_run=given.dry_run):
        print(found)
    return 0


def _bundle(given: argparse.Namespace, file: Path | None = None, folder: Path | None = None) -> Path:
    """Return the bundle's root: as given, else the working directory if the file lies below it, else its folder.

    `folder` is the one that was named, where the file was found below it.
    """
    if given.bundle is not None:
        return Path(given.bundle)
    path = (file or given.file).resolve()
    return Path.cwd() if path.is_relative_to(Path.cwd()) else folder or path.parent
