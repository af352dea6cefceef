"""`python -m tests.bench_drift --n N`: how often drift, the policies and the gate are right, in seeded simulations."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

from tests.bench_drift import flights, gates, policies, profiles, rows, short

__all__ = ["PARTS", "main"]

PARTS: dict[str, Callable[[int], Iterator[str]]] = {
    "profiles": profiles.report,
    "rows": rows.report,
    "flights": flights.report,
    "policies": policies.report,
    "daily": short.report,
    "gate": gates.report,
}


def main() -> None:
    """Print the tables of each part."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_drift", description=__doc__)
    parser.add_argument("--n", type=int, default=50, help="how much of it; each part says what it makes of N")
    parser.add_argument("--only", choices=["", *PARTS], default="", help="one part")
    given = parser.parse_args()
    for name, report in PARTS.items():
        if given.only in ("", name):
            begun = time.monotonic()
            print(f"## {name}, N = {given.n}")
            for line in report(given.n):
                print(line, flush=True)
            print(f"({time.monotonic() - begun:.0f} s)\n")


if __name__ == "__main__":
    main()
