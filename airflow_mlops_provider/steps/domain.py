"""Joint drift: how well a classifier tells current rows from those of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from airflow_mlops_provider.exceptions import DataError, MissingExtraError
from airflow_mlops_provider.steps.sql import identifier, literal
from airflow_mlops_provider.steps.training_data import frame

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["domain_auc"]

_DAY = "_day"
_ROWS = 5_000
_FOLDS = 5


def domain_auc(
    con: duckdb.DuckDBPyConnection,
    reference: str,
    current: str,
    columns: Sequence[str],
    *,
    timestamp: str | None,
    timezone: str,
) -> float:
    """Return the area under the ROC curve of a classifier of `current` against `reference` rows, out of fold.

    0.5 where nothing tells them apart, 1 where everything does; it sees what no column shows by itself, such as
    a correlation that turned. 5,000 rows a side are sampled. The rows of a local day are never on both sides of
    a fold where each table has two days, or the classifier would learn the days. Still, any two windows of real
    rows differ somewhat, so a clean comparison is above 0.5: it has no alarm level. Dates are left out, for time
    alone would tell. Raises DataError if a side has fewer than 10 rows or no column is left; MissingExtraError
    without scikit-learn. Source: Lopez-Paz & Oquab (2017), Revisiting Classifier Two-Sample Tests, ICLR.
    """
    try:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.metrics import roc_auc_score
    except ImportError:
        raise MissingExtraError("scikit-learn", "mlflow") from None
    import numpy as np
    import pandas as pd

    sides = [_sample(con, view, columns, timestamp, timezone) for view in (reference, current)]
    if min(map(len, sides)) < 2 * _FOLDS:
        raise DataError(
            f"a classifier needs {2 * _FOLDS} rows a side: {' and '.join(str(len(s)) for s in sides)} given"
        )
    rows = pd.concat(sides, ignore_index=True)
    names = [name for name in columns if not _is_date(con, reference, name)]
    if not names:
        raise DataError(f"{current}: no column for a classifier among {', '.join(columns)}: dates are left out")
    known = np.column_stack([_encoded(rows[name]) for name in names])
    which = np.repeat([0, 1], [len(side) for side in sides])
    scores = np.empty(len(rows))
    for fitted, judged in _folds(which, rows[_DAY].to_numpy()):
        model = RandomForestClassifier(50, min_samples_leaf=10, random_state=0)
        scores[judged] = model.fit(known[fitted], which[fitted]).predict_proba(known[judged])[:, 1]
    return float(roc_auc_score(which, scores))


def _sample(
    con: duckdb.DuckDBPyConnection, view: str, columns: Sequence[str], timestamp: str | None, timezone: str
) -> pd.DataFrame:
    day = "null" if timestamp is None else identifier(timestamp)
    if timestamp is not None and "TIME ZONE" in _type(con, view, timestamp):
        day = f"timezone({literal(timezone)}, {day})"
    listed = ", ".join(map(identifier, columns))
    query = f"select {listed}, ({day})::date::varchar as {_DAY} from {identifier(view)}"
    return frame(
        con.sql(f"select * from ({query}) using sample reservoir({_ROWS} rows) repeatable (0)").to_arrow_table()
    )


def _is_date(con: duckdb.DuckDBPyConnection, view: str, name: str) -> bool:
    return _type(con, view, name).startswith(("DATE", "TIMESTAMP"))


def _type(con: duckdb.DuckDBPyConnection, view: str, name: str) -> str:
    return str(con.table(view).select(identifier(name)).types[0])


def _encoded(values: pd.Series[Any]) -> np.ndarray:
    """Return numbers as they are and levels as the order in which they first appear: new ones come last."""
    import numpy as np
    import pandas as pd

    if values.dtype == float:
        return np.asarray(values)
    codes = pd.factorize(values)[0].astype(float)
    return np.where(codes < 0, np.nan, codes)


def _folds(which: np.ndarray, days: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    import pandas as pd
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    groups = pd.factorize(days)[0]
    fewest = min(len(set(groups[which == side].tolist()) - {-1}) for side in (0, 1))
    if fewest < 2:
        return list(StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(which, which))
    grouped = StratifiedGroupKFold(min(_FOLDS, fewest), shuffle=True, random_state=0)
    return list(grouped.split(which, which, groups))
