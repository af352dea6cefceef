"""SIGTERM in the main of a process that does one step: the step ends, and the outcome says that a retry resumes it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import NoReturn

from airflow_mlops_provider.contracts.protocol import Outcome
from airflow_mlops_provider.runners.base import fault
from airflow_mlops_provider.steps.stopping import StoppedError

__all__ = ["until_stopped"]


def until_stopped(work: Callable[[], Outcome]) -> Outcome:
    """Return what `work` gives, or a transient fault where SIGTERM ended it; SIGTERM is ignored from then on.

    A training function that looks for SIGTERM or keeps a checkpoint at its end takes it first (`steps/stopping.py`),
    and its step then says so itself.
    """
    try:
        signal.signal(signal.SIGTERM, partial(_stop, os.getpid()))
        outcome = work()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except StoppedError:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return fault("transient", "stopped by SIGTERM before the step ended; a retry resumes it")
    return outcome


def _stop(worker: int, signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  # a handler's form
    if os.getpid() != worker:
        # A forked helper (multiprocessing) inherited this; it ends by SIGTERM as any process does.
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
    raise StoppedError
