"""The commands about what was kept: rows in quarantine, models under watch, what trainings cost."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_mlops_provider.factory.config import FactoryConfig

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:  # argparse's subparsers, whose class has no public name
    """Add them to `airflow-mlops`."""
    quarantine = commands.add_parser("quarantine", help="show the rows that validations put aside")
    kinds = quarantine.add_subparsers(required=True, metavar="COMMAND")
    listed = kinds.add_parser("list", help="print datasets and batches with rows in quarantine, and why")
    listed.set_defaults(command=_quarantine_list)
    rows = kinds.add_parser("show", help="print a batch's rows in quarantine, each with its reasons")
    rows.add_argument("dataset", metavar="DATASET", help="a dataset that is validated")
    rows.add_argument("--batch", required=True, metavar="ID", help="a batch, such as 2013-04-01")
    rows.add_argument("--limit", type=int, default=20, metavar="N", help="rows to print (default: 20)")
    rows.set_defaults(command=_quarantine_show)
    for command in (listed, rows):
        command.add_argument("--lake", metavar="DIR", help="the lake (default: [mlops] lake, else .mlops/lake)")
        command.add_argument("--format", choices=("text", "json"), default="text")

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


def _quarantine_list(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.quarantine import batches, batches_text

    found = batches(given.lake or FactoryConfig.from_environment().lake)
    print(json.dumps(found, indent=2) if given.format == "json" else batches_text(found))
    return 0


def _quarantine_show(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.quarantine import rows, rows_text

    lake = given.lake or FactoryConfig.from_environment().lake
    found = rows(given.dataset, given.batch, limit=given.limit, lake=lake)
    print(json.dumps(found, indent=2) if given.format == "json" else rows_text(found))
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


def _cost(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.factory.cost import cost_text, model_costs

    rows = model_costs(given.model, lake=given.lake or FactoryConfig.from_environment().lake)
    print(json.dumps(rows, indent=2) if given.format == "json" else cost_text(rows))
    return 0
