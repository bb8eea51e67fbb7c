"""Who may do what: one table, deny by default."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID


class Role(StrEnum):
    """What a user is to the bank; a user may hold several."""

    DEPOSITOR = "depositor"
    BANKER = "banker"
    ADMIN = "admin"


class Permission(StrEnum):
    """What an operation asks for. `own` permissions are about the caller's own things only."""

    OPEN_OWN_ACCOUNT = "open_own_account"
    READ_OWN = "read_own"
    MOVE_OWN_MONEY = "move_own_money"
    READ_ANY_ACCOUNT = "read_any_account"
    MOVE_BANK_MONEY = "move_bank_money"
    READ_ANY_USER = "read_any_user"
    CHANGE_ANY_USER = "change_any_user"


GRANTED: dict[Role, frozenset[Permission]] = {
    Role.DEPOSITOR: frozenset(
        {Permission.OPEN_OWN_ACCOUNT, Permission.READ_OWN, Permission.MOVE_OWN_MONEY},
    ),
    Role.BANKER: frozenset(
        {
            Permission.READ_OWN,
            Permission.READ_ANY_ACCOUNT,
            Permission.MOVE_BANK_MONEY,
            Permission.READ_ANY_USER,
            Permission.CHANGE_ANY_USER,
        },
    ),
    Role.ADMIN: frozenset(
        {Permission.READ_OWN, Permission.READ_ANY_USER, Permission.CHANGE_ANY_USER},
    ),
}


class Principal(NamedTuple):
    """Who makes a request, as its access token says."""

    username: str
    permissions: frozenset[Permission]
    session_id: UUID


@lru_cache(maxsize=64)
def permissions(roles: tuple[str, ...]) -> frozenset[Permission]:
    """Everything that holders of these roles may do; a role nobody knows grants nothing."""
    known = {role.value: granted for role, granted in GRANTED.items()}
    return frozenset().union(*(known.get(role, frozenset()) for role in roles))
