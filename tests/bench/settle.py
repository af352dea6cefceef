"""`python -m tests.bench.settle PLACE`: let the copy of a lake know its Feast repository, as the lake itself did.

Its fingerprint holds the lake's root, which the copy has changed: without this Feast would be applied anew.
"""

from __future__ import annotations

import sys

from airflow_mlops_provider.steps.feast_repo import FeastRepo
from airflow_mlops_provider.steps.features import export_definitions, load_definitions
from airflow_mlops_provider.steps.lake import Lake
from tests.bench.measure import ROOT

__all__ = ["main"]


def main() -> None:
    lake = Lake(f"{sys.argv[1]}/lake")
    repo = FeastRepo.read(ROOT / "include" / "features", lake)
    known = load_definitions(lake)[repo.project]
    export_definitions(lake, known.model_copy(update={"digest": repo.digest()}))


if __name__ == "__main__":
    main()
