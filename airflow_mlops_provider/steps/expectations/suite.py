"""Read a Great Expectations suite (JSON of GX 1.x) strictly: every fault named, nothing evaluated."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.steps.expectations import query, rows, statistics
from airflow_mlops_provider.steps.expectations.base import Kwargs

__all__ = ["KNOWN", "Expectation", "Suite", "lint_suite", "load_suite"]

Severity = Literal["critical", "warning", "info"]

KNOWN: dict[str, type[Kwargs]] = {
    "expect_column_values_to_not_be_null": rows.ValuesNotNull,
    "expect_column_values_to_be_null": rows.ValuesNull,
    "expect_column_values_to_be_between": rows.ValuesBetween,
    "expect_column_values_to_be_in_set": rows.ValuesInSet,
    "expect_column_values_to_not_be_in_set": rows.ValuesNotInSet,
    "expect_column_values_to_match_regex": rows.MatchRegex,
    "expect_column_values_to_not_match_regex": rows.NotMatchRegex,
    "expect_column_value_lengths_to_be_between": rows.LengthBetween,
    "expect_column_value_lengths_to_equal": rows.LengthEqual,
    "expect_column_values_to_be_unique": rows.ValuesUnique,
    "expect_compound_columns_to_be_unique": rows.CompoundUnique,
    "expect_column_pair_values_a_to_be_greater_than_b": rows.PairGreater,
    "unexpected_rows_expectation": query.UnexpectedRows,
    "expect_column_mean_to_be_between": statistics.Mean,
    "expect_column_median_to_be_between": statistics.Median,
    "expect_column_min_to_be_between": statistics.Min,
    "expect_column_max_to_be_between": statistics.Max,
    "expect_column_stdev_to_be_between": statistics.Stdev,
    "expect_column_sum_to_be_between": statistics.Sum,
    "expect_column_unique_value_count_to_be_between": statistics.UniqueCount,
    "expect_column_proportion_of_unique_values_to_be_between": statistics.UniqueProportion,
    "expect_column_proportion_of_non_null_values_to_be_between": statistics.NonNullProportion,
    "expect_table_row_count_to_be_between": statistics.RowCountBetween,
    "expect_table_row_count_to_equal": statistics.RowCountEqual,
    "expect_table_columns_to_match_set": statistics.ColumnsMatchSet,
    "expect_column_to_exist": statistics.ColumnExists,
}

_SUITE_KEYS = {"name", "id", "expectations", "meta", "notes"}
_EXPECTATION_KEYS = {"type", "kwargs", "severity", "meta", "id", "description", "notes", "rendered_content"}
_SEVERITIES = ("critical", "warning", "info")
# A larger file, or more faults, is somebody's attempt at our time and memory.
_MAX_BYTES, _MAX_FAULTS = 4 << 20, 100


@dataclass(frozen=True, slots=True)
class Expectation:
    """One claim: its GX type, what it says, and how much it weighs. `label` names it in reasons."""

    type: str
    kwargs: Kwargs
    severity: Severity
    label: str


@dataclass(frozen=True, slots=True)
class Suite:
    """The claims of one file; `version` is the hash of the file's bytes."""

    name: str
    version: str
    expectations: tuple[Expectation, ...]


def load_suite(path: str | Path) -> Suite:
    """Return the suite in `path`. Raises ConfigError that lists every fault of the file."""
    suite, faults = _read(Path(path))
    if suite is None:
        raise ConfigError("\n".join(faults))
    return suite


