"""The line between a worker and its parent, whose ends ask each other."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from cli.workers.line import Line, LineClosed


@pytest.fixture
def ends():
    return trio.testing.lockstep_stream_pair()


async def reversed_(question: bytes) -> bytes:
    return question[::-1]


async def test_either_end_is_answered_whatever_its_questions_cross(ends, nursery):
    async def slowly(question: bytes) -> bytes:
        await trio.sleep(1 / len(question))
        return question.upper()

    one, other = map(Line, ends)
    nursery.start_soon(one.run, slowly)
    nursery.start_soon(other.run, reversed_)
    answers = {}

    async def ask(line: Line, question: bytes) -> None:
        answers[question] = await line.ask(question)

    async with trio.open_nursery() as asking:
        for question in (b"a", b"abcd", b"abc" * 10_000):
            asking.start_soon(ask, other, question)
        asking.start_soon(ask, one, b"back")
    assert answers == {
        b"back": b"kcab",
        **{each: each.upper() for each in (b"a", b"abcd", b"abc" * 10_000)},
    }


async def test_an_answer_that_nobody_waits_for_any_more_is_no_others(ends, nursery, autojump_clock):
    async def slowly(question: bytes) -> bytes:
        await trio.sleep(5 if question == b"slow" else 0)
        return question

    one, other = map(Line, ends)
    nursery.start_soon(one.run, slowly)
    nursery.start_soon(other.run, reversed_)
    with trio.move_on_after(1):
        await other.ask(b"slow")
    assert await other.ask(b"quick") == b"quick"
    await trio.sleep(10)
    assert await other.ask(b"again") == b"again"


async def test_who_asks_learns_that_the_other_is_gone(ends, nursery):
    async def never(_: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    one, other = map(Line, ends)
    nursery.start_soon(one.run, never)

    async def until_gone() -> None:
        await other.run(reversed_)
        gone.set()

    gone = trio.Event()
    nursery.start_soon(until_gone)

    async def close() -> None:
        await trio.testing.wait_all_tasks_blocked()
        await ends[0].aclose()

    nursery.start_soon(close)
    with pytest.raises(LineClosed):
        await other.ask(b"anybody there?")
    await gone.wait()
    with pytest.raises(LineClosed):
        await other.ask(b"now?")
    nursery.cancel_scope.cancel()
