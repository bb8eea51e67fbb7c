"""Messages, mailboxes, and actors with a task."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from actors.actor import Actor
from actors.mailbox import Mailbox
from actors.message import Message, State
from domain.errors import Overloaded, Unavailable


class Doubler(Actor[int, int]):
    def __init__(self, mailbox_max: int = 10) -> None:
        super().__init__(mailbox_max=mailbox_max)
        self.seen: list[int] = []
        self.gate = trio.Event()
        self.gate.set()

    async def receive(self, body: int) -> int:
        await self.gate.wait()
        self.seen.append(body)
        if body < 0:
            raise ValueError(body)
        return body * 2


async def test_ask_returns_the_reply_and_tell_does_not_wait(nursery):
    actor = Doubler()
    await nursery.start(actor.run)
    actor.tell(1)
    assert await actor.ask(21) == 42
    assert actor.seen == [1, 21]
    nursery.cancel_scope.cancel()


async def test_a_full_mailbox_refuses_at_once(nursery):
    actor = Doubler(mailbox_max=2)
    actor.tell(1)
    actor.tell(2)
    with pytest.raises(Overloaded):
        actor.tell(3)
    assert actor.statistics().refused == 1
    assert actor.statistics().waiting == 2


async def test_a_crash_fails_the_message_in_hand_and_leaves_the_rest(nursery):
    actor = Doubler()
    actor.gate = trio.Event()
    results: list[object] = []

    async def ask(body: int) -> None:
        try:
            results.append(await actor.ask(body))
        except Unavailable:
            results.append("unavailable")

    for body in (-1, 5):
        nursery.start_soon(ask, body)
        await trio.testing.wait_all_tasks_blocked()
    actor.gate.set()
    with pytest.raises(ValueError, match="-1"):
        await actor.run()
    await trio.testing.wait_all_tasks_blocked()
    assert results == ["unavailable"]
    await nursery.start(actor.run)  # as a supervisor would
    await trio.testing.wait_all_tasks_blocked()
    assert results == ["unavailable", 10]
    nursery.cancel_scope.cancel()


async def test_a_cancelled_ask_is_withdrawn_while_queued(nursery):
    actor = Doubler()
    with trio.move_on_after(0.01):
        await actor.ask(1)
    assert actor.statistics().waiting == 0
    await nursery.start(actor.run)
    assert await actor.ask(2) == 4
    assert actor.seen == [2]
    nursery.cancel_scope.cancel()


async def test_a_cancelled_ask_goes_on_once_it_was_taken(nursery):
    actor = Doubler()
    actor.gate = trio.Event()
    await nursery.start(actor.run)
    with trio.move_on_after(0.01):
        await actor.ask(1)
    actor.gate.set()
    assert await actor.ask(2) == 4
    assert actor.seen == [1, 2]
    nursery.cancel_scope.cancel()


async def test_a_message_past_its_deadline_is_dropped_before_work(nursery):
    actor = Doubler()
    with pytest.raises(trio.TooSlowError), trio.fail_after(0.05):
        await actor.ask(1)
    late = Message[int, int](7, deadline=trio.current_time() - 1)
    actor._mailbox.put(late)
    await nursery.start(actor.run)
    await trio.testing.wait_all_tasks_blocked()
    assert actor.seen == []
    assert late.state is State.ANSWERED
    nursery.cancel_scope.cancel()


async def test_a_mailbox_is_first_in_first_out_and_gives_up_any_message():
    mailbox: Mailbox[Message[int, int]] = Mailbox(5)
    messages = [Message[int, int](n) for n in range(4)]
    for message in messages:
        mailbox.put(message)
    mailbox.remove(messages[1])
    assert [message.body for message in mailbox.first(2)] == [0, 2]
    assert (await mailbox.get()).body == 0
    assert len(mailbox) == 2
