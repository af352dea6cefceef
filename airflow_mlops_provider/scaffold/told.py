"""What `init` found and wrote, in lines for a terminal."""

from __future__ import annotations

import textwrap

from airflow_mlops_provider.scaffold.folder import Place
from airflow_mlops_provider.scaffold.found import Found
from airflow_mlops_provider.scaffold.from_csv import Made
from airflow_mlops_provider.scaffold.key import ROW_ID
from airflow_mlops_provider.scaffold.text import printable

__all__ = ["next_commands", "told"]

_WIDTH = 118
_SHOWN = 12
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def told(made: Made, place: Place) -> str:
    """Return the lines: what was found, what was left out, what was written, what comes next."""
    found = made.found
    lines = [
        _line("read", _read(found)),
        _line("target", _target(found)),
        _line("key", _key(found)),
        _line("batches", _batches(made)),
        _line("features", _features(found)),
        *(
            textwrap.fill(printable(f"left out: {one.name}: {one.reason}"), _WIDTH, subsequent_indent="  ")
            for one in found.left_out
        ),
        _line("wrote", _written(made, place)),
    ]
    return "\n".join([*lines, "", next_commands(place)])


def next_commands(place: Place) -> str:
    """Return the commands that come next, from the folder where one is."""
    return "\n".join(["next:", *(f"  {place.command(verb)}" for verb in ("lint", "plan", "test"))])


def _line(name: str, text: str) -> str:
    return textwrap.fill(f"{name:9} {printable(text)}", _WIDTH, subsequent_indent=" " * 10, break_on_hyphens=False)


def _read(found: Found) -> str:
    by = _DELIMITERS[found.file.delimiter]
    point = "" if found.decimal_point == "." else ", decimal commas"
    return f"{found.file.path}: {found.file.rows:,} rows, {len(found.columns)} columns, parted by {by}{point}"


def _target(found: Found) -> str:
    target = found.target
    unknown = f"; {target.column.nulls:,} rows without it are not trained on" if target.column.nulls else ""
    if target.task == "regression":
        return f"{target.name}: a number from {target.column.low} to {target.column.high}, a regression{unknown}"
    asked = "true" if target.column.kind == "boolean" else target.positive or "1"
    against = f" against {target.negative}" if target.negative else ""
    return f"{target.name}: {asked} in {target.share:.1%} of the rows{against}, a classification{unknown}"


def _key(found: Found) -> str:
    if found.key:
        return f"{', '.join(found.key)}: unique, never null"
    twins = f"; complete duplicates of another row: {found.twins:,}" if found.twins else ""
    return f"no column names a row, so {ROW_ID}, the row's number, was put in as the first one{twins}"


def _features(found: Found) -> str:
    names = found.features
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)}: {', '.join(names[:_SHOWN])}{more}"


def _batches(made: Made) -> str:
    schedule, rows = made.found.schedule, made.parts.rows
    if schedule.by is None:
        return (
            f"no column says when, so two days were made up: {rows[0]:,} rows drawn by a hash to train on, and "
            f"{rows[1]:,} that play the data that come next"
        )
    said = f"{len(rows)}, {schedule.preset} by {schedule.by}, {schedule.start} to {schedule.batches[-1].id}"
    said += f", {min(rows):,} to {max(rows):,} rows; all but the last are trained on"
    return said + (f"; {made.parts.timeless:,} rows without {schedule.by} are in none" if made.parts.timeless else "")


def _written(made: Made, place: Place) -> str:
    name, count = place.name, len(made.parts.rows)
    files = f"{name}.yaml, {name}.py, expectations/{name}.json, README.md, .airflowignore"
    return f"{place.folder}/: {files}, {count} files in data/"
