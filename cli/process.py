"""What the service's processes have in common, the only one and each of several: they run until they are drained."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import NoReturn, Protocol, TypeVar

import trio

from actors.supervisor import Supervisor, print_tree
from infra.local.interrupts import Interrupts

COLLECT_AFTER = (50_000, 10, 10)
"""Objects made and not gone, and how often the younger generations, until the next is looked at."""


class Running(Protocol):
    """What is drained: told of it first, and stopped after `listen_s` seconds."""

    @property
    def root(self) -> Supervisor: ...

    @property
    def listen_s(self) -> float: ...

    def announce_drain(self) -> None:
        """From this moment on nobody should send work here."""

    async def run(self) -> int:
        """Until it is stopped, or gives up: the process's exit status."""


Opened = TypeVar("Opened", bound=Running)


class Drain:
    """Begun by a signal or by a service that gives up.

    What takes longer than `within_s` is ended by `give_up`, in a thread of its own.
    """

    def __init__(
        self,
        interrupts: Interrupts,
        *,
        within_s: float,
        give_up: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self.running: Running | None = None
        self._interrupts = interrupts
        self._tell = tell
        self._watchdog = threading.Timer(within_s, give_up)
        self._watchdog.daemon = True

    def __enter__(self) -> Drain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        if self._watchdog.ident is not None:
            self._watchdog.join()  # one that has begun to give up ends the process
        self._interrupts.notify(lambda: None)

    async def when_asked(self, everything: trio.CancelScope) -> None:
        asked, token = trio.Event(), trio.lowlevel.current_trio_token()
        self._interrupts.notify(lambda: token.run_sync_soon(asked.set))
        await asked.wait()
        self._begin()
        if self.running is None:
            everything.cancel()
            return
        self._tell("draining")
        self.running.announce_drain()
        await trio.sleep(self.running.listen_s)
        self.running.root.stop()

    async def when_it_gives_up(self) -> None:
        assert self.running is not None
        await self.running.root.stopping.wait()
        self._begin()
        self.running.announce_drain()

    def _begin(self) -> None:
        if self._watchdog.ident is None:
            self._watchdog.start()


async def run_until_drained(
    opening: AbstractAsyncContextManager[Opened],
    drain: Drain,
    beside: Sequence[Callable[[Opened], Awaitable[None]]],
) -> int | None:
    """The exit status of what is opened, with some tasks beside it; None when it was asked to end before it ran."""
    status = None
    with drain:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.when_asked, nursery.cancel_scope)
            async with opening as running:
                drain.running = running
                nursery.start_soon(drain.when_it_gives_up)
                for each in beside:
                    nursery.start_soon(each, running)
                status = await running.run()
            nursery.cancel_scope.cancel()
    return status


async def print_tree_on_signal(running: Running, *above: str, then: Callable[[], None] = lambda: None) -> None:
    """At every SIGUSR1, on standard error."""
    with trio.open_signal_receiver(signal.SIGUSR1) as signals:
        async for _ in signals:
            tree = "\n".join((*above, *print_tree(running.root.statistics()), ""))
            with suppress(OSError):
                sys.stderr.write(tree)
                sys.stderr.flush()
            then()


def say(text: str) -> None:
    """On standard output."""
    with suppress(OSError):  # the terminal may be gone: that is no reason not to end well
        print(text, flush=True)


def give_up() -> NoReturn:
    """What has not been drained in time is lost."""
    with suppress(OSError):
        print("error: not drained within SHUTDOWN_GRACE", file=sys.stderr, flush=True)
    os._exit(1)


def freeze() -> None:
    """What start-up made stays; the collector need not look at it again.

    Of what is made later nearly all goes without it (a transfer leaves it nothing), so it comes seldom: it would look
    at everything that is in flight again and again (docs/decisions/0022).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
