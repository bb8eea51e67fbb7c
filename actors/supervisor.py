"""Supervision in the terms and with the meaning of Erlang/OTP's `supervisor`.

A supervisor starts its children in order, restarts them by its strategy, and gives up when they crash more
often than its restart intensity allows: it stops what is left, in reverse order, and raises
`RestartIntensityExceeded`, which to a parent supervisor is one more crash and to the root an orderly drain.

Nothing here catches a cancellation; an exit reason is an `Exception` or none.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import trio

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
class RestartIntensity:
    """At most `max_restarts` within `period_s` seconds."""

    max_restarts: int = 3
    period_s: float = 5.0


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


class RestartIntensityExceeded(Exception):
    """A supervisor gave up; the cause is the last crash."""


class RestartCounter:
    """Decides whether one more restart is within the intensity; the clock is the caller's."""

    def __init__(self, intensity: RestartIntensity) -> None:
        self._intensity = intensity
        self._times: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Count a restart at `now`; False when it is one too many."""
        self._times.append(now)
        while self._times[0] <= now - self._intensity.period_s:
            self._times.popleft()
        return len(self._times) <= self._intensity.max_restarts


@dataclass(eq=False, slots=True)
class _Child:
    spec: ChildSpec
    restarts: int = 0
    scope: trio.CancelScope | None = None
    ended: trio.Event = field(default_factory=trio.Event)


@dataclass(frozen=True, slots=True)
class _Exit:
    child: _Child
    scope: trio.CancelScope
    reason: Exception | None


class Supervisor:
    """Runs children; itself usable as the child of another through `spec()`."""

    def __init__(
        self,
        name: str,
        children: Sequence[ChildSpec],
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: RestartIntensity | None = None,
    ) -> None:
        self.name = name
        self._strategy = strategy
        self._intensity = intensity or RestartIntensity()
        self._children = [_Child(spec) for spec in children]
        self._stop_requested = False
        self._wake = trio.Event()
        self._exits: deque[_Exit] = deque()

    def spec(self, *, shutdown_s: float = 30.0) -> ChildSpec:
        """This supervisor as a child."""
        return ChildSpec(self.name, self.run, stop=self.stop, shutdown_s=shutdown_s, supervisor=self)

    def stop(self) -> None:
        """Ask for an orderly stop: children end in reverse order, each in its own time."""
        self._stop_requested = True
        self._wake.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Supervise until stopped, or until all children have ended for good.

        Raises RestartIntensityExceeded, or what a child raised that could not even be started at first.
        """
        self._stop_requested = False
        self._exits.clear()
        counter = RestartCounter(self._intensity)
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            for child in self._children:
                failure = failure or await self._start(child, nursery)
            if failure is None:
                task_status.started()
                failure = await self._supervise(counter, nursery)
            await self._stop_children(self._children)
        if failure is not None:
            raise failure

    async def _supervise(self, counter: RestartCounter, nursery: trio.Nursery) -> Exception | None:
        while not self._stop_requested and (self._exits or any(child.scope for child in self._children)):
            await self._wake.wait()
            self._wake = trio.Event()
            while self._exits and not self._stop_requested:
                exit_ = self._exits.popleft()
                if not self._is_crash(exit_):
                    continue
                name, reason = exit_.child.spec.name, exit_.reason
                log.error("%s/%s ended: %r", self.name, name, reason, exc_info=reason)
                if not counter.allows(trio.current_time()):
                    exceeded = RestartIntensityExceeded(f"{self.name}: {name} ended once too often")
                    exceeded.__cause__ = reason
                    return exceeded
                await self._restart(exit_.child, nursery)
        return None

    @staticmethod
    def _is_crash(exit_: _Exit) -> bool:
        if exit_.reason is not None:
            return True
        stopped_by_us = exit_.scope.cancel_called
        return not stopped_by_us and exit_.child.spec.restart is Restart.PERMANENT

    async def _restart(self, child: _Child, nursery: trio.Nursery) -> None:
        rest = self._children[self._children.index(child) :]
        again = rest if self._strategy is Strategy.REST_FOR_ONE else [child]
        await self._stop_children(again)
        for each in again:
            each.restarts += 1
            reason = await self._start(each, nursery)
            if reason is not None:
                return  # its exit is in the queue, and counts as one more crash

    async def _start(self, child: _Child, nursery: trio.Nursery) -> Exception | None:
        child.scope = trio.CancelScope()
        child.ended = trio.Event()
        reason: Exception | None = await nursery.start(self._run_child, child, child.scope)
        return reason

    async def _run_child(
        self, child: _Child, scope: trio.CancelScope, *, task_status: trio.TaskStatus[Exception | None]
    ) -> None:
        reason: Exception | None = None
        started = _Started(task_status)
        try:
            with scope:
                await child.spec.start(task_status=started)
        except Exception as error:  # this is what a supervisor is for
            reason = error
        child.scope = None
        child.ended.set()
        self._exits.append(_Exit(child, scope, reason))
        self._wake.set()
        if not started.reported:
            task_status.started(reason)

    async def _stop_children(self, children: Sequence[_Child]) -> None:
        for child in reversed(children):
            scope = child.scope
            if scope is None:
                continue
            if child.spec.stop is not None:
                child.spec.stop()
                with trio.move_on_after(child.spec.shutdown_s):
                    await child.ended.wait()
            scope.cancel()
            await child.ended.wait()

    def statistics(self) -> ChildStatistics:
        """The tree under this supervisor."""
        children = tuple(self._child_statistics(child) for child in self._children)
        running = any(child.running for child in children)
        return ChildStatistics(f"{self.name} ({self._strategy})", running, 0, children=children)

    @staticmethod
    def _child_statistics(child: _Child) -> ChildStatistics:
        spec, running = child.spec, child.scope is not None
        if spec.supervisor is not None:
            inner = spec.supervisor.statistics()
            return ChildStatistics(inner.name, running, child.restarts, children=inner.children)
        return ChildStatistics(spec.name, running, child.restarts, spec.statistics and spec.statistics())


class _Started:
    """A child's task status: tells the supervisor "started, no reason to worry", and remembers that it did."""

    def __init__(self, inner: trio.TaskStatus[Exception | None]) -> None:
        self._inner = inner
        self.reported = False

    def started(self, value: None = None) -> None:
        self.reported = True
        self._inner.started(None)


def print_tree(node: ChildStatistics, depth: int = 0) -> Iterator[str]:
    """The tree as lines of text, two spaces a level."""
    state = "" if node.running else ", ended"
    numbers = f": {node.statistics}" if node.statistics is not None else ""
    yield f"{'  ' * depth}{node.name} (restarts {node.restarts}{state}){numbers}"
    for child in node.children:
        yield from print_tree(child, depth + 1)
