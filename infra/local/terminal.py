"""Takes the terminal's Ctrl-C away from `make`.

A Ctrl-C goes to every process of the terminal's foreground group, and GNU make dies of it even when the
command it runs ends with status 0. So the service becomes the foreground group itself, as a shell would do for
a job, and gives the terminal back at its end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def own_terminal_signals() -> Iterator[None]:
    """Be the terminal's foreground process group for the block, where there is a terminal to own."""
    try:
        terminal = sys.stdin.fileno()
        group_before = os.tcgetpgrp(terminal)
    except (OSError, ValueError):  # no terminal, or not ours
        yield
        return
    if group_before != os.getpgrp() or os.getpgrp() == os.getpid():
        yield  # in the background, or already a job of its own
        return
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(terminal, group_before)
        signal.signal(signal.SIGTTOU, before)
