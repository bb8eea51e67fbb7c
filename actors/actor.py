"""An actor with a task of its own: one mailbox, one message at a time, `tell` and `ask`.

A crash fails the message in hand with `unavailable`; the messages behind it wait for the restart, which is
the supervisor's decision. (Account actors have no task: see `actors.account`.)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import trio

from actors.mailbox import Mailbox, MailboxStatistics
from actors.message import Message, State
from domain.errors import Unavailable

Body = TypeVar("Body")
Reply = TypeVar("Reply")


class Actor(ABC, Generic[Body, Reply]):
    """Subclasses say in `receive` what a message means."""

    def __init__(self, *, mailbox_max: int) -> None:
        self._mailbox: Mailbox[Message[Body, Reply]] = Mailbox(mailbox_max)

    @abstractmethod
    async def receive(self, body: Body) -> Reply:
        """Do what the message says; an exception is a crash."""

    def tell(self, body: Body) -> None:
        """Send without waiting for a reply; raises Overloaded when the mailbox is full."""
        self._mailbox.put(Message(body))

    async def ask(self, body: Body, *, deadline: float = math.inf) -> Reply:
        """Send and wait for the reply.

        Raises Overloaded when the mailbox is full, and Unavailable when the actor crashed on this message. A
        caller that is cancelled withdraws a message that nobody has begun to work on.
        """
        message: Message[Body, Reply] = Message(body, deadline)
        self._mailbox.put(message)
        return await message.reply(self._mailbox.remove)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the mailbox for ever; to be run by a supervisor."""
        task_status.started()
        while True:
            message = await self._mailbox.get()
            message.take()
            if message.deadline < trio.current_time():
                message.fail(Unavailable("nobody was free before the deadline"))
                continue
            try:
                message.answer(await self.receive(message.body))
            finally:
                if message.state is State.TAKEN:
                    message.fail(Unavailable("the actor serving this request failed"))

    def statistics(self) -> MailboxStatistics:
        """A snapshot of the mailbox."""
        return self._mailbox.statistics()
