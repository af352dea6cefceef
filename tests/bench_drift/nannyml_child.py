"""`python nannyml_child.py FOLDER`, in NannyML's environment: print as JSON which columns alert in each window."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nannyml
import pandas as pd


def main(folder: Path) -> None:
    """Read 000.pickle, the reference, and the windows after it."""
    reference, *windows = (pd.read_pickle(path).drop(columns="at") for path in sorted(folder.glob("*.pickle")))
    calculator = nannyml.UnivariateDriftCalculator(column_names=list(reference), chunk_size=len(windows[0]))
    calculator.fit(reference)
    found = calculator.calculate(pd.concat(windows, ignore_index=True)).filter(period="analysis").to_df()
    alerts = found.loc[:, [column for column in found if column[-1] == "alert"]]
    print(json.dumps([sorted({column[0] for column in alerts if row[column]}) for _, row in alerts.iterrows()]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
