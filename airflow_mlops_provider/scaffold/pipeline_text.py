"""The pipeline file and its README as texts, from what was found in a CSV file."""

from __future__ import annotations

import json
import textwrap

from airflow_mlops_provider.scaffold.folder import Place
from airflow_mlops_provider.scaffold.found import Found
from airflow_mlops_provider.scaffold.text import filled
from airflow_mlops_provider.scaffold.yaml_text import comment, listed, mapped, scalar

__all__ = ["pipeline_text", "readme_text"]

_EACH = {"@daily": "day", "@weekly": "week", "@monthly": "month", "@quarterly": "quarter", "@yearly": "year"}
_METRICS = {
    "classification": ["roc_auc", "log_loss", "calibration_gap", "calibration_slope"],
    "regression": ["rmse", "mae", "rmse_ratio"],
}
_ESTIMATORS = {"classification": "Classifier", "regression": "Regressor"}
# So few rows are learned by heart unless trees are small and few.
_FEW = 10_000
_SMALL = {
    "classification": "{learning_rate: 0.05, max_iter: 60, max_leaf_nodes: 6}",
    "regression": "{max_iter: 100, max_leaf_nodes: 8}",
}


def pipeline_text(found: Found, place: Place) -> str:
    """Return the pipeline file."""
    schedule, target = found.schedule, found.target
    classes = target.task == "classification"
    dealt = schedule.by is None
    return filled(
        "pipeline.yaml",
        {
            "intro": _intro(found, place.name),
            "name": place.name,
            "schedule": schedule.preset,
            "start": schedule.start.isoformat(),
            "end": schedule.end.isoformat(),
            "csv": _dialect(found),
            "key": listed(found.unique_key, 6),
            "target": scalar(target.name),
            "event": "" if dealt else f"    event_timestamp: {scalar(str(schedule.by))}\n",
            "excluded": _excluded(found),
            "columns": listed(found.features, 4),
            "first_after": str(schedule.trained),
            "estimator": f"sklearn.ensemble.HistGradientBoosting{_ESTIMATORS[target.task]}",
            "parameters": _parameters(found),
            "holdout": found.holdout,
            "holdout_why": "of the rows, by a hash of their key: no model is fitted on them"
            if dealt
            else "the newest days, which the judged model does not see",
            "refit": ""
            if dealt
            else "    refit: true                           # then it is fitted once more, on all days\n",
            "metric": "log_loss" if classes else "rmse",
            "metrics": listed(_METRICS[target.task], 4),
            "when": "" if classes else "    when: {rmse_ratio: {above: 1.05, alpha: 0.001}}\n",
            "cooldown": "14d",
        },
    )


def _parameters(found: Found) -> str:
    if found.file.rows >= _FEW:
        return ""
    # Measured on 900 rows of two classes: log loss 0.57 with these, 0.74 with the library's own.
    return f"    parameters: {_SMALL[found.target.task]} # few rows: small trees\n"


def _intro(found: Found, name: str) -> str:
    target = found.target
    asked = (
        f"is {target.name} {_positive(found)}?" if target.task == "classification" else f"how large is {target.name}?"
    )
    lines = [comment(f"{name}: {asked} Made by `airflow-mlops init` from {found.file.path.name}; edit it.", 0)]
    if found.schedule.by is None:
        lines.append(
            comment(
                "No column says when a row came in, so two days were made up: four of five rows, drawn by a hash, are "
                "the first batch, and the rest plays the data that come next. With real dates, run init with --time.",
                0,
            )
        )
    return "\n".join(lines)


def _positive(found: Found) -> str:
    if found.target.positive is not None:
        return found.target.positive
    return "true" if found.target.column.kind == "boolean" else "1"


def _dialect(found: Found) -> str:
    """Return the key `csv` where the file is not as CSV files are by default."""
    said: dict[str, str] = {}
    if found.file.delimiter != ",":
        said["delimiter"] = json.dumps(found.file.delimiter)
    if found.decimal_point != ".":
        said["decimal_point"] = json.dumps(found.decimal_point)
    if found.types:
        said["types"] = mapped(found.types)
    if found.target.positive is not None:
        said["true_values"] = f"[{json.dumps(found.target.positive, ensure_ascii=False)}]"
        said["false_values"] = f"[{json.dumps(found.target.negative, ensure_ascii=False)}]"
    return f"      csv: {mapped(said)}\n" if said else ""


def _excluded(found: Found) -> str:
    if not found.left_out:
        return "    # What a model sees."
    lines = ["    # What a model sees. Left out:"]
    return "\n".join([*lines, *(comment(f"{one.name}: {one.reason}", 4) for one in found.left_out)])


def readme_text(found: Found, place: Place) -> str:
    """Return the README of the pipeline's folder."""
    schedule, source = found.schedule, found.file.path.name
    each = _EACH[schedule.preset]
    dealt = schedule.by is None
    return filled(
        "README.md",
        {
            "name": place.name,
            "about": f"Predicts `{found.target.name}` from {len(found.features)} columns of `{source}`: a "
            f"{found.target.task}.",
            "lint": place.command("lint"),
            "plan": place.command("plan"),
            "test": place.command("test"),
            "data": "two made-up days: the rows have no time, so four of five are the first and the rest plays the next"
            if dealt
            else f"the rows of `{source}`, a file a {each} by `{schedule.by}`",
            "first": schedule.batches[0].start.date().isoformat(),
            "last": schedule.batches[-1].start.date().isoformat(),
            "first_after": str(schedule.trained),
            "tomorrow": _tomorrow(found, each),
        },
    )


def _tomorrow(found: Found, each: str) -> str:
    said = (
        f"Write one file a {each}, named by its first day, with the columns of the first file; a row whose outcome is "
        "not known yet has an empty field there. Remove `end`."
    )
    if found.schedule.by is None:
        said += (
            " The days in `data/` are made up. If your data has a time column, run `init` with `--time`: the holdout "
            "is then the newest days, which is the harder and the more honest judgement."
        )
    return textwrap.fill(said, 120)
