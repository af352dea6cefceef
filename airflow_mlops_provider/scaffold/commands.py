"""The commands `init` and `suite suggest`: their words and what they do."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import ConfigError

if TYPE_CHECKING:
    from airflow_mlops_provider.scaffold.folder import Place

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:  # argparse's subparsers, whose class has no public name
    """Add both commands to `airflow-mlops`."""
    init = commands.add_parser("init", help="write a new pipeline, from one CSV file or a template")
    init.add_argument("name", metavar="NAME", nargs="?", help="name of the pipeline and of its folder")
    source = init.add_mutually_exclusive_group(required=True)
    source.add_argument("--from", dest="source", type=Path, metavar="CSV", help="file with a header, in UTF-8")
    source.add_argument("--template", metavar="T", help="one of --list")
    source.add_argument("--list", action="store_true", help="print the templates")
    init.add_argument("--target", metavar="COLUMN", help="with --from: what is predicted")
    init.add_argument("--time", metavar="COLUMN", help="with --from: when a row's facts were known")
    init.add_argument("--into", type=Path, metavar="DIR", help="parent folder (default: dags/ where it is, else here)")
    init.set_defaults(command=_init)

    suite = commands.add_parser("suite", help="expectation suites")
    suggest = suite.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "suggest", help="print a suite that a CSV or Parquet file suggests"
    )
    suggest.add_argument("file", type=Path)
    suggest.set_defaults(command=_suggest)


def _init(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.scaffold.folder import place_of

    if given.list:
        return _list()
    if given.name is None:
        raise ConfigError("which NAME is the pipeline to have? airflow-mlops init NAME ...")
    place = place_of(given.name, given.into)
    if given.template:
        return _from_template(place, given)
    if given.target is None:
        raise ConfigError("--from needs --target COLUMN: what is to be predicted?")
    from airflow_mlops_provider.scaffold.from_csv import from_csv
    from airflow_mlops_provider.scaffold.told import told

    made = from_csv(place, given.source, given.target, given.time, datetime.now(UTC).date())
    print(told(made, place))
    return 0


def _list() -> int:
    from airflow_mlops_provider.scaffold.template import templates

    for name, template in templates().items():
        info = template.info()
        print(f"{name} {info.version} ({template.origin}): {info.description}")
    return 0


def _from_template(place: Place, given: argparse.Namespace) -> int:
    from airflow_mlops_provider.scaffold.template import from_template
    from airflow_mlops_provider.scaffold.told import next_commands

    if given.target or given.time:
        raise ConfigError("--target and --time go with --from: a template says its own")
    info = from_template(place, given.template)
    print(f"wrote {place.folder}/ from {given.template}, version {info.version}: {info.description}\n")
    print(next_commands(place))
    return 0


def _suggest(given: argparse.Namespace) -> int:
    from airflow_mlops_provider.scaffold.suite import suggested_from

    print(json.dumps(suggested_from(given.file), indent=2, ensure_ascii=False, allow_nan=False))
    return 0
