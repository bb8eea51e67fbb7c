"""The coordinator without a database: batches, leases, fairness, withdrawal, crashes."""

from __future__ import annotations

import gc
import random

import pytest
import trio
import trio.testing

from actors.account import AccountStatistics
from actors.coordinator import Coordinator
from actors.mailbox import MailboxStatistics
from actors.registry import AccountRegistry
from actors.restarts import RestartIntensity, RestartIntensityExceeded
from domain.errors import Code, DeadlineExceeded, Overloaded, Unavailable
from domain.ledger import Bundle, Order, Refused

DONE = Refused(Code.SAME_ACCOUNT)


def order(source: int, target: int) -> Order:
    return Order(source, target, 1, "USD", "alice", "alice")


class Bench:
    """A coordinator, askers in the background, and lanes driven by hand."""

    def __init__(self, nursery, **limits) -> None:
        self.registry = AccountRegistry(**limits.pop("registry", {}))
        self.coordinator = Coordinator(self.registry, **limits)
        self.nursery = nursery
        self.outcomes: list[tuple[int, int, object]] = []

    async def ask(self, source: int, target: int, **options) -> None:
        self.nursery.start_soon(self._ask, source, target, options)
        await trio.testing.wait_all_tasks_blocked()

    async def _ask(self, source: int, target: int, options) -> None:
        try:
            result: object = await self.coordinator.ask(order(source, target), **options)
        except (Unavailable, Overloaded, DeadlineExceeded) as error:
            result = error.code
        self.outcomes.append((source, target, result))

    def gather(self, lane: object) -> list:
        return self.coordinator._gather(lane)

    def finish(self, lane: object, batch: list) -> None:
        with self.coordinator.leased(lane, batch):
            for message in batch:
                message.answer(DONE)


def pairs(batch) -> list[tuple[int, int]]:
    return [(message.body.from_account_id, message.body.to_account_id) for message in batch]


async def test_everything_that_waits_on_a_free_account_is_one_batch(nursery):
    bench = Bench(nursery)
    for target in range(2, 8):
        await bench.ask(1, target)
    batch = bench.gather("lane")
    assert pairs(batch) == [(1, target) for target in range(2, 8)]
    await bench.ask(1, 9)
    assert bench.gather("other lane") == []
    bench.finish("lane", batch)
    assert pairs(bench.gather("other lane")) == [(1, 9)]


@pytest.mark.parametrize("end", ["answered", "failed", "withdrawn"])
async def test_nothing_of_a_transfer_is_left_for_the_collector(nursery, end):
    async with trio.open_nursery() as askers:
        bench = Bench(askers)
        gc.collect()
        gc.disable()
        try:
            for _ in range(100):
                await bench.ask(1, 2)
            if end == "answered":
                bench.finish("lane", bench.gather("lane"))
            elif end == "failed":
                with bench.coordinator.leased("lane", bench.gather("lane")):
                    pass
            else:
                askers.cancel_scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert len(bench.outcomes) == (0 if end == "withdrawn" else 100)
            assert gc.collect() < 100
        finally:
            gc.enable()


async def test_a_cold_pair_goes_while_a_hot_account_is_leased(nursery):
    bench = Bench(nursery)
    await bench.ask(1, 2)
    hot = bench.gather("lane 1")
    for _ in range(50):
        await bench.ask(1, 2)
    await bench.ask(5, 6)
    assert pairs(bench.gather("lane 2")) == [(5, 6)]
    bench.finish("lane 1", hot)
    assert len(bench.gather("lane 1")) == 50


async def test_a_batch_is_bounded_and_the_rest_is_next(nursery):
    bench = Bench(nursery, batch_max=4)
    for _ in range(6):
        await bench.ask(1, 2)
    first = bench.gather("lane")
    assert len(first) == 4
    bench.finish("lane", first)
    assert len(bench.gather("lane")) == 2


async def test_an_order_is_overtaken_a_bounded_number_of_times(nursery):
    bench = Bench(nursery, overtake_max=3)
    await bench.ask(2, 9)
    blocker = bench.gather("lane 2")  # holds 2
    await bench.ask(1, 2)  # must wait for 2
    overtakers = 0
    for _ in range(10):
        await bench.ask(1, 3)
        batch = bench.gather("lane 1")
        overtakers += len(batch)
        if batch:
            bench.finish("lane 1", batch)
    assert overtakers <= 4
    bench.finish("lane 2", blocker)
    assert (1, 2) in pairs(bench.gather("lane 1"))


