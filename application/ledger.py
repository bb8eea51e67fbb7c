"""Accounts: opened, read and followed; and money that bankers bring in and take out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from actors.coordinator import Coordinator
from actors.feed import Feed
from application.transfers import fingerprint, key_problem
from application.verified_users import VerifiedUsers
from domain import validation
from domain.errors import KeyReused, NotFound
from domain.ledger import Account, Entry, Key, Order, Outcome, Transfer
from domain.policy import Operation, Principal, Scope, check
from persistence import accounts
from persistence.faults import UniqueViolation
from persistence.pool import Pool

PAGE_DEFAULT, PAGE_MAX = 20, 100
SEQ_BEYOND_ALL = validation.ID_MAX


@dataclass(frozen=True, slots=True)
class Opened:
    """An account that was opened, now or by the first request with the same key."""

    account: Account
    replayed: bool = False


class Ledger:
    """Called by transports. `settlement_ids` names every currency's settlement account."""

    def __init__(
        self,
        pool: Pool,
        coordinator: Coordinator,
        *,
        settlement_ids: Mapping[str, int],
        currencies: Collection[str],
        verified: VerifiedUsers,
        feed: Feed,
    ) -> None:
        self._pool = pool
        self._coordinator = coordinator
        self._settlement_ids = settlement_ids
        self.currencies = frozenset(currencies)
        self._verified = verified
        self._feed = feed

    async def create_account(
        self, principal: Principal, *, currency: str, name: str = "", key: str | None = None
    ) -> Opened:
        """Open an account for the caller. Raises PermissionDenied, InvalidArgument, KeyReused."""
        check(principal, Operation.CREATE_ACCOUNT)
        validation.check(
            (
                ("currency", validation.currency(currency, self.currencies)),
                ("name", validation.account_name(name)),
                key_problem(key),
            )
        )
        await self._verified.check(principal.username)
        asked = fingerprint("create_account", currency, name)
        try:
            return await self._open(principal.username, currency, name, key, asked)
        except UniqueViolation:  # the same key, just now: its outcome is there
            return await self._open(principal.username, currency, name, key, asked)

    async def _open(self, username: str, currency: str, name: str, key: str | None, asked: bytes) -> Opened:
        async with self._pool.transaction() as connection:
            if key is not None:
                found = await accounts.find_opening(connection, Key(username, key))
                if found is not None:
                    return _replayed(found, asked)
            account = await accounts.open_account(connection, username, currency, name)
            if key is not None:
                await accounts.remember_opening(connection, Key(username, key), asked, account.id)
        return Opened(account)

    async def get_account(self, principal: Principal, account_id: int) -> Account:
        """One account: the caller's own, or any for staff that may read it. Raises NotFound."""
        return await self._readable(principal, check(principal, Operation.GET_ACCOUNT), account_id)

    async def _readable(self, principal: Principal, scope: Scope, account_id: int) -> Account:
        async with self._pool.connection() as connection:
            account = await accounts.find_account(connection, account_id) if _is_id(account_id) else None
        if account is None or (scope is not Scope.ANY and account.owner != principal.username):
            raise NotFound("account")
        return account

    async def list_accounts(
        self, principal: Principal, *, owner: str | None, after_id: int, limit: int
    ) -> list[Account]:
        """One owner's accounts, oldest first; without an owner the caller's, or everybody's for staff that may
        read them. Raises InvalidArgument, and NotFound for an owner whose accounts are not the caller's to read.
        """
        scope = check(principal, Operation.LIST_ACCOUNTS)
        if owner is not None:
            validation.check((("owner", validation.username(owner)),))
        if scope is not Scope.ANY:
            if owner not in (None, principal.username):
                raise NotFound("user")
            owner = principal.username
        async with self._pool.connection() as connection:
            return await accounts.list_accounts(connection, owner, after_id=after_id, limit=limit)

    async def list_entries(
        self, principal: Principal, account_id: int, *, before_seq: int = SEQ_BEYOND_ALL, limit: int
    ) -> list[Entry]:
        """An account's entries, newest first. Raises NotFound."""
        await self._readable(principal, check(principal, Operation.LIST_ENTRIES), account_id)
        async with self._pool.connection() as connection:
            return await accounts.list_entries(connection, account_id, before_seq=before_seq, limit=limit)

    async def watch(
        self, principal: Principal, account_id: int, ring: Callable[[], None]
    ) -> AbstractContextManager[None]:
        """Have `ring` called, for a block, whenever the account may have new entries. Raises NotFound."""
        await self._readable(principal, check(principal, Operation.WATCH_ACCOUNT), account_id)
        return self._feed.watching(account_id, ring)

    async def follow_entries(self, account_id: int, *, after_seq: int, limit: int) -> list[Entry]:
        """The entries after one of an account that is being watched, oldest first."""
        async with self._pool.connection() as connection:
            return await accounts.follow_entries(connection, account_id, after_seq=after_seq, limit=limit)

    async def deposit(
        self,
        principal: Principal,
        *,
        account_id: int,
        amount: int,
        key: str | None = None,
    ) -> Outcome:
        """Money in, from the currency's settlement account; verified bankers only."""
        return await self._move_bank_money(principal, Operation.DEPOSIT, account_id, amount, key)

    async def withdraw(
        self,
        principal: Principal,
        *,
        account_id: int,
        amount: int,
        key: str | None = None,
    ) -> Outcome:
        """Money out, to the currency's settlement account; verified bankers only."""
        return await self._move_bank_money(principal, Operation.WITHDRAW, account_id, amount, key)

    async def _move_bank_money(
        self,
        principal: Principal,
        operation: Literal[Operation.DEPOSIT, Operation.WITHDRAW],
        account_id: int,
        amount: int,
        key: str | None,
    ) -> Outcome:
        scope = check(principal, operation)
        validation.check((("amount", validation.amount(amount)), key_problem(key)))
        await self._verified.check(principal.username)
        account = await self._readable(principal, scope, account_id)
        if account.owner is None:
            raise NotFound("account")
        settlement_id = self._settlement_ids[account.currency]
        into = operation is Operation.DEPOSIT
        order = Order(
            from_account_id=settlement_id if into else account_id,
            to_account_id=account_id if into else settlement_id,
            amount=amount,
            currency=account.currency,
            requested_by=principal.username,
            owner=None,
            key=None if key is None else Key(principal.username, key),
            fingerprint=fingerprint(operation.value, account_id, amount) if key else b"",
        )
        return await self._coordinator.ask(order)

    async def get_transfer(self, principal: Principal, transfer_id: int) -> Transfer:
        """One transfer: for the owner of either side, or staff that may read it. Raises NotFound."""
        scope = check(principal, Operation.GET_TRANSFER)
        async with self._pool.connection() as connection:
            found = await accounts.find_transfer(connection, transfer_id) if _is_id(transfer_id) else None
        if found is None or (scope is not Scope.ANY and principal.username not in found[1:]):
            raise NotFound("transfer")
        return found[0]


def _is_id(value: int) -> bool:
    return 0 < value <= validation.ID_MAX


def _replayed(found: tuple[bytes, Account | None], asked: bytes) -> Opened:
    first, account = found
    if first != asked or account is None:
        raise KeyReused
    # As it was opened: whatever has happened to it since is no part of the first answer.
    return Opened(
        account._replace(balance=0, overdraft_limit=0, status="active", seq=0, changed_at=account.created_at),
        replayed=True,
    )
