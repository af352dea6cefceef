"""The several processes that one training may run in: which of them this is, by torchrun's environment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from airflow_mlops_provider.exceptions import ConfigError

__all__ = ["Worker", "this_worker"]

_PERIOD_S = 1.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Worker:
    """One of `workers`, from 0. The first keeps what comes of the training: run, model, checkpoints."""

    rank: int = 0
    workers: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def once_there(self, find: Callable[[], T | None]) -> T | None:
        """Return what `find` finds: at once to the first worker, to any other when the first has made it."""
        found = find()
        while found is None and not self.first:
            time.sleep(_PERIOD_S)
            found = find()
        return found


def this_worker(environment: Mapping[str, str] = os.environ) -> Worker:
    """Return which worker this process is: `RANK` of `WORLD_SIZE`. Raises ConfigError where these fit nothing."""
    try:
        worker = Worker(int(environment.get("RANK", "0")), int(environment.get("WORLD_SIZE", "1")))
    except ValueError as exc:
        raise ConfigError(f"RANK and WORLD_SIZE say which worker this is, in whole numbers: {exc}") from None
    if not 0 <= worker.rank < worker.workers:
        raise ConfigError(f"RANK is {worker.rank}, which is none of {worker.workers} workers")
    return worker
