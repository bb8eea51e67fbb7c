"""References that no foreign key keeps, each with what keeps it instead; docs/decisions/0004 says why.

For documents and their readers: the service itself never looks here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column

from persistence.tables import accounts, entries, idempotency_records, security_events, transfers, users


@dataclass(frozen=True, slots=True)
class Reference:
    """Columns whose values, where they are not null, are found in `target`, the columns of another table."""

    columns: tuple[Column[Any], ...]
    target: tuple[Column[Any], ...]
    kept_by: str


_ACCOUNTS: Final = "triggers transfers_both_entries and accounts_undeletable"
_ENTRY: Final = "trigger entries_history, by its transfer's account"
_SIDES: Final = "trigger transfers_both_entries"
_USER: Final = "its writer, who knows the user; users are never deleted"

UNENFORCED: Final = (
    Reference((security_events.c.username,), (users.c.username,), _USER),
    Reference((security_events.c.actor,), (users.c.username,), _USER),
    Reference((transfers.c.from_account_id,), (accounts.c.id,), _ACCOUNTS),
    Reference((transfers.c.to_account_id,), (accounts.c.id,), _ACCOUNTS),
    Reference(
        (transfers.c.from_account_id, transfers.c.from_seq), (entries.c.account_id, entries.c.seq), _SIDES
    ),
    Reference((transfers.c.to_account_id, transfers.c.to_seq), (entries.c.account_id, entries.c.seq), _SIDES),
    Reference((transfers.c.created_by,), (users.c.username,), _USER),
    Reference((entries.c.account_id,), (accounts.c.id,), _ENTRY),
    Reference((entries.c.transfer_id,), (transfers.c.id,), "trigger entries_history"),
    Reference((idempotency_records.c.username,), (users.c.username,), _USER),
    Reference(
        (idempotency_records.c.transfer_id,),
        (transfers.c.id,),
        "the transaction that writes both, and trigger transfers_immutable",
    ),
    Reference(
        (idempotency_records.c.account_id,),
        (accounts.c.id,),
        "the transaction that writes both, and trigger accounts_undeletable",
    ),
)
