"""Transfers: one, many in a batch, or a flow of them. Money moves only through the coordinator.

What can be said without looking at the accounts is said here (permissions, well-formed input); ownership, status,
currency and funds are decided on locked rows, by `domain.settle`, so no answer rests on something that has
changed since it was read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar

from actors.bell import Bell
from actors.coordinator import Coordinator
from application.flow import Flow
from application.verified_users import VerifiedUsers
from domain import validation
from domain.errors import FieldError, InvalidArgument, ServiceError
from domain.ledger import AMOUNT_MAX, Bundle, BundleOutcome, Key, Order, Outcome
from domain.policy import Operation, Principal, check
from domain.validation import ID_MAX

Reference = TypeVar("Reference")

BATCH_MAX = 1_000
BATCH_KEY_MAX = 250
"""Characters of a batch's idempotency key: each transfer's own is made from it."""


class Wanted(NamedTuple):
    """A transfer as it is asked for."""

    from_account_id: int
    to_account_id: int
    amount: int
    currency: str
    key: str | None = None


class Transfers:
    """Called by transports."""

    def __init__(
        self, coordinator: Coordinator, *, currencies: Collection[str], verified: VerifiedUsers
    ) -> None:
        self._coordinator = coordinator
        self._currencies = frozenset(currencies)
        self._verified = verified

    async def create(self, principal: Principal, wanted: Wanted) -> Outcome:
        """Move money out of an account of the caller's.

        Raises InvalidArgument, PermissionDenied, Overloaded, Unavailable. After the last, and for a caller that
        is cancelled, only the same key tells whether the money moved.
        """
        check(principal, Operation.CREATE_TRANSFER)
        order = self._order(principal.username, wanted)
        if not self._verified.is_known(principal.username):
            await self._verified.check(principal.username)
        return await self._coordinator.ask(order)

    async def batch(
        self, principal: Principal, wanted: Sequence[Wanted], *, key: str | None = None
    ) -> list[Outcome | ServiceError]:
        """Make transfers, each with an outcome of its own; returns them in order.

        `key` stands for one of each transfer that has none. Raises InvalidArgument, PermissionDenied. A caller
        that is cancelled withdraws what is in no commit yet.
        """
        check(principal, Operation.BATCH_TRANSFERS)
        wanted = _keyed(wanted, key)
        await self._verified.check(principal.username)
        bell = Bell()
        flow: Flow[Wanted, int] = self._flow(principal, bell.ring)
        outcomes: list[Outcome | ServiceError | None] = [None] * len(wanted)
        with flow:
            for position, each in enumerate(wanted):
                flow.submit(position, each)
            while flow.under_way:
                for position, outcome in flow.take():
                    outcomes[position] = outcome
                if flow.under_way:
                    await bell.wait()
        return [outcome for outcome in outcomes if outcome is not None]

    async def bundle(
        self,
        principal: Principal,
        wanted: Sequence[Wanted],
        *,
        key: str | None = None,
    ) -> BundleOutcome:
        """Make all of these transfers or none, in one commit. As `batch` and `create` otherwise."""
        check(principal, Operation.BATCH_TRANSFERS)
        wanted = _keyed(wanted, key)
        problems: list[FieldError] = []
        orders: list[Order] = []
        for position, each in enumerate(wanted):
            try:
                orders.append(self._order(principal.username, each))
            except InvalidArgument as error:
                problems += (within(position, field) for field in error.fields)
        validation.check((each.field, each.message) for each in problems)
        await self._verified.check(principal.username)
        return await self._coordinator.ask(Bundle(tuple(orders)))

    async def open_flow(self, principal: Principal, ring: Callable[[], None]) -> Flow[Wanted, str]:
        """A flow of transfers for this caller, who is told by `ring` of outcomes. Raises PermissionDenied."""
        check(principal, Operation.STREAM_TRANSFERS)
        await self.admit(principal)
        return self._flow(principal, ring)

    async def admit(self, principal: Principal) -> None:
        """Whether the caller of a flow may still move money; raises PermissionDenied."""
        await self._verified.check(principal.username)

    def _flow(self, principal: Principal, ring: Callable[[], None]) -> Flow[Wanted, Reference]:
        username = principal.username
        return Flow(self._coordinator, lambda wanted: self._order(username, wanted), ring)

    def _order(self, username: str, wanted: Wanted) -> Order:
        from_account_id, to_account_id, amount, currency, key = wanted
        if not (
            0 < from_account_id <= ID_MAX
            and 0 < to_account_id <= ID_MAX
            and 0 < amount <= AMOUNT_MAX
            and currency in self._currencies
            and key is None
        ):
            self._check(wanted)
        return Order(
            from_account_id,
            to_account_id,
            amount,
            currency,
            requested_by=username,
            owner=username,
            key=None if key is None else Key(username, key),
            fingerprint=b""
            if key is None
            else fingerprint("transfer", from_account_id, to_account_id, amount, currency),
        )

    def _check(self, wanted: Wanted) -> None:
        validation.check(
            (
                ("from_account_id", validation.identifier(wanted.from_account_id)),
                ("to_account_id", validation.identifier(wanted.to_account_id)),
                ("amount", validation.amount(wanted.amount)),
                ("currency", validation.currency(wanted.currency, self._currencies)),
                key_problem(wanted.key),
            )
        )


def key_problem(key: str | None) -> tuple[str, str | None]:
    """What is wrong with an idempotency key, for `validation.check`."""
    return "Idempotency-Key", None if key is None else validation.idempotency_key(key)


def fingerprint(*request: Any) -> bytes:
    """Tells requests apart that come with the same key."""
    return hashlib.blake2b(repr(request).encode(), digest_size=16).digest()


def within(position: int, problem: FieldError) -> FieldError:
    """The problem of one transfer as a problem of its batch."""
    return FieldError(f"transfers[{position}].{problem.field}", problem.message)


def _keyed(wanted: Sequence[Wanted], key: str | None) -> Sequence[Wanted]:
    if not 0 < len(wanted) <= BATCH_MAX:
        raise InvalidArgument.field("transfers", f"must be 1 to {BATCH_MAX}")
    if key is None:
        return wanted
    validation.check([key_problem(key)])
    if len(key) > BATCH_KEY_MAX:
        raise InvalidArgument.field(
            "Idempotency-Key", f"must be at most {BATCH_KEY_MAX} characters for a batch"
        )
    return [
        each if each.key is not None else each._replace(key=f"{key}#{position}")
        for position, each in enumerate(wanted)
    ]
