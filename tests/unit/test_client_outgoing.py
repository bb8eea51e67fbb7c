"""What a connection has to say waits with whoever says it, where nobody reads it."""

from __future__ import annotations

from types import SimpleNamespace

import trio
import trio.testing

from transport.client import frames
from transport.client.outgoing import UNSENT_BYTES_MAX, Outgoing


def open_call(stream_id: int) -> SimpleNamespace:
    """A call whose server takes whatever comes."""
    return SimpleNamespace(id=stream_id, room=frames.WINDOW_MAX, half_closed=False, ended=False)


async def received(stream: trio.abc.ReceiveStream) -> int:
    """How much data is ready to be read."""
    buffer, total = bytearray(), 0
    with trio.move_on_after(0.01):
        while data := await stream.receive_some(2**20):
            buffer += data
            total += sum(len(payload) for _, _, _, payload in frames.take_frames(buffer))
    return total


async def test_no_more_is_kept_unsent_than_a_bound(autojump_clock):
    ours, theirs = trio.testing.lockstep_stream_pair()
    outgoing = Outgoing(ours, b"")
    outgoing.widen(frames.WINDOW_MAX - frames.WINDOW_DEFAULT)
    data = bytes(4 * UNSENT_BYTES_MAX)
    call, done = open_call(1), []

    async def put() -> None:
        await outgoing.put_data(call, data, last=True)
        done.append(call.half_closed)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        await trio.testing.wait_all_tasks_blocked()
        assert frames.WINDOW_MAX - call.room <= UNSENT_BYTES_MAX
        assert not done
        nursery.start_soon(outgoing.run)
        assert await received(theirs) == len(data)
        nursery.cancel_scope.cancel()
    assert done == [True]


async def test_a_call_that_has_ended_waits_no_longer(autojump_clock):
    ours, _ = trio.testing.memory_stream_pair()
    outgoing, call = Outgoing(ours, b""), open_call(1)
    call.room = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: outgoing.put_data(call, b"more", last=False))
        await trio.testing.wait_all_tasks_blocked()
        call.ended = True
        outgoing.wake(1)
    assert call.room == 0
