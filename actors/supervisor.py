"""Supervision in the terms and with the meaning of Erlang/OTP's `supervisor`.

A supervisor starts its children in order, restarts them by its strategy, and gives up when they crash more
often than its restart intensity allows: it stops what is left, in reverse order, and raises
`RestartIntensityExceeded`, which to a parent supervisor is one more crash and to the root an orderly drain.

A supervisor with a `Backoff` never gives up: what it supervises is not worth the end of anything else. A child
that crashes, or can not be started, is started again after a pause, and its siblings do not wait for it.

Nothing here catches a cancellation; an exit reason is an `Exception` or none.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import trio

from actors.restarts import Backoff, RestartCounter, RestartIntensity, RestartIntensityExceeded

log = logging.getLogger(__name__)


class Strategy(StrEnum):
    """Who is restarted with a crashed child: it alone, or it and everything started after it."""

    ONE_FOR_ONE = "one_for_one"
    REST_FOR_ONE = "rest_for_one"


class Restart(StrEnum):
    """When a child that ended is started again: always, or only after a crash."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"


class Start(Protocol):
    """A child's body: reports `task_status.started()` when it is ready and runs until it ends."""

    async def __call__(self, *, task_status: trio.TaskStatus[None]) -> None: ...


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start, stop and restart one child.

    `stop`, where given, asks the child to end by itself, for which it has `shutdown_s` seconds until it is
    cancelled; without it the child is cancelled at once.
    """

    name: str
    start: Start
    restart: Restart = Restart.PERMANENT
    stop: Callable[[], None] | None = None
    shutdown_s: float = 5.0
    statistics: Callable[[], object] | None = None
    supervisor: Supervisor | None = None


@dataclass(frozen=True, slots=True)
class ChildStatistics:
    """One line of the tree: a child, how often it was restarted, whether it runs, and its own numbers."""

    name: str
    running: bool
    restarts: int
    statistics: object = None
    children: tuple[ChildStatistics, ...] = ()


@dataclass(eq=False, slots=True)
class _Run:
    """One life of a child; `ready` once it has said so, which to the supervisor's task status is no failure."""

    task_status: trio.TaskStatus[Exception | None] = trio.TASK_STATUS_IGNORED
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)
    began_at: float = -math.inf
    ready: bool = False

    def started(self, value: None = None) -> None:
        self.ready = True
        self.task_status.started(None)


