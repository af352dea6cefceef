"""A runner that runs nothing: it records what it was asked and answers as it was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_mlops_provider.contracts.base import Contract
from airflow_mlops_provider.contracts.protocol import Message, Outcome, Request
from airflow_mlops_provider.runners.base import Emit
from airflow_mlops_provider.runners.execute import outcome_of

__all__ = ["RecordingRunner"]


@dataclass
class RecordingRunner:
    """Answers each step with the outcome, or the result model, given for its name; `requests` has what came.

    A gate's refusal in a result model becomes a `rejected` outcome, as it does in a real runner. `messages`
    are emitted at each run.
    """

    answers: Mapping[str, Outcome | Contract]
    messages: tuple[Message, ...] = ()
    requests: list[Request] = field(default_factory=list)

    def run(self, request: Request, *, emit: Emit) -> Outcome:
        """Record the request and give its answer. Raises LookupError if none was given for the step."""
        self.requests.append(request)
        if request.step not in self.answers:
            raise LookupError(f"no answer for step {request.step!r}; given: {', '.join(self.answers) or 'none'}")
        for message in self.messages:
            emit(message)
        answer = self.answers[request.step]
        return answer if isinstance(answer, Outcome) else outcome_of(answer)
