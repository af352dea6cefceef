"""CSV files as people have them, each of another shape; what is in them is drawn, always the same."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["SHAPES", "Shape", "write"]

Rows = tuple[list[str], list[list[Any]]]


def write(path: Path, rows: Rows, *, delimiter: str = ",", comma: bool = False) -> Path:
    """Write a header and rows as CSV, numbers with a decimal comma where `comma`."""
    header, values = rows
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        for row in values:
            writer.writerow([str(v).replace(".", ",") if comma and isinstance(v, float) else v for v in row])
    return path


def _signal(draw: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw two numbers, a word, and the log odds that they make."""
    age, spend = draw.integers(18, 80, n), np.round(draw.gamma(2, 20, n), 2)
    plan = draw.choice(["basic", "plus", "pro"], n, p=[0.6, 0.3, 0.1])
    return age, spend, plan, -0.5 + 0.03 * (age - 45) - 0.02 * (spend - 40) + 0.8 * (plan == "basic")


def _yes(draw: np.random.Generator, odds: np.ndarray) -> np.ndarray:
    return draw.random(odds.size) < 1 / (1 + np.exp(-odds))


def no_time(n: int = 600) -> Rows:
    """No column says when; the target is 0 and 1, and nothing is an id."""
    draw = np.random.default_rng(1)
    age, spend, plan, odds = _signal(draw, n)
    kinds = np.where(draw.random(n) < 0.1, "", plan)
    return ["age", "spend", "plan", "late"], [
        [*row]
        for row in zip(age.tolist(), spend.tolist(), kinds.tolist(), _yes(draw, odds).astype(int).tolist(), strict=True)
    ]


def text_target(n: int = 600) -> Rows:
    """Dated; the target is two words, and one column is there only for one of them."""
    draw = np.random.default_rng(2)
    age, spend, plan, odds = _signal(draw, n)
    left = _yes(draw, odds)
    days = [date(2025, 1, 1) + timedelta(days=int(d)) for d in np.sort(draw.integers(0, 120, n))]
    return ["customer_id", "signup_at", "age", "spend", "plan", "cancelled_on", "state"], [
        [
            1000 + i,
            days[i],
            int(age[i]),
            float(spend[i]),
            plan[i],
            days[i] + timedelta(days=9) if left[i] else "",
            "left" if left[i] else "stayed",
        ]
        for i in range(n)
    ]


def all_null(n: int = 600) -> Rows:
    """A regression with a column that is null throughout, one that is until March, and a code with leading zeros."""
    draw = np.random.default_rng(3)
    age, spend, plan, _ = _signal(draw, n)
    price = np.round(3 * age + spend + 20 * (plan == "pro") + draw.normal(0, 5, n), 2)
    days = [date(2025, 1, 1) + timedelta(days=int(d)) for d in np.sort(draw.integers(0, 150, n))]
    return ["order no", "ordered", "age", "spend", "plan", "fax", "rebate", "postcode", "price"], [
        [
            f"A-{i}",
            f"{days[i]}T10:{i % 60:02d}:00Z",
            int(age[i]),
            float(spend[i]),
            plan[i],
            "",
            round(float(draw.random()), 2) if days[i] >= date(2025, 3, 1) else "",
            f"{int(draw.integers(0, 30)):04d}",
            float(price[i]),
        ]
        for i in range(n)
    ]


def wide(n: int = 400, columns: int = 200) -> Rows:
    """Two hundred columns, three of which matter."""
    draw = np.random.default_rng(4)
    x = np.round(draw.normal(0, 1, (n, columns - 2)), 4)
    yes = _yes(draw, 2 * x[:, 0] - 1.5 * x[:, 1] + x[:, 2])
    days = [date(2025, 3, 1) + timedelta(days=int(d)) for d in np.sort(draw.integers(0, 60, n))]
    names = ["at", *(f"x{i:03d}" for i in range(columns - 2)), "good"]
    return names, [[days[i], *x[i].tolist(), "true" if yes[i] else "false"] for i in range(n)]


def semicolons(n: int = 600) -> Rows:
    """Names and numbers as in half of Europe: umlauts, blanks, quotes and a dollar in names."""
    draw = np.random.default_rng(5)
    age, spend, plan, odds = _signal(draw, n)
    yes = _yes(draw, odds)
    days = [date(2025, 1, 1) + timedelta(days=int(d)) for d in np.sort(draw.integers(0, 80, n))]
    return ["Kunden-Nr", "Datum", "Größe (cm)", "Umsatz $", 'Tarif "neu"', "Kündigung"], [
        [f"K{i:05d}", days[i], int(age[i]), float(spend[i]), plan[i], "ja" if yes[i] else "nein"] for i in range(n)
    ]


def snapshots(n: int = 700) -> Rows:
    """Customers seen again and again, an empty month, the newest outcomes unknown, text over two lines."""
    draw = np.random.default_rng(6)
    age, _, _, odds = _signal(draw, n)
    yes = _yes(draw, odds)
    days = np.sort(draw.integers(0, 150, n))
    days = days + 40 * (days > 30)
    return ["customer_id", "seen_at", "age", "role", "model", "vip", "remark", "bought"], [
        [
            f"c{i % 50}",
            f"{date(2025, 1, 1) + timedelta(days=int(days[i]))}T{i % 24:02d}:{i // 24 % 60:02d}:00+01:00",
            int(age[i]),
            ["dev", "ops", "hr"][i % 3],
            ["m1", "m2"][i % 2],
            ["true", "false", ""][int(draw.integers(0, 3))],
            f"line one\nline two {i % 7}",
            int(yes[i]) if i < n - 50 else "",
        ]
        for i in range(n)
    ]


class Shape:
    """A file and the words of `init` for it."""

    def __init__(self, rows: Any, target: str, time: str | None = None, **dialect: Any) -> None:
        self.rows, self.target, self.time, self.dialect = rows, target, time, dialect

    def at(self, path: Path) -> Path:
        """Write the file."""
        return write(path, self.rows(), **self.dialect)


SHAPES = {
    "no_time": Shape(no_time, "late"),
    "text_target": Shape(text_target, "state", "signup_at"),
    "all_null": Shape(all_null, "price", "ordered"),
    "wide": Shape(wide, "good", "at"),
    "semicolons": Shape(semicolons, "Kündigung", "Datum", delimiter=";", comma=True),
    "snapshots": Shape(snapshots, "bought", "seen_at"),
}
