"""The step runs in this process."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops_provider.contracts.protocol import Outcome, Request
from airflow_mlops_provider.runners.base import Emit
from airflow_mlops_provider.runners.execute import answer

__all__ = ["InProcess"]


@dataclass(frozen=True)
class InProcess:
    """Runs the step here. Its prints go where this process's go."""

    def run(self, request: Request, *, emit: Emit) -> Outcome:
        """Run the step; see `Runner.run`."""
        # Through the protocol's text, so that a step sees here exactly what it sees elsewhere.
        return answer(request.encode(), emit)
