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
from domain import validation
from domain.errors import Code, KeyReused, NotFound, PermissionDenied
from domain.ledger import AMOUNT_MAX, Account, Entry, Key, Order, Outcome, Transfer
from domain.policy import Permission, Principal
from persistence import accounts, users
from persistence.connection import Connection
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
        require_verified_email: bool,
    ) -> None:
        self._pool = pool
        self._coordinator = coordinator
        self._settlement_ids = settlement_ids
        self._currencies = frozenset(currencies)
        self._require_verified_email = require_verified_email

    async def create_account(
        self, principal: Principal, *, currency: str, name: str = "", key: str | None = None
    ) -> Opened:
        """Open an account for the caller. Raises PermissionDenied, InvalidArgument, KeyReused."""
        _check_may(principal, Permission.OPEN_OWN_ACCOUNT)
        validation.check(
            (
                ("currency", validation.currency(currency, self._currencies)),
                ("name", validation.account_name(name)),
                _key_problem(key),
            )
        )
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
            await self._check_verified(connection, username)
            account = await accounts.open_account(connection, username, currency, name)
            if key is not None:
                await accounts.remember_opening(connection, Key(username, key), fingerprint, account.id)
        return Opened(account)

    async def _check_verified(self, connection: Connection, username: str) -> None:
        if not self._require_verified_email:
            return
        user = await users.find_user(connection, username)
        if user is None or not user.is_email_verified:
            raise PermissionDenied("verify your email address first", Code.EMAIL_NOT_VERIFIED)

    async def get_account(self, principal: Principal, account_id: int) -> Account:
        """One account: the caller's own, or any for a banker. Raises NotFound."""
        async with self._pool.connection() as connection:
            account = await accounts.find_account(connection, account_id) if _is_id(account_id) else None
        if account is None or not _may_read(principal, account.owner):
            raise NotFound("account")
        return account

    async def list_accounts(self, principal: Principal, *, after_id: int, limit: int) -> list[Account]:
        """The caller's accounts, oldest first."""
        async with self._pool.connection() as connection:
            return await accounts.list_accounts(connection, principal.username, after_id=after_id, limit=limit)

    async def list_entries(
        self, principal: Principal, account_id: int, *, before_seq: int = SEQ_BEYOND_ALL, limit: int
    ) -> list[Entry]:
        """An account's entries, newest first. Raises NotFound."""
        await self.get_account(principal, account_id)
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
        return await self._move_bank_money(principal, "deposit", account_id, amount, key, deadline)

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
        return await self._move_bank_money(principal, "withdraw", account_id, amount, key, deadline)

    async def _move_bank_money(
        self,
        principal: Principal,
        operation: Literal["deposit", "withdraw"],
        account_id: int,
        amount: int,
        key: str | None,
        deadline: float,
    ) -> Outcome:
        _check_may(principal, Permission.MOVE_BANK_MONEY)
        validation.check((("amount", validation.amount(amount)), _key_problem(key)))
        account = await self.get_account(principal, account_id)
        if account.owner is None:
            raise NotFound("account")
        settlement_id = self._settlement_ids[account.currency]
        into = operation == "deposit"
        order = Order(
            from_account_id=settlement_id if into else account_id,
            to_account_id=account_id if into else settlement_id,
            amount=amount,
            currency=account.currency,
            requested_by=principal.username,
            owner=None,
            key=None if key is None else Key(principal.username, key),
            fingerprint=_fingerprint(operation, account_id, amount) if key else b"",
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
        _check_may(principal, Permission.MOVE_OWN_MONEY)
        if not (
            _is_id(from_account_id)
            and _is_id(to_account_id)
            and 0 < amount <= AMOUNT_MAX
            and currency in self._currencies
            and key is None
        ):
            self._check_transfer(from_account_id, to_account_id, amount, currency, key)
        username = principal.username
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
                ("currency", validation.currency(currency, self._currencies)),
                _key_problem(key),
            )
        )

    async def get_transfer(self, principal: Principal, transfer_id: int) -> Transfer:
        """One transfer: for the owner of either side, or a banker. Raises NotFound."""
        async with self._pool.connection() as connection:
            found = await accounts.find_transfer(connection, transfer_id) if _is_id(transfer_id) else None
        if found is None or not any(_may_read(principal, owner) for owner in found[1:]):
            raise NotFound("transfer")
        return found[0]


def _check_may(principal: Principal, permission: Permission) -> None:
    if permission not in principal.permissions:
        raise PermissionDenied("your roles do not allow this")


def _may_read(principal: Principal, owner: str | None) -> bool:
    return owner == principal.username or Permission.READ_ANY_ACCOUNT in principal.permissions


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
