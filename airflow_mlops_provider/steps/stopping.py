"""SIGTERM during a step: shown to code that looks for it and ends at a point of its own, else passed on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop", "StoppedError"]


class StoppedError(BaseException):
    """SIGTERM came. Not an Exception: a step's own handlers must not take it for a fault."""


class Stop:
    """Whether SIGTERM came while `caught`.

    Code that looks (`came`) is let go on to its next safe point (`check`); a second SIGTERM ends it where it is.
    Code that keeps something when it ends (`keeps`) is ended at once. All other code meets the handler that was
    there before.
    """

    def __init__(self) -> None:
        self._came = False
        self.looked = self.seen = self.keeps = False

    def came(self) -> bool:
        """Return whether SIGTERM came; who asks is from then on expected to end by itself."""
        self.looked = True
        self.seen = self._came
        return self._came

    def check(self) -> None:
        """Raise StoppedError here if SIGTERM came to code that looks for it."""
        if self.looked and self._came:
            raise StoppedError

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Take SIGTERM meanwhile. Outside the main thread, where Python takes no signals, this does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = signal.getsignal(signal.SIGTERM)
        owner = os.getpid()

        def on_sigterm(number: int, frame: FrameType | None) -> None:
            first, self._came = not self._came, True
            # A forked helper inherits this handler; it ends as it would without it.
            ours = os.getpid() == owner
            if ours and self.looked and first:
                return
            if ours and (self.looked or self.keeps):
                raise StoppedError
            if callable(former):
                former(number, frame)
            elif former != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

        signal.signal(signal.SIGTERM, on_sigterm)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)
