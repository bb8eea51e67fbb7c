"""Supervision: who is restarted, how often, and in which order things end."""

from __future__ import annotations

import itertools

import pytest
import trio
import trio.testing

from actors.restarts import Backoff, RestartIntensity, RestartIntensityExceeded
from actors.supervisor import (
    ChildSpec,
    Restart,
    Strategy,
    Supervisor,
    print_tree,
)


class Child:
    """Runs until told to crash or to end; notes what happens to it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        self._orders: trio.MemorySendChannel[str]
        self._received: trio.MemoryReceiveChannel[str]
        self._orders, self._received = trio.open_memory_channel(10)

    def order(self, what: str) -> None:
        self._orders.send_nowait(what)

    async def run(self, *, task_status=trio.TASK_STATUS_IGNORED) -> None:
        self.log.append(f"{self.name} starts")
        task_status.started()
        try:
            what = await self._received.receive()
        except trio.Cancelled:
            self.log.append(f"{self.name} cancelled")
            raise
        self.log.append(f"{self.name} {what}")
        if what == "crashes":
            raise RuntimeError(self.name)

    def spec(self, **options) -> ChildSpec:
        return ChildSpec(self.name, self.run, **options)


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def children(log) -> list[Child]:
    return [Child(name, log) for name in "abc"]


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_one_for_one_restarts_the_crashed_child_alone(children, log, nursery, autojump_clock):
    supervisor = Supervisor("s", [child.spec() for child in children])
    await nursery.start(supervisor.run)
    children[1].order("crashes")
    await settle()
    assert log == ["a starts", "b starts", "c starts", "b crashes", "b starts"]
    assert [child.restarts for child in supervisor.statistics().children] == [0, 1, 0]
    supervisor.stop()


async def test_rest_for_one_restarts_what_was_started_after_it_too(children, log, nursery, autojump_clock):
    supervisor = Supervisor("s", [child.spec() for child in children], strategy=Strategy.REST_FOR_ONE)
    await nursery.start(supervisor.run)
    log.clear()
    children[1].order("crashes")
    await settle()
    assert log == ["b crashes", "c cancelled", "b starts", "c starts"]
    supervisor.stop()


async def test_a_transient_child_that_ends_well_is_left_ended(children, log, nursery, autojump_clock):
    supervisor = Supervisor("s", [child.spec(restart=Restart.TRANSIENT) for child in children])
    await nursery.start(supervisor.run)
    children[0].order("ends")
    children[1].order("crashes")
    await settle()
    assert log[3:] in (["a ends", "b crashes", "b starts"], ["b crashes", "a ends", "b starts"])
    supervisor.stop()


async def test_a_permanent_child_is_restarted_however_it_ended(children, log, nursery, autojump_clock):
    supervisor = Supervisor("s", [children[0].spec()])
    await nursery.start(supervisor.run)
    children[0].order("ends")
    await settle()
    assert log == ["a starts", "a ends", "a starts"]
    supervisor.stop()


async def test_stopping_ends_children_in_reverse_order(children, log, nursery, autojump_clock):
    supervisor = Supervisor("s", [child.spec() for child in children])
    await nursery.start(supervisor.run)
    log.clear()
    supervisor.stop()
    await settle()
    assert log == ["c cancelled", "b cancelled", "a cancelled"]
    assert not supervisor.statistics().running


async def test_a_child_with_a_stop_has_its_time_and_no_more(children, log, nursery, autojump_clock):
    willing, stubborn = children[:2]
    supervisor = Supervisor(
        "s",
        [
            willing.spec(stop=lambda: willing.order("ends"), shutdown_s=5),
            stubborn.spec(stop=lambda: log.append("b asked"), shutdown_s=5),
        ],
    )
    await nursery.start(supervisor.run)
    log.clear()
    began = trio.current_time()
    supervisor.stop()
    await trio.sleep(6)
    assert log == ["b asked", "b cancelled", "a ends"]
    assert trio.current_time() - began == pytest.approx(6)


async def test_crashing_too_often_gives_up_and_stops_the_others(children, log, autojump_clock):
    supervisor = Supervisor(
        "s",
        [child.spec() for child in children],
        intensity=RestartIntensity(max_restarts=2, period_s=10),
    )
    for _ in range(3):
        children[0].order("crashes")
    with pytest.raises(RestartIntensityExceeded) as caught:
        await supervisor.run()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert log.count("a starts") == 3
    assert log[-2:] == ["c cancelled", "b cancelled"]


async def test_crashes_further_apart_than_the_period_are_forgiven(children, log, nursery, autojump_clock):
    intensity = RestartIntensity(max_restarts=1, period_s=10)
    supervisor = Supervisor("s", [children[0].spec()], intensity=intensity)
    await nursery.start(supervisor.run)
    for _ in range(5):
        children[0].order("crashes")
        await trio.sleep(11)
    assert log.count("a starts") == 6
    supervisor.stop()


async def test_giving_up_is_one_crash_to_the_parent(children, log, nursery, autojump_clock):
    inner = Supervisor("inner", [children[0].spec()], intensity=RestartIntensity(0, 10))
    outer = Supervisor("outer", [inner.spec(), children[1].spec()], intensity=RestartIntensity(1, 10))
    await nursery.start(outer.run)
    children[0].order("crashes")
    await settle()
    assert log == ["a starts", "b starts", "a crashes", "a starts"]
    assert outer.statistics().children[0].restarts == 1
    outer.stop()


async def test_a_child_that_cannot_start_fails_the_supervisor(log, autojump_clock):
    async def broken(*, task_status) -> None:
        raise RuntimeError("no")

    first = Child("a", log)
    with pytest.raises(RuntimeError, match="no"):
        await Supervisor("s", [first.spec(), ChildSpec("b", broken)]).run()
    assert log == ["a starts", "a cancelled"]


async def test_cancelling_the_supervisor_ends_everything(children, log, autojump_clock):
    with trio.move_on_after(1):
        await Supervisor("s", [child.spec() for child in children]).run()
    assert sorted(log[3:]) == ["a cancelled", "b cancelled", "c cancelled"]


async def test_the_tree_can_be_printed(children, nursery, autojump_clock):
    inner = Supervisor("inner", [children[0].spec(statistics=lambda: 42)])
    outer = Supervisor("outer", [inner.spec(), children[1].spec()], strategy=Strategy.REST_FOR_ONE)
    await nursery.start(outer.run)
    assert list(print_tree(outer.statistics())) == [
        "outer (rest_for_one) (restarts 0)",
        "  inner (one_for_one) (restarts 0)",
        "    a (restarts 0): 42",
        "  b (restarts 0)",
    ]
    outer.stop()


async def hanging(*, task_status) -> None:
    """A child whose start never comes to its end."""
    await trio.sleep_forever()


async def test_stop_cuts_a_start_short_and_starts_nobody_else(children, log, autojump_clock):
    supervisor = Supervisor("s", [children[0].spec(), ChildSpec("slow", hanging), children[1].spec()])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        await settle()
        supervisor.stop()
    assert log == ["a starts", "a cancelled"]


async def test_stop_cuts_a_restart_short(children, log, nursery, autojump_clock):
    starts = 0

    async def slow_again(*, task_status) -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            task_status.started()
            await trio.sleep(1)
            raise RuntimeError
        await trio.sleep_forever()

    supervisor = Supervisor("s", [children[0].spec(), ChildSpec("slow", slow_again)])
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            await trio.sleep(2)
            assert starts == 2
            supervisor.stop()
    assert log == ["a starts", "a cancelled"]


async def test_stop_before_the_start_is_not_forgotten(children, log, autojump_clock):
    supervisor = Supervisor("s", [child.spec() for child in children])
    supervisor.stop()
    with trio.fail_after(1):
        await supervisor.run()
    assert log == []


async def test_a_child_that_cries_out_while_it_is_stopped_is_not_restarted_twice(log, nursery, autojump_clock):
    starts = 0

    async def loud(*, task_status) -> None:
        nonlocal starts
        starts += 1
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError

    first = Child("a", log)
    supervisor = Supervisor("s", [first.spec(), ChildSpec("loud", loud)], strategy=Strategy.REST_FOR_ONE)
    await nursery.start(supervisor.run)
    first.order("crashes")
    await settle()
    assert starts == 2
    assert [child.restarts for child in supervisor.statistics().children] == [1, 1]
    supervisor.stop()


async def test_two_that_crash_at_once_are_restarted_once_each(children, log, nursery, autojump_clock):
    supervisor = Supervisor("s", [child.spec() for child in children], strategy=Strategy.REST_FOR_ONE)
    await nursery.start(supervisor.run)
    children[0].order("crashes")
    children[1].order("crashes")
    await settle()
    assert [log.count(f"{name} starts") for name in "abc"] == [2, 2, 2]
    supervisor.stop()


async def test_a_child_that_can_not_be_restarted_counts_every_try(children, log, autojump_clock):
    starts = 0

    async def broken_again(*, task_status) -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            task_status.started()
        raise RuntimeError("no")

    supervisor = Supervisor(
        "s", [children[0].spec(), ChildSpec("b", broken_again)], intensity=RestartIntensity(3, 5)
    )
    with pytest.raises(RestartIntensityExceeded):
        await supervisor.run()
    assert starts == 4
    assert log == ["a starts", "a cancelled"]


async def test_backoff_pauses_longer_and_longer_and_never_gives_up(children, log, nursery, autojump_clock):
    began: list[float] = []

    async def broken(*, task_status) -> None:
        began.append(trio.current_time())
        if len(began) % 2:
            task_status.started()
        raise RuntimeError

    supervisor = Supervisor("s", [ChildSpec("b", broken), children[0].spec()], backoff=Backoff(1.0, 8.0))
    await nursery.start(supervisor.run)
    await trio.sleep(100)
    pauses = [round(later - earlier, 3) for earlier, later in itertools.pairwise(began)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert set(pauses[4:]) == {8}
    children[0].order("crashes")
    await trio.sleep(1.5)
    assert log == ["a starts", "a crashes", "a starts"]
    supervisor.stop()


async def test_backoff_begins_anew_after_a_good_while(nursery, autojump_clock):
    began: list[float] = []

    async def crashes_late(*, task_status) -> None:
        began.append(trio.current_time())
        task_status.started()
        await trio.sleep(10)
        raise RuntimeError

    supervisor = Supervisor("s", [ChildSpec("b", crashes_late)], backoff=Backoff(1.0, 8.0))
    await nursery.start(supervisor.run)
    await trio.sleep(40)
    assert [round(later - earlier, 3) for earlier, later in itertools.pairwise(began)] == [11] * 3
    supervisor.stop()


async def test_stop_does_not_wait_for_a_pause(children, log, nursery, autojump_clock):
    child = children[0]
    supervisor = Supervisor("s", [child.spec(stop=lambda: log.append("asked"))], backoff=Backoff(60, 60))
    with trio.fail_after(5):
        async with trio.open_nursery() as inner:
            await inner.start(supervisor.run)
            child.order("crashes")
            await settle()
            assert not supervisor.statistics().children[0].running
            supervisor.stop()
    assert log == ["a starts", "a crashes"]


async def test_a_parent_cuts_off_all_of_a_child_supervisor_at_its_time(children, log, nursery, autojump_clock):
    stubborn = [child.spec(stop=lambda: None, shutdown_s=5) for child in children]
    outer = Supervisor("outer", [Supervisor("inner", stubborn).spec(shutdown_s=5)])
    await nursery.start(outer.run)
    began = trio.current_time()
    outer.stop()
    await outer.stopping.wait()
    while outer.statistics().running:
        await trio.sleep(0.1)
    assert trio.current_time() - began == pytest.approx(5, abs=0.2)
    assert sorted(log[3:]) == ["a cancelled", "b cancelled", "c cancelled"]
