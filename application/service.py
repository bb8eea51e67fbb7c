"""The application as transports see it: every operation, and whether it can take work."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

import trio

from application.authentication import Authenticator
from application.ledger import Ledger
from application.mailed_links import MailedLinks
from application.security import Security
from application.sessions import Sessions
from application.transfers import Transfers
from application.users import Users
from persistence.faults import DatabaseFault
from persistence.pool import Pool

READY_TIMEOUT_S = 1.0


class Readiness:
    """Whether new work should be sent here: not while draining, and not without the database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether the drain has begun."""
        return self._draining

    def drain(self) -> None:
        """From this moment on we are not ready."""
        self._draining = True

    async def problem(self) -> str | None:
        """Why no work should be sent here, or None."""
        if self._draining:
            return "draining"
        with trio.move_on_after(READY_TIMEOUT_S):
            try:
                async with self._pool.connection() as connection:
                    await connection.execute("select 1")
            except DatabaseFault:
                return "the database is not available"
            return None
        return "the database does not answer"


@dataclass(frozen=True, slots=True)
class Service:
    """What every transport is given."""

    users: Users
    mailed_links: MailedLinks
    sessions: Sessions
    security: Security
    ledger: Ledger
    transfers: Transfers
    authenticator: Authenticator
    readiness: Readiness
    request_timeout_s: float = 10.0
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
