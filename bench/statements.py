"""The two statements of a batch alone: the service's own persistence layer on one connection, without the service."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import cycle
from time import perf_counter

from domain.ledger import Order
from domain.settle import settle
from persistence import ledger
from persistence.connection import Connection


class Statements:
    """Every transfer leaves the first of the accounts, `owner`'s."""

    def __init__(self, connection: Connection, accounts: Sequence[int], owner: str, currency: str) -> None:
        self._connection = connection
        self._source, *targets = accounts
        self._targets = cycle(random.sample(targets, len(targets)))
        self._owner = owner
        self._currency = currency

    async def run(self, size: int, seconds: float) -> int:
        """Batches of this size for so long; returns how many transfers that were."""
        transfers, ends = 0, perf_counter() + seconds
        while perf_counter() < ends:
            await self._post(size)
            transfers += size
        return transfers

    async def _post(self, size: int) -> None:
        orders = [
            Order(self._source, next(self._targets), 1, self._currency, self._owner, None) for _ in range(size)
        ]
        ids = sorted({each for order in orders for each in order.account_ids})
        locked = await ledger.lock(self._connection, ids, [], new_ids=size)
        settlement = settle(orders, locked.accounts, locked.known, locked.now, iter(locked.ids))
        assert len(settlement.posted) == size
        await ledger.post(self._connection, settlement)
