"""What has come for the app of a request."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from transport.http.inbox import Inbox

GONE = {"type": "http.disconnect"}


def body(number: int) -> dict[str, object]:
    return {"type": "http.request", "body": b"%d" % number, "more_body": True}


async def test_what_comes_is_received_in_order():
    inbox = Inbox(5)
    for number in range(3):
        await inbox.put(body(number))
    assert [await inbox.receive() for _ in range(3)] == [body(number) for number in range(3)]


async def test_what_has_not_come_is_waited_for(nursery):
    inbox, received = Inbox(5), []

    async def receive() -> None:
        received.append(await inbox.receive())

    nursery.start_soon(receive)
    await wait_all_tasks_blocked()
    assert not received
    await inbox.put(body(1))
    await wait_all_tasks_blocked()
    assert received == [body(1)]


async def test_whoever_sends_waits_for_room(nursery):
    inbox, sent = Inbox(2), []

    async def send() -> None:
        for number in range(5):
            await inbox.put(body(number))
            sent.append(number)

    nursery.start_soon(send)
    await wait_all_tasks_blocked()
    assert sent == [0, 1]
    assert await inbox.receive() == body(0)
    await wait_all_tasks_blocked()
    assert sent == [0, 1, 2]


async def test_that_the_client_is_gone_waits_for_nothing_and_ends_all_waiting(nursery):
    inbox, ended = Inbox(1), []

    async def send() -> None:
        for number in range(3):
            await inbox.put(body(number))
        ended.append("sending")

    nursery.start_soon(send)
    await wait_all_tasks_blocked()
    with trio.fail_after(1):
        await inbox.put(GONE)
    await wait_all_tasks_blocked()
    assert ended == ["sending"]
    assert [await inbox.receive() for _ in range(2)] == [GONE, GONE]