async def test_a_withdrawn_order_is_dropped_before_work(nursery):
    bench = Bench(nursery)
    with trio.move_on_after(0.01):
        await bench.coordinator.ask(order(1, 2))
    assert bench.gather("lane") == []
    assert bench.coordinator.statistics().waiting == 0
    assert bench.registry.statistics().idle == 2


async def test_an_order_that_was_taken_goes_on_without_its_sender(nursery):
    bench = Bench(nursery)
    batch: list = []
    async with trio.open_nursery() as inner:
        inner.start_soon(bench.coordinator.ask, order(1, 2))
        await trio.testing.wait_all_tasks_blocked()
        batch = bench.gather("lane")
        inner.cancel_scope.cancel()
    assert len(batch) == 1
    bench.finish("lane", batch)
    assert bench.coordinator.statistics().in_flight == 0


async def test_whoever_stops_waiting_is_not_worked_for(nursery):
    bench = Bench(nursery)
    with trio.move_on_after(0.01) as waiting:
        await bench.coordinator.ask(order(1, 2))
    assert waiting.cancelled_caught
    assert bench.gather("lane") == []


async def test_full_mailboxes_and_a_full_house_are_overloaded(nursery):
    bench = Bench(nursery, registry={"mailbox_max": 2}, waiting_max=3)
    for target in (2, 3, 4):
        await bench.ask(1, target)
    assert bench.outcomes == [(1, 4, Code.OVERLOADED)]
    await bench.ask(5, 6)
    await bench.ask(7, 8)
    assert bench.outcomes[1:] == [(7, 8, Code.OVERLOADED)]
    assert bench.coordinator.statistics().overloaded == 2


async def test_a_crash_fails_what_the_actor_holds_and_nothing_else(nursery):
    bench = Bench(nursery)
    await bench.ask(1, 2)
    await bench.ask(3, 4)
    bench.coordinator.crash(bench.registry.get(1), RuntimeError("broken"))
    await trio.testing.wait_all_tasks_blocked()
    assert bench.outcomes == [(1, 2, Code.UNAVAILABLE)]
    await bench.ask(1, 2)
    assert sorted(pairs(bench.gather("lane"))) == [(1, 2), (3, 4)]


async def test_a_crash_loop_ends_the_registry():
    registry = AccountRegistry(intensity=RestartIntensity(max_restarts=2, period_s=60))
    with pytest.RaisesGroup(RestartIntensityExceeded):
        async with trio.open_nursery() as nursery:
            await nursery.start(registry.run)
            for _ in range(3):
                registry.crash(registry.get(1), RuntimeError("broken"))
            await trio.sleep(1)


async def test_closing_refuses_new_orders_and_lets_the_rest_finish(nursery):
    bench = Bench(nursery)
    await bench.ask(1, 2)
    bench.coordinator.close()
    await bench.ask(3, 4)
    assert bench.outcomes == [(3, 4, Code.SHUTTING_DOWN)]
    batch = await bench.coordinator.take("lane")
    bench.finish("lane", batch)
    assert await bench.coordinator.take("lane") == []


async def test_unanswered_orders_of_a_failed_lane_are_unavailable(nursery):
    bench = Bench(nursery)
    await bench.ask(1, 2)
    batch = bench.gather("lane")
    with pytest.raises(RuntimeError), bench.coordinator.leased("lane", batch):
        raise RuntimeError
    await trio.testing.wait_all_tasks_blocked()
    assert bench.outcomes == [(1, 2, Code.UNAVAILABLE)]
    await bench.ask(1, 2)
    assert len(bench.gather("lane")) == 1


async def test_idle_actors_are_let_go(nursery):
    bench = Bench(nursery, registry={"idle_max": 10})
    for number in range(100):
        await bench.ask(2 * number + 1, 2 * number + 2)
        bench.finish("lane", bench.gather("lane"))
    statistics = bench.registry.statistics()
    assert statistics.actors == statistics.idle == 10


def bundle(*pairs_: tuple[int, int]) -> Bundle:
    return Bundle(tuple(order(*pair) for pair in pairs_))


async def test_a_bundle_goes_when_all_its_accounts_are_free_and_leases_them_all(nursery):
    bench = Bench(nursery)
    await bench.ask(1, 2)
    held = bench.gather("lane")
    nursery.start_soon(bench.coordinator.ask, bundle((3, 4), (5, 1)))
    await trio.testing.wait_all_tasks_blocked()
    await bench.ask(3, 6)
    assert pairs(bench.gather("other lane")) == [(3, 6)]
    bench.finish("lane", held)
    assert bench.gather("lane") == []  # 3 is busy now
    await bench.ask(4, 5)
    assert pairs(bench.gather("third lane")) == [(4, 5)]


