"""The commands about machines: what a step needs, what is installed, pods that nobody waits for."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from typing import Any

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:  # argparse's subparsers, whose class has no public name
    """Add them to `airflow-mlops`."""
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
