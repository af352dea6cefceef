"""Contract of a search for a trainer's parameters."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from airflow_mlops_provider.contracts.base import Contract

__all__ = ["Range", "Search", "Trial"]

Scalar = str | int | float | bool


class Range(Contract):
    """Numbers from `low` to `high`, both included; whole ones where both are written so and `step` is no fraction."""

    low: int | float
    high: int | float
    step: int | float | None = Field(None, gt=0)
    log: bool = Field(False, description="as likely below as above the geometric mean")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs low above 0, and takes no step")
        return self

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))


class Search(Contract):
    """Try parameters, keep the best by `metric` on rows that come after those of the fit and before the holdout.

    Each entry of `space` is a range or a list of choices. The search ends after `trials`, or when `time` is over.
    """

    space: dict[str, Range | tuple[Scalar, ...]] = Field(min_length=1)
    trials: int = Field(20, ge=1)
    time: timedelta | None = None
    metric: str = "log_loss"


class Trial(Contract):
    """One try: `value` of the metric, None where it was given up (`pruned`) or failed."""

    number: int
    params: dict[str, Scalar]
    state: Literal["complete", "pruned", "failed"]
    value: float | None = None
    seconds: float = 0.0
    error: str = ""
