"""A flow of transfers: every one that is submitted has an outcome, unless the flow has ended."""

from __future__ import annotations

import trio
import trio.testing

from actors.bell import Bell
from actors.coordinator import Coordinator
from actors.registry import AccountRegistry
from application.flow import Flow
from domain.errors import Code, InvalidArgument, Overloaded, ServiceError, Unavailable
from domain.ledger import Order, Refused

DONE = Refused(Code.SAME_ACCOUNT)


def order(wish: int) -> Order:
    if wish < 0:
        raise InvalidArgument.field("amount", "is negative")
    return Order(1, 2, wish, "USD", "alice", "alice")


class Bench:
    def __init__(self, **limits) -> None:
        self.coordinator = Coordinator(AccountRegistry(), **limits)
        self.bell = Bell()
        self.flow: Flow[int, str] = Flow(self.coordinator, order, self.bell.ring)

    def answer(self, answer) -> None:
        batch = self.coordinator._gather(self)
        with self.coordinator.leased(self, batch):
            for message in batch:
                answer(message)


def test_outcomes_come_with_their_references_and_are_taken_once():
    bench = Bench()
    with bench.flow as flow:
        flow.submit("a", 1)
        flow.submit("b", 2)
        assert (flow.under_way, flow.take()) == (2, [])
        bench.answer(lambda message: message.answer(DONE._replace(replayed=message.body.amount == 2)))
        assert flow.under_way == 2
        assert flow.take() == [("a", DONE), ("b", DONE._replace(replayed=True))]
        assert (flow.under_way, flow.take()) == (0, [])


def test_what_is_wrong_in_itself_or_finds_no_room_is_an_outcome_too():
    bench = Bench(waiting_max=1)
    with bench.flow as flow:
        flow.submit("wrong", -1)
        flow.submit("right", 1)
        flow.submit("late", 1)
        (wrong, first), (late, second) = flow.take()
        assert (wrong, type(first), late, type(second)) == ("wrong", InvalidArgument, "late", Overloaded)
        assert flow.under_way == 1


def test_what_fails_is_told_and_of_a_defect_nothing(caplog):
    bench = Bench()
    with bench.flow as flow:
        flow.submit("away", 1)
        bench.answer(lambda message: message.fail(Unavailable("away")))
        flow.submit("defect", 1)
        bench.answer(lambda message: message.fail(RuntimeError("select secret")))
        (_, away), (_, defect) = flow.take()
    assert isinstance(away, Unavailable)
    assert isinstance(defect, ServiceError)
    assert (defect.code, defect.message) == (Code.INTERNAL, "internal error")
    assert "select secret" in caplog.text


async def test_the_bell_rings_when_an_outcome_has_come():
    bench = Bench()
    with bench.flow as flow:
        flow.submit("a", 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.bell.wait)
            await trio.testing.wait_all_tasks_blocked()
            bench.answer(lambda message: message.answer(DONE))


def test_a_flow_that_ends_withdraws_what_waits_and_lets_go_what_is_taken():
    bench = Bench()
    with bench.flow as flow:
        flow.submit("taken", 1)
        taken = bench.coordinator._gather(bench)
        flow.submit("waiting", 1)
    assert bench.coordinator.statistics().waiting == 0
    with bench.coordinator.leased(bench, taken):
        taken[0].answer(DONE)
    assert flow.take() == []
    assert bench.coordinator.statistics().in_flight == 0
