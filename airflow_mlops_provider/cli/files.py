"""The commands about pipeline files: run, test, plan, lint, schema, retrain simulate."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_mlops_provider.factory.config import FactoryConfig

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:  # argparse's subparsers, whose class has no public name
    """Add them to `airflow-mlops`."""
    run = commands.add_parser("run", help="run one task or section here, without Airflow")
    run.add_argument("file", type=Path)
    run.add_argument("name", help="a section (data, training, scoring, monitoring) or a task (ingest, train, ...)")
    run.add_argument("--batch", metavar="ID", help="start of a batch, such as 2013-04-01")
    run.add_argument("--run-id", metavar="ID", help="run whose results are read and written")
    run.add_argument("--lake", metavar="DIR", help="lake where the file names none")
    run.set_defaults(command=_run)

    trial = commands.add_parser("test", help="run the DAGs of a file once, in an Airflow of their own")
    trial.add_argument("file", type=Path)
    trial.add_argument("--keep", type=Path, metavar="DIR", help="new folder for what is made; it stays")
    trial.set_defaults(command=_test)

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

    for command in (run, trial, plan, simulate):
        command.add_argument("--environment", metavar="NAME", help="one of the file's environments")
        command.add_argument("--pipeline", metavar="NAME", help="one of the pipelines that the file's matrix makes")
    for command in (run, trial, plan, lint, simulate):
        command.add_argument("--bundle", type=Path, metavar="DIR", help="root of the bundle (default: see below)")
        command.epilog = "The bundle is the working directory where the file lies below it, else the file's folder."


def _run(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.local import LocalRun
    from airflow_mlops_provider.factory.plan import plan

    config = FactoryConfig.from_environment()
    config = replace(config, lake=given.lake or config.lake)
    bundle = _bundle(given)
    planned = plan(given.file, environment=given.environment, bundle=bundle, config=config, pipeline=given.pipeline)
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


def _test(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.trial import trial

    named = {"environment": given.environment, "pipeline": given.pipeline}
    return trial(given.file, bundle=_bundle(given), keep=given.keep, **named)


def _plan(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.plan import one_of, plans
    from airflow_mlops_provider.factory.show import plan_text

    found = plans(given.file, environment=given.environment, bundle=_bundle(given))
    found = [one_of(found, given.pipeline)] if given.pipeline else found
    if given.against:
        from airflow_mlops_provider.factory.compare import compared
        from airflow_mlops_provider.factory.earlier import earlier_plans

        config = FactoryConfig.from_environment()
        config = replace(config, environment=given.environment or config.environment)
        earlier = earlier_plans(given.against, given.file, config, _bundle(given), only=given.pipeline)
        print(compared(earlier, found, given.against, given.format))
    elif given.manifest:
        from airflow_mlops_provider.factory.pods import manifest_text

        print(manifest_text(one_of(found, None), given.manifest, FactoryConfig.from_environment()), end="")
    elif given.format == "json":
        data = [planned.as_json(provenance=True) for planned in found]
        print(json.dumps(data if len(data) > 1 else data[0], indent=2))
    else:
        print("\n".join(map(plan_text, found)), end="")
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
        pipeline=given.pipeline,
    )
    text = result.model_dump_json(indent=2) if given.format == "json" else simulation_text(result)
    print(text)
    return 0


def _bundle(given: argparse.Namespace, file: Path | None = None, folder: Path | None = None) -> Path:
    """Return the bundle's root: as given, else the working directory if the file lies below it, else its folder.

    `folder` is the one that was named, where the file was found below it.
    """
    if given.bundle is not None:
        return Path(given.bundle)
    path = (file or given.file).resolve()
    return Path.cwd() if path.is_relative_to(Path.cwd()) else folder or path.parent