@dataclass(eq=False, slots=True)
class _Child:
    spec: ChildSpec
    restarts: int = 0
    run: _Run | None = None
    """The latest, which may have ended."""
    pause_s: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether it runs, starts, or pauses before its start."""
        return self.run is not None and not self.run.ended.is_set()


@dataclass(frozen=True, slots=True)
class _Exit:
    child: _Child
    run: _Run
    reason: Exception | None


class Supervisor:
    """Runs children; itself usable as the child of another through `spec()`. `stopping` is set once it ends."""

    def __init__(
        self,
        name: str,
        children: Sequence[ChildSpec],
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: RestartIntensity | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.stopping = trio.Event()
        self._strategy = strategy
        self._intensity = intensity or RestartIntensity()
        self._backoff = backoff
        self._children = [_Child(spec) for spec in children]
        self._stop_requested = False
        self._starting: _Run | None = None
        self._wake = trio.Event()
        self._exits: deque[_Exit] = deque()

    def spec(self, *, shutdown_s: float = 30.0) -> ChildSpec:
        """This supervisor as a child."""
        return ChildSpec(self.name, self.run, stop=self.stop, shutdown_s=shutdown_s, supervisor=self)

    def stop(self) -> None:
        """Ask for an orderly stop: children end in reverse order, each in its own time.

        A child that is only being started is cancelled, however long its start would take.
        """
        self._stop_requested = True
        self._wake.set()
        if self._starting is not None and not self._starting.ready:
            self._starting.scope.cancel()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Supervise until stopped, or until all children have ended for good.

        Raises RestartIntensityExceeded, or what a child raised that could not even be started at first.
        """
        self._exits.clear()
        if self.stopping.is_set():
            self.stopping = trio.Event()
        try:
            async with trio.open_nursery() as nursery:
                failure = await self._start_all(nursery)
                if failure is None:
                    task_status.started()
                    failure = await self._supervise(RestartCounter(self._intensity), nursery)
                self.stopping.set()
                await self._stop_children(self._children)
        finally:
            self._stop_requested = False
        if failure is not None:
            raise failure

    async def _start_all(self, nursery: trio.Nursery) -> Exception | None:
        for child in self._children:
            if self._stop_requested:
                break
            failure = await self._start(child, nursery)
            if failure is not None and self._backoff is None:
                return failure
        return None

    async def _supervise(self, counter: RestartCounter, nursery: trio.Nursery) -> Exception | None:
        while not self._stop_requested and (self._exits or any(child.alive for child in self._children)):
            await self._wake.wait()
            self._wake = trio.Event()
            while self._exits and not self._stop_requested:
                exit_ = self._next_exit()
                if not self._is_crash(exit_):
                    continue
                name, reason = exit_.child.spec.name, exit_.reason
                log.error("%s/%s ended: %r", self.name, name, reason, exc_info=reason)
                if self._backoff is not None:
                    self._restart_later(exit_.child, self._backoff, nursery)
                elif counter.allows(trio.current_time()):
                    await self._restart(exit_.child, nursery)
                else:
                    exceeded = RestartIntensityExceeded(f"{self.name}: {name} ended once too often")
                    exceeded.__cause__ = reason
                    return exceeded
        return None

    def _next_exit(self) -> _Exit:
        # In the order of their start: where a restart takes the rest along, it makes up for later ones.
        first = min(self._exits, key=lambda each: self._children.index(each.child))
        self._exits.remove(first)
        return first

    @staticmethod
    def _is_crash(exit_: _Exit) -> bool:
        if exit_.run.scope.cancel_called or exit_.run is not exit_.child.run:
            return False  # stopped by us, whatever it said to that; or another runs in its place already
        return exit_.reason is not None or exit_.child.spec.restart is Restart.PERMANENT

    async def _restart(self, child: _Child, nursery: trio.Nursery) -> None:
        rest = self._children[self._children.index(child) :]
        again = rest if self._strategy is Strategy.REST_FOR_ONE else [child]
        await self._stop_children(again)
        for each in again:
            if self._stop_requested:
                return
            each.restarts += 1
            reason = await self._start(each, nursery)
            if reason is not None:
                return  # its exit is in the queue, and counts as one more crash

    def _restart_later(self, child: _Child, backoff: Backoff, nursery: trio.Nursery) -> None:
        # Not waited for, so that siblings are looked after while it pauses, and while it starts.
        assert child.run is not None
        long_ago = trio.current_time() - child.run.began_at > backoff.max_s
        child.pause_s = backoff.after(0.0 if long_ago else child.pause_s)
        child.restarts += 1
        child.run = _Run()
        nursery.start_soon(self._run_child, child, child.run, child.pause_s)

    async def _start(self, child: _Child, nursery: trio.Nursery) -> Exception | None:
        async def start(*, task_status: trio.TaskStatus[Exception | None]) -> None:
            child.run = self._starting = _Run(task_status)
            await self._run_child(child, child.run)

        reason: Exception | None = await nursery.start(start)
        self._starting = None
        return reason

    async def _run_child(self, child: _Child, run: _Run, pause_s: float = 0.0) -> None:
        reason: Exception | None = None
        try:
            with run.scope:
                if pause_s:
                    await trio.sleep(pause_s)
                run.began_at = trio.current_time()
                await child.spec.start(task_status=run)
        except Exception as error:  # this is what a supervisor is for
            reason = error
        run.ended.set()
        self._exits.append(_Exit(child, run, reason))
        self._wake.set()
        if not run.ready:
            run.task_status.started(reason)

    async def _stop_children(self, children: Sequence[_Child]) -> None:
        for child in reversed(children):
            run = child.run
            if run is None or not child.alive:
                continue
            if child.spec.stop is not None and run.ready:
                child.spec.stop()
                with trio.move_on_after(child.spec.shutdown_s) as patience:
                    await run.ended.wait()
                if patience.cancelled_caught:
                    log.warning("%s/%s is cut off: it has not ended in time", self.name, child.spec.name)
            run.scope.cancel()
            await run.ended.wait()

    def statistics(self) -> ChildStatistics:
        """The tree under this supervisor."""
        children = tuple(self._child_statistics(child) for child in self._children)
        running = any(child.running for child in children)
        return ChildStatistics(f"{self.name} ({self._strategy})", running, 0, children=children)

    @staticmethod
    def _child_statistics(child: _Child) -> ChildStatistics:
        spec, running = child.spec, child.alive and child.run is not None and child.run.ready
        if spec.supervisor is not None:
            inner = spec.supervisor.statistics()
            return ChildStatistics(inner.name, running, child.restarts, children=inner.children)
        return ChildStatistics(spec.name, running, child.restarts, spec.statistics and spec.statistics())


def print_tree(node: ChildStatistics, depth: int = 0) -> Iterator[str]:
    """The tree as lines of text, two spaces a level."""
    state = "" if node.running else ", ended"
    numbers = f": {node.statistics}" if node.statistics is not None else ""
    yield f"{'  ' * depth}{node.name} (restarts {node.restarts}{state}){numbers}"
    for child in node.children:
        yield from print_tree(child, depth + 1)