def lint_suite(path: str | Path) -> list[str]:
    """Return every fault of the file, one a line with file, place and the way out; empty if it is sound.

    Needs pydantic alone, and sqlglot where the suite has an `unexpected_rows_expectation`.
    """
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[Suite | None, list[str]]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as exc:
        return None, [f"{path}: cannot be read: {exc.strerror}"]
    if len(content) > _MAX_BYTES:
        return None, [f"{path}: larger than {_MAX_BYTES >> 20} MiB: no suite that people write"]
    try:
        data = json.loads(content, object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        return None, [f"{path}: not JSON: {exc}"]
    if not isinstance(data, dict):
        return None, [f"{path}: a suite is an object with name and expectations, not a {type(data).__name__}"]
    faults = _unknown(data, _SUITE_KEYS, "suite")
    given = data.get("expectations")
    if not isinstance(data.get("name"), str) or not data["name"]:
        faults.append("name: a suite needs a name (text)")
    if not isinstance(given, list):
        faults.append("expectations: a suite needs a list of expectations")
    found, wrong = _claims(given if isinstance(given, list) else [])
    faults += wrong
    if faults:
        return None, [f"{path}: {fault}" for fault in faults]
    return Suite(data["name"], hashlib.sha256(content).hexdigest()[:16], _labelled(found)), []


def _claims(given: list[Any]) -> tuple[list[Expectation], list[str]]:
    """Return the claims and their faults, up to a number that somebody mends."""
    found: list[Expectation] = []
    faults: list[str] = []
    for index, one in enumerate(given):
        expectation, wrong = _expectation(one)
        faults += [f"expectations[{index}]{'.' if w[0] else ''}{': '.join(p for p in w if p)}" for w in wrong]
        if expectation is not None:
            found.append(expectation)
        if len(faults) > _MAX_FAULTS:
            return found, [*faults, f"expectations: more than {_MAX_FAULTS} faults: the rest is not looked at"]
    return found, faults


def _expectation(data: Any) -> tuple[Expectation | None, list[tuple[str, str]]]:
    """Return one claim, or its faults as place and message."""
    if not isinstance(data, dict):
        return None, [("", f"an expectation is an object with type and kwargs, not a {type(data).__name__}")]
    faults = [("", fault) for fault in _unknown(data, _EXPECTATION_KEYS, "expectation")]
    name, severity, kwargs = data.get("type"), data.get("severity", "critical"), data.get("kwargs", {})
    if severity not in _SEVERITIES:
        faults.append(("severity", f"{severity!r} is none of {', '.join(_SEVERITIES)}"))
    if not isinstance(data.get("description") or "", str):
        faults.append(("description", "must be text"))
    form = KNOWN.get(name) if isinstance(name, str) else None
    if form is None:
        return None, [*faults, ("type", _unknown_type(name))]
    if not isinstance(kwargs, dict):
        return None, [*faults, ("kwargs", f"must be an object, not a {type(kwargs).__name__}")]
    parsed, wrong = _kwargs(form, kwargs)
    faults += wrong
    if parsed is None or faults:
        return None, faults
    return Expectation(str(name), parsed, severity, data.get("description") or _label(str(name), parsed)), []


def _kwargs(form: type[Kwargs], given: dict[str, Any]) -> tuple[Kwargs | None, list[tuple[str, str]]]:
    faults = []
    for key, value in given.items():
        if key in ("row_condition", "condition_parser") and value is not None:
            faults.append(
                (f"kwargs.{key}", "not compiled: put the condition into the WHERE of an unexpected_rows_expectation")
            )
        elif isinstance(value, dict) and "$PARAMETER" in value:
            faults.append((f"kwargs.{key}", "suite parameters are not known here: write the value itself"))
    if faults:
        return None, faults
    try:
        # GX writes null for what was not given.
        return form.model_validate({key: value for key, value in given.items() if value is not None}), []
    except ValidationError as exc:
        known = {field.alias or name for name, field in form.model_fields.items()}
        return None, list(dict.fromkeys(_fault(error, known) for error in exc.errors()))


def _fault(error: Any, known: set[str]) -> tuple[str, str]:
    """Return place and message of one of pydantic's errors."""
    key = str(error["loc"][0]) if error["loc"] else ""
    place = f"kwargs.{key}" if key else "kwargs"
    if error["type"] == "extra_forbidden":
        return place, f"unknown key {key!r}.{_nearest(key, known)}"
    if error["type"] == "missing":
        return place, "is required"
    # A union reports each of its members: their common words are enough.
    if len(error["loc"]) > 1 and error["type"].endswith("_type"):
        return place, f"of a type that is not taken here: {error['input']!r}"[:200]
    return place, str(error["msg"]).removeprefix("Value error, ")


def _unknown(data: dict[str, Any], known: set[str], what: str) -> list[str]:
    return [f"unknown key {key!r} of the {what}.{_nearest(key, known)}" for key in data if key not in known]


def _nearest(key: str, known: set[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1) or [k for k in sorted(known) if k in key]
    return f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(sorted(known))}"


def _unknown_type(name: Any) -> str:
    if not isinstance(name, str):
        return f"is required, as text; known: {', '.join(KNOWN)}"
    close = difflib.get_close_matches(name, KNOWN, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{name!r} is not compiled yet.{hint} Known: {', '.join(KNOWN)}"


def _label(name: str, kwargs: Kwargs) -> str:
    place = ", ".join(kwargs.columns()) or str(getattr(kwargs, "column", ""))
    return f"{name}({place})" if place else name


def _labelled(found: list[Expectation]) -> tuple[Expectation, ...]:
    """Return the claims with labels that differ: reasons are counted by them."""
    seen: dict[str, int] = {}
    result = []
    for one in found:
        seen[one.label] = count = seen.get(one.label, 0) + 1
        label = one.label if count == 1 else f"{one.label} #{count}"
        result.append(Expectation(one.type, one.kwargs, one.severity, label))
    return tuple(result)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    twins = sorted({key for key in keys if keys.count(key) > 1})
    if twins:
        raise ValueError(f"key {twins[0]!r} stands twice in one object")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")
