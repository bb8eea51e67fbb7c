"""What happened to users' identities: appended, within the transaction of what happened, and never changed."""

from __future__ import annotations

from domain.users import Client, SecurityEvent, SecurityEventKind
from persistence.connection import Connection
from persistence.rows import columns

# Text that nobody has as a username is not kept: people type passwords into the wrong field.
APPEND = """
insert into security_events (kind, username, actor, client_address, user_agent, detail)
values (%s, (select username from users where username = %s), %s, %s, %s, %s)
"""
LIST = f"""
select {columns(SecurityEvent)} from security_events
where id < %(before_id)s and (%(username)s::text is null or username = %(username)s) order by id desc limit %(limit)s
"""
# In the words of the index `security_events_known_idx`. What somebody else has done for the user does not count.
HAS_COME_FROM = """
select exists (
    select from security_events
    where username = %s and client_network(client_address) = client_network(%s)
    and kind in ('login', 'email_verified', 'password_changed') and (actor is null or actor = username)
)
"""
NOBODY = Client("", "")
"""An operator at the command line."""


async def append(
    connection: Connection,
    kind: SecurityEventKind,
    username: str | None,
    client: Client,
    *,
    actor: str | None = None,
    detail: str = "",
) -> None:
    """Record an event; `detail` is plain words and names, never a secret."""
    await connection.execute(APPEND, [kind.value, username, actor, client.address, client.user_agent, detail])


async def has_come_from(connection: Connection, username: str, client_address: str) -> bool:
    """Whether somebody who proved to be this user has been at this address, or in its IPv6 network."""
    cursor = await connection.execute(HAS_COME_FROM, [username, client_address])
    return await cursor.fetchone() == (True,)


async def list_events(
    connection: Connection, *, username: str | None, before_id: int, limit: int
) -> list[SecurityEvent]:
    """Events with smaller ids, newest first; of one user, or of all."""
    parameters = {"username": username, "before_id": before_id, "limit": limit}
    cursor = await connection.execute(LIST, parameters)
    return [SecurityEvent(*row) for row in await cursor.fetchall()]
