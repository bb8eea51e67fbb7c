"""Security events, read by those who look after the service."""

from __future__ import annotations

from domain import validation
from domain.policy import Operation, Principal, check
from domain.users import SecurityEvent
from persistence import security_events
from persistence.pool import Pool


class Security:
    """Called by transports."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_events(
        self, principal: Principal, *, username: str | None, before_id: int, limit: int
    ) -> list[SecurityEvent]:
        """What happened to one user, or to all, newest first. Raises PermissionDenied."""
        check(principal, Operation.LIST_SECURITY_EVENTS)
        if username is not None:
            validation.check((("username", validation.username(username)),))
        async with self._pool.connection() as connection:
            return await security_events.list_events(
                connection, username=username, before_id=before_id, limit=limit
            )
