"""Ctrl-C, SIGTERM and a terminal that is closed, to a process with servers to stop: the first asks it to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_SIGNAL_S = 0.2
"""One that follows so soon is the same one: `make` passes on what its whole group has been sent."""


class Interrupted(Exception):
    """Somebody asked to stop while something was being started."""


class Interrupts:
    """Takes the signals for the block. A second one calls `at_once`, and ends the process; without that it is nothing.

    A handler runs between any two instructions of the main thread. The first signal therefore only leaves a
    note, for `check` to find where it is safe to stop: a server that was started is always known to its owner.
    """

    def __init__(self, at_once: Callable[[], None] | None) -> None:
        self.asked = False
        self.at_once = at_once
        self._asked_at = 0.0
        self._ending = False
        self._notify: Callable[[], None] = _nothing

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in self._before.items():
            if number != signal.SIGHUP or handler != signal.SIG_IGN:  # nohup is respected
                signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise Interrupted once somebody has asked to stop."""
        if self.asked:
            raise Interrupted

    def notify(self, wake: Callable[[], None]) -> None:
        """Have `wake`, and nothing else, called when somebody asks, or now if somebody has.

        It must be safe in a signal handler.
        """
        self._notify = wake
        if self.asked:
            wake()

    def _handle(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if not self.asked:
            self.asked, self._asked_at = True, now
            self._notify()
        elif self.at_once is not None and now - self._asked_at > SAME_SIGNAL_S and not self._ending:
            self._ending = True
            with suppress(OSError):  # not print: the main thread may be in the middle of one
                os.write(1, b"ended at once\n")
            self.at_once()
            os._exit(128 + number)


def _nothing() -> None:
    return