async def test_a_bundle_that_was_overtaken_often_enough_is_overtaken_no_more(nursery):
    bench = Bench(nursery, overtake_max=3)
    await bench.ask(1, 2)
    held = bench.gather("lane")
    nursery.start_soon(bench.coordinator.ask, bundle((3, 4), (5, 1)))
    await trio.testing.wait_all_tasks_blocked()
    for _ in range(3):
        await bench.ask(3, 6)
        bench.finish("other lane", bench.gather("other lane"))
    await bench.ask(3, 6)
    assert bench.gather("other lane") == []
    bench.finish("lane", held)
    batch = bench.gather("lane")
    assert [message.weight for message in batch] == [2]
    assert bench.coordinator.statistics().in_flight == 2
    bench.finish("lane", batch)
    assert pairs(bench.gather("lane")) == [(3, 6)]


async def test_a_bundle_counts_as_many_orders_as_it_has(nursery):
    bench = Bench(nursery, batch_max=4, waiting_max=7)
    for _ in range(2):
        nursery.start_soon(bench.coordinator.ask, bundle((1, 2), (1, 3), (1, 4)))
    await trio.testing.wait_all_tasks_blocked()
    await bench.ask(1, 5)
    await bench.ask(1, 6)
    assert bench.outcomes == [(1, 6, Code.OVERLOADED)]
    batch = bench.gather("lane")
    assert [message.weight for message in batch] == [3, 3]
    bench.finish("lane", batch)
    assert [message.weight for message in bench.gather("lane")] == [1]


async def test_a_listener_is_told_and_who_withdraws_is_not(nursery):
    bench = Bench(nursery)
    told = []
    first, second, third = (bench.coordinator.tell(order(1, 2), told.append) for _ in range(3))
    bench.coordinator.withdraw(second)
    batch = bench.gather("lane")
    assert batch == [first, third]
    bench.coordinator.withdraw(third)
    bench.finish("lane", batch)
    assert [each.unwrap() for each in told] == [DONE]
    statistics = bench.coordinator.statistics()
    assert statistics.waiting == statistics.in_flight == 0


async def test_random_traffic_over_lanes_answers_everybody(nursery):
    """Whatever is asked and withdrawn, everything ends, leases never overlap, and nothing is left."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    bench = Bench(nursery, batch_max=8, overtake_max=5)
    held: set[int] = set()
    answered = withdrawn = 0

    async def lane(name: str) -> None:
        while batch := await bench.coordinator.take(name):
            accounts = {account for message in batch for account in message.body.account_ids}
            assert not accounts & held
            held.update(accounts)
            with bench.coordinator.leased(name, batch):
                for _ in range(rng.randrange(4)):
                    await trio.lowlevel.checkpoint()
                for message in batch:
                    message.answer(DONE)
                held.difference_update(accounts)

    async def asker() -> None:
        nonlocal answered, withdrawn
        for _ in range(50):
            with trio.CancelScope() as scope:
                if rng.random() < 0.2:
                    scope.deadline = trio.current_time() + rng.random() * 0.001
                orders = [order(rng.randint(1, 12), rng.randint(1, 12)) for _ in range(rng.randint(1, 4))]
                await bench.coordinator.ask(Bundle(tuple(orders)) if len(orders) > 2 else orders[0])
                answered += 1
            withdrawn += scope.cancelled_caught

    with trio.fail_after(30):
        async with trio.open_nursery() as lanes:
            for number in range(3):
                lanes.start_soon(lane, f"lane {number}")
            async with trio.open_nursery() as askers:
                for _ in range(40):
                    askers.start_soon(asker)
            bench.coordinator.close()
    assert answered + withdrawn == 2_000
    statistics = bench.coordinator.statistics()
    assert statistics.waiting == statistics.in_flight == 0
    assert bench.registry.statistics().actors == bench.registry.statistics().idle


async def test_an_actor_tells_what_waits_for_it_and_who_works_on_it(nursery):
    bench = Bench(nursery)
    await bench.ask(1, 2)
    batch = bench.gather("lane")
    await bench.ask(1, 2)
    (source, _) = batch[0].actors
    assert source.statistics() == AccountStatistics(
        1, leased=True, served=1, seen_seq=0, mailbox=MailboxStatistics(1, source.mailbox.capacity, 2, 0)
    )
    bench.finish("lane", batch)
    assert not source.statistics().leased
