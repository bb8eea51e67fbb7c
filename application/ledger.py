"""Everything about money: accounts, deposits, withdrawals, transfers, entries.

Money moves only through the coordinator. What can be said without looking at the accounts is said here
(permissions, well-formed input); ownership, status, currency and funds are decided on locked rows, by
`domain.settle`, so no answer rests on something that has changed since it was read.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from actors.coordinator import Coordinator
from application.verified_users import VerifiedUsers
from domain import validation
from domain.errors import KeyReused, NotFound
from domain.ledger import AMOUNT_MAX, Account, Entry, Key, Order, Outcome, Transfer
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
    ) -> None:
        self._pool = pool
        self._coordinator = coordinator
        self._settlement_ids = settlement_ids
        self.currencies = frozenset(currencies)
        self._verified = verified

    async def create_account(
        self, principal: Principal, *, currency: str, name: str = "", key: str | None = None
    ) -> Opened:
        """Open an account for the caller. Raises PermissionDenied, InvalidArgument, KeyReused."""
        check(principal, Operation.CREATE_ACCOUNT)
        validation.check(
            (
                ("currency", validation.currency(currency, self.currencies)),
                ("name", validation.account_name(name)),
                _key_problem(key),
            )
        )
        await self._verified.check(principal.username)
        fingerprint = _fingerprint("create_account", currency, name)
        try:
            return await self._open(principal.username, currency, name, key, fingerprint)
        except UniqueViolation:  # the same key, just now: its outcome is there
            return await self._open(principal.username, currency, name, key, fingerprint)

    async def _open(
        self, username: str, currency: str, name: str, key: str | None, fingerprint: bytes
    ) -> Opened:
        async with self._pool.transaction() as connection:
            if key is not None:
                found = await accounts.find_opening(connection, Key(username, key))
                if found is not None:
                    return _replayed(found, fingerprint)
            account = await accounts.open_account(connection, username, currency, name)
            if key is not None:
                await accounts.remember_opening(connection, Key(username, key), fingerprint, account.id)
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

    async def list_accounts(self, principal: Principal, *, after_id: int, limit: int) -> list[Account]:
        """The caller's accounts, oldest first."""
        check(principal, Operation.LIST_ACCOUNTS)
        async with self._pool.connection() as connection:
            return await accounts.list_accounts(connection, principal.username, after_id=after_id, limit=limit)

    async def list_entries(
        self, principal: Principal, account_id: int, *, before_seq: int = SEQ_BEYOND_ALL, limit: int
    ) -> list[Entry]:
        """An account's entries, newest first. Raises NotFound."""
        await self._readable(principal, check(principal, Operation.LIST_ENTRIES), account_id)
        async with self._pool.connection() as connection:
            return await accounts.list_entries(connection, account_id, before_seq=before_seq, limit=limit)

    async def deposit(
        self,
        principal: Principal,
        *,
        account_id: int,
        amount: int,
        key: str | None = None,
        deadline: float = math.inf,
    ) -> Outcome:
        """Money in, from the currency's settlement account; bankers only."""
        return await self._move_bank_money(principal, Operation.DEPOSIT, account_id, amount, key, deadline)

    async def withdraw(
        self,
        principal: Principal,
        *,
        account_id: int,
        amount: int,
        key: str | None = None,
        deadline: float = math.inf,
    ) -> Outcome:
        """Money out, to the currency's settlement account; bankers only."""
        return await self._move_bank_money(principal, Operation.WITHDRAW, account_id, amount, key, deadline)

    async def _move_bank_money(
        self,
        principal: Principal,
        operation: Literal[Operation.DEPOSIT, Operation.WITHDRAW],
        account_id: int,
        amount: int,
        key: str | None,
        deadline: float,
    ) -> Outcome:
        scope = check(principal, operation)
        validation.check((("amount", validation.amount(amount)), _key_problem(key)))
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
            fingerprint=_fingerprint(operation.value, account_id, amount) if key else b"",
        )
        return await self._coordinator.ask(order, deadline=deadline)

    async def create_transfer(
        self,
        principal: Principal,
        *,
        from_account_id: int,
        to_account_id: int,
        amount: int,
        currency: str,
        key: str | None = None,
        deadline: float = math.inf,
    ) -> Outcome:
        """Move money out of an account of the caller's.

        `deadline` is on Trio's clock. Raises InvalidArgument, PermissionDenied, Overloaded, Unavailable,
        DeadlineExceeded; after the last two only the same key tells whether the money moved.
        """
        check(principal, Operation.CREATE_TRANSFER)
        if not (
            _is_id(from_account_id)
            and _is_id(to_account_id)
            and 0 < amount <= AMOUNT_MAX
            and currency in self.currencies
            and key is None
        ):
            self._check_transfer(from_account_id, to_account_id, amount, currency, key)
        username = principal.username
        if not self._verified.is_known(username):
            await self._verified.check(username)
        order = Order(
            from_account_id,
            to_account_id,
            amount,
            currency,
            requested_by=username,
            owner=username,
            key=None if key is None else Key(username, key),
            fingerprint=b""
            if key is None
            else _fingerprint("transfer", from_account_id, to_account_id, amount, currency),
        )
        return await self._coordinator.ask(order, deadline=deadline)

    def _check_transfer(
        self, from_account_id: int, to_account_id: int, amount: int, currency: str, key: str | None
    ) -> None:
        validation.check(
            (
                ("from_account_id", validation.identifier(from_account_id)),
                ("to_account_id", validation.identifier(to_account_id)),
                ("amount", validation.amount(amount)),
                ("currency", validation.currency(currency, self.currencies)),
                _key_problem(key),
            )
        )

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


def _key_problem(key: str | None) -> tuple[str, str | None]:
    return "Idempotency-Key", None if key is None else validation.idempotency_key(key)


def _fingerprint(*request: Any) -> bytes:
    return hashlib.blake2b(repr(request).encode(), digest_size=16).digest()


def _replayed(found: tuple[bytes, Account | None], fingerprint: bytes) -> Opened:
    first, account = found
    if first != fingerprint or account is None:
        raise KeyReused
    # As it was opened: whatever has happened to it since is no part of the first answer.
    return Opened(
        account._replace(balance=0, overdraft_limit=0, status="active", seq=0, changed_at=account.created_at),
        replayed=True,
    )
