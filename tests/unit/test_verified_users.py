"""That an address is proven is remembered for a moment, and never for longer than it is true."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from application import verified_users
from application.verified_users import REMEMBERED_S, VerifiedUsers
from domain.errors import PermissionDenied


class Database:
    """Says whether the address is proven, when it is let to."""

    def __init__(self) -> None:
        self.verified, self.asked = True, 0
        self.answering, self.reached = trio.Event(), trio.Event()
        self.answering.set()

        self.connections = trio.CapacityLimiter(10)

    @asynccontextmanager
    async def connection(self):
        async with self.connections:
            yield self

    async def is_verified(self, connection, username) -> bool:
        read, self.asked = self.verified, self.asked + 1
        self.reached.set()
        await self.answering.wait()
        return read


@pytest.fixture
def database(monkeypatch) -> Database:
    database = Database()
    monkeypatch.setattr(verified_users.users, "is_verified", database.is_verified)
    return database


async def test_yes_is_remembered_for_a_moment_and_no_never(autojump_clock, database):
    users = VerifiedUsers(database, required=True)
    for _ in range(3):
        await users.check("alice")
    assert database.asked == 1
    await trio.sleep(REMEMBERED_S)
    database.verified = False
    for asked in (2, 3):
        with pytest.raises(PermissionDenied):
            await users.check("alice")
        assert database.asked == asked


async def test_an_answer_from_before_a_change_is_not_remembered(database):
    users = VerifiedUsers(database, required=True)
    database.answering = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(users.check, "alice")
        await database.reached.wait()
        database.verified = False
        users.forget("alice")
        database.answering.set()
    with pytest.raises(PermissionDenied):
        await users.check("alice")


async def test_a_thousand_at_once_ask_no_oftener_than_there_are_connections(database):
    users = VerifiedUsers(database, required=True)
    async with trio.open_nursery() as nursery:
        for _ in range(1_000):
            nursery.start_soon(users.check, "alice")
    assert 1 <= database.asked <= database.connections.total_tokens
