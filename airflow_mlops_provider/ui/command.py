"""`airflow mlops ...`: the commands of `airflow-mlops` in Airflow's own command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from airflow.cli.cli_config import ActionCommand, Arg

__all__ = ["commands", "run"]

# Every `airflow` command loads this module: what is imported above is there already.
_NAME = "mlops"


def commands() -> list[ActionCommand]:
    """Return the one command that Airflow's provider manager asks for."""
    return [ActionCommand(name=_NAME, help="A model's whole life from one YAML file", func=run, args=(_Rest(),))]


def run(given: Namespace) -> None:
    """Run one command of `airflow-mlops` under `[mlops]` of airflow.cfg, and end with its exit status."""
    import os
    import sys
    from dataclasses import fields

    from airflow.sdk import conf

    from airflow_mlops_provider.cli import main
    from airflow_mlops_provider.factory.config import FactoryConfig

    # The commands read the environment: they know no Airflow.
    for option in (field.name for field in fields(FactoryConfig)):
        if said := conf.get("mlops", option, fallback=None):
            os.environ[f"AIRFLOW__MLOPS__{option.upper()}"] = said
    sys.exit(main(given.arguments, name=f"airflow {_NAME}"))


class _Rest(Arg):
    """All that follows, `--help` too: the commands' own parser reads it, so nothing is said twice."""

    def __init__(self) -> None:
        super().__init__(("arguments",))  # type: ignore[no-untyped-call]  # Airflow's own

    def add_to_parser(self, parser: ArgumentParser) -> None:
        """Let `parser` hand everything on."""

        def hand_on(given: Sequence[str], _: Namespace | None = None) -> tuple[Namespace, list[str]]:
            return Namespace(arguments=list(given), func=run), []

        parser.parse_known_args = hand_on  # type: ignore[method-assign, assignment]  # argparse has no such hook
