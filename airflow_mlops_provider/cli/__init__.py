"""`airflow-mlops`: a pipeline from its first file to its last retraining, on the command line. Needs no Airflow."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from airflow_mlops_provider import __version__
from airflow_mlops_provider.cli import files, kept, machine
from airflow_mlops_provider.exceptions import MlopsError
from airflow_mlops_provider.scaffold import commands as scaffold

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, *, name: str = "airflow-mlops") -> int:
    """Run one command and return its exit status: 0 good, 1 errors, a refused batch or a failed task, 2 usage.

    `name` is what usage calls the program.
    """
    given = _parser(name).parse_args(arguments)
    try:
        return int(given.command(given))
    except MlopsError as exc:
        print(exc, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` has; what is still buffered must not fail at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description="A model's whole life from one YAML file.")
    parser.add_argument("--version", action="version", version=f"airflow-mlops-provider {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for part in (scaffold, files, kept, machine):
        part.add_commands(commands)
    return parser
