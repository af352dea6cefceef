"""Which rows a training does not fit on: the newest stretch of data time, or a share of them by a hash of their key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops_provider.contracts.train import HeldOut, TrainSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.sql import identifier, literal

if TYPE_CHECKING:
    from airflow_mlops_provider.steps.rows import TrainingData
    from airflow_mlops_provider.steps.training_data import LabelledSet

__all__ = ["Holdout", "between", "hashed"]

# Places of the hash that count: 48 bits.
_DIGITS = 12


def hashed(columns: Sequence[str]) -> str:
    """Return an SQL expression: a text of hexadecimal digits that is drawn once and for all by the columns' values.

    MD5 of their names and values, so that neither the order of rows or columns nor an engine's version or threads
    matter. Nulls do not count: a column that came later leaves earlier rows where they were.
    """
    # 7, 7.0 and 7.00 are one key: a table that somebody else writes may change its type between two trainings.
    values = [(name, f"regexp_replace({identifier(name)}::varchar, '\\.0+$', '')") for name in sorted(columns)]
    parts = [
        f"coalesce({literal(f'{name}=')} || length({value}) || ':' || {value} || ';', '')" for name, value in values
    ]
    return f"left(md5('holdout;' || {' || '.join(parts)}), {_DIGITS})"


def between(place: str, low: float, high: float) -> str:
    """Return an SQL condition: the hash `place` lies in [low, high) of its range, 0 to 1."""
    least, most = (format(round(share * 16**_DIGITS), f"0{_DIGITS}x") for share in (low, high))
    return f"{place} >= '{least}'" + (f" and {place} < '{most}'" if high < 1 else "")


class Holdout:
    """The parts of a training's rows. Raises DataError for a stretch of time where the rows have none."""

    def __init__(self, rows: LabelledSet, spec: TrainSpec) -> None:
        dataset, end = spec.dataset, rows.until.end
        self.rows = rows
        self.stretch = spec.holdout if isinstance(spec.holdout, timedelta) else None
        self.share = spec.holdout if isinstance(spec.holdout, float) else None
        if (dataset.window or self.stretch) and dataset.event_timestamp is None:
            raise DataError(
                "window and a holdout in time need dataset.event_timestamp; "
                "without one hold out a share of the rows, such as 0.2"
            )
        self.start = end - dataset.window if dataset.window else None
        self.cut = end - self.stretch if self.stretch else None

    @property
    def held_out(self) -> HeldOut | None:
        """What was held out by a hash, for who judges."""
        return HeldOut(share=self.share, by=self.rows.hashed_by) if self.share else None

    def fitted(self) -> tuple[TrainingData, TrainingData | None, str]:
        """Return the rows to fit on, those that are held out, and the view of the former."""
        view = self.rows.select("fit_rows", since=self.start, before=self.cut, share=(self.share or 0.0, 1.0))
        valid = None
        if self.cut or self.share:
            since, share = self.cut or self.start, (0.0, self.share or 1.0)
            valid = self.rows.data(self.rows.select("holdout_rows", since=since, share=share))
        return self._checked(self.rows.data(view, valid), valid, self.cut), valid, view

    def trial(self) -> tuple[TrainingData, TrainingData]:
        """Return the rows that a search's trial is fitted on, and those it is judged on: none of them is held out.

        It is judged on a stretch as long as the holdout that lies before it, or on as large a share of the rest.
        """
        if self.cut and self.stretch:
            inner = self.cut - self.stretch
            valid = self.rows.data(self.rows.select("search_valid", since=inner, before=self.cut))
            data = self.rows.data(self.rows.select("search_fit", since=self.start, before=inner), valid)
            return self._checked(data, valid, inner), valid
        if self.share is None:
            raise DataError("search needs a holdout: its trials are judged on as many rows before it")
        high = self.share + self.share * (1 - self.share)
        valid = self.rows.data(self.rows.select("search_valid", since=self.start, share=(self.share, high)))
        data = self.rows.data(self.rows.select("search_fit", since=self.start, share=(high, 1.0)), valid)
        return self._checked(data, valid, None), valid

    def _checked(self, data: TrainingData, valid: TrainingData | None, cut: object) -> TrainingData:
        first, _, count = self.rows.bounds()
        if not len(data):
            because = f"the first is of {first}, the holdout begins at {cut}" if cut else f"there are {count}"
            raise DataError(f"no row to fit on: {because}")
        if valid is not None and not len(valid):
            raise DataError(f"no row in the holdout since {cut}" if cut else f"no row in the holdout: of {count} rows")
        return data

    def said(self) -> str:
        """Say which rows are fitted on."""
        return f"without the share {self.share:g}" if self.share else f"before {self.cut or self.rows.until.end}"
