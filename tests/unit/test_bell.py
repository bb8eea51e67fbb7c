"""A bell: rings are neither lost nor counted."""

from __future__ import annotations

import trio
import trio.testing

from actors.bell import Bell


async def test_a_ring_wakes_the_listener(nursery):
    bell, heard = Bell(), []

    async def listen():
        await bell.wait()
        heard.append(True)

    nursery.start_soon(listen)
    await trio.testing.wait_all_tasks_blocked()
    assert not heard
    bell.ring()
    bell.ring()
    await trio.testing.wait_all_tasks_blocked()
    assert heard == [True]


async def test_rings_before_it_listens_are_one():
    bell = Bell()
    bell.ring()
    bell.ring()
    with trio.testing.assert_checkpoints():
        await bell.wait()
    with trio.move_on_after(0) as waiting:
        await bell.wait()
    assert waiting.cancelled_caught


async def test_a_cancelled_listener_is_not_woken_and_loses_no_ring():
    bell = Bell()
    with trio.move_on_after(0):
        await bell.wait()
    bell.ring()
    with trio.CancelScope() as scope:
        scope.cancel()
        await bell.wait()
    assert scope.cancelled_caught
    with trio.fail_after(1):
        await bell.wait()
