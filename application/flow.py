"""Transfers of one caller that are under way at once, without a task for each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Generic, TypeVar

import outcome

from actors.account import Transferring
from actors.coordinator import Coordinator
from domain.errors import Code, ServiceError
from domain.ledger import Order, Outcome

log = logging.getLogger(__name__)

Reference = TypeVar("Reference")
Wish = TypeVar("Wish")


class Flow(Generic[Wish, Reference]):
    """A context manager: when it ends, what is in no commit yet is withdrawn.

    `order` makes an order of what is wished for, or raises what is wrong with it; `ring` is called when an outcome
    has come. Whoever submits bounds how many are `under_way`.
    """

    def __init__(
        self, coordinator: Coordinator, order: Callable[[Wish], Order], ring: Callable[[], None]
    ) -> None:
        self._coordinator = coordinator
        self._order = order
        self._ring = ring
        self._waiting: dict[int, Transferring] = {}
        self._submitted = 0
        self._outcomes: list[tuple[Reference, Outcome | ServiceError]] = []

    @property
    def under_way(self) -> int:
        """Submitted, and the outcome not taken yet."""
        return len(self._waiting) + len(self._outcomes)

    def submit(self, reference: Reference, wish: Wish) -> None:
        """Have a transfer made; its outcome comes with this reference, also where it is wrong in itself."""
        number = self._submitted
        self._submitted += 1
        try:
            order = self._order(wish)
            self._waiting[number] = self._coordinator.tell(order, partial(self._come, number, reference))
        except ServiceError as error:
            self._outcomes.append((reference, error))

    def take(self) -> list[tuple[Reference, Outcome | ServiceError]]:
        """The outcomes that have come since the last time, in no order."""
        taken, self._outcomes = self._outcomes, []
        return taken

    def __enter__(self) -> Flow[Wish, Reference]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        waiting, self._waiting = self._waiting, {}
        for message in waiting.values():
            self._coordinator.withdraw(message)

    def _come(self, number: int, reference: Reference, result: outcome.Outcome[Outcome]) -> None:
        del self._waiting[number]
        if isinstance(result, outcome.Error):
            self._outcomes.append((reference, _told(result.error)))
        else:
            self._outcomes.append((reference, result.unwrap()))
        self._ring()


def _told(error: BaseException) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    log.error("a transfer failed", exc_info=error)
    return ServiceError(Code.INTERNAL, "internal error")
