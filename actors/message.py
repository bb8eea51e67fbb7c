"""A message on its way to an actor, and the one reply it gets.

A message is `queued`, then `taken` by whoever works on it, then `answered`. A sender that stops waiting
withdraws a queued message, so that it is dropped before work; one that is taken goes on without a listener,
so that it is never dropped after. A sender that does not wait at all leaves a listener instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Generic, TypeVar, cast

import outcome
import trio

Body = TypeVar("Body")
Reply = TypeVar("Reply")
Listener = Callable[[outcome.Outcome[Any]], None]
"""Is called where an answer is given: it must neither wait nor raise."""


class State(IntEnum):
    """Where a message stands; it only ever moves forward."""

    QUEUED = 0
    TAKEN = 1
    ANSWERED = 2
    WITHDRAWN = 3


class Message(Generic[Body, Reply]):
    """`body` for an actor; the sender may await `reply()`, once.

    `deadline` is on Trio's clock: past it, nobody waits for the reply any more.
    """

    __slots__ = ("_listener", "_result", "_task", "_withdraw", "body", "deadline", "state")

    def __init__(self, body: Body, deadline: float = math.inf) -> None:
        self.body = body
        self.deadline = deadline
        self.state = State.QUEUED
        self._task: trio.lowlevel.Task | None = None
        self._listener: Listener | None = None
        self._result: outcome.Outcome[Reply] | None = None
        self._withdraw: Callable[[Any], None] | None = None

    async def reply(self, withdraw: Callable[[Any], None]) -> Reply:
        """Wait for the answer. When cancelled while queued, `withdraw` takes this message out of its mailboxes.

        Raises whatever the actor failed the message with. Nothing here refers to itself, so that a message ends with
        its last user: a busy service has hundreds of thousands of them for the collector to find otherwise.
        """
        if self._result is not None:
            await trio.lowlevel.checkpoint()
            return self._result.unwrap()
        self._task = trio.lowlevel.current_task()
        self._withdraw = withdraw
        return cast(Reply, await trio.lowlevel.wait_task_rescheduled(self._abort))

    def listen(self, listener: Listener) -> None:
        """Have somebody told the answer, instead of awaiting `reply`."""
        self._listener = listener

    def withdraw(self) -> bool:
        """Want no answer any more; returns whether it was queued, and is to be taken out of its mailboxes."""
        self._listener = None
        if self.state is not State.QUEUED:
            return False
        self.state = State.WITHDRAWN
        return True

    def take(self) -> None:
        """Mark as worked on: from here on it can not be withdrawn."""
        assert self.state is State.QUEUED
        self.state = State.TAKEN

    def answer(self, value: Reply) -> None:
        """Give the reply; the sender, if it still waits, runs next."""
        self._finish(outcome.Value(value))

    def fail(self, error: Exception) -> None:
        """Give the sender an exception instead."""
        self._finish(outcome.Error(error))

    def _finish(self, result: outcome.Outcome[Reply]) -> None:
        if self.state is State.WITHDRAWN:
            return
        assert self.state is not State.ANSWERED
        self.state = State.ANSWERED
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task, result)
        elif self._listener is not None:
            self._listener(result)
        else:
            self._result = result

    def _abort(self, _: Callable[[], None]) -> trio.lowlevel.Abort:
        # Safe: runs in the scheduler while the sender is parked, so nothing can answer at the same time.
        self._task = None
        if self.withdraw():
            assert self._withdraw is not None
            self._withdraw(self)
        return trio.lowlevel.Abort.SUCCEEDED
