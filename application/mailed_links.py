"""What users prove by following a link from a mail: an address, or that they may choose a new password."""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

import trio

from application.identifiers import identifier
from application.keys import digest
from application.letters import Letters
from application.passwords import Passwords
from application.throttle import Throttle
from application.users import set_password
from domain import validation
from domain.errors import NotFound
from domain.users import Client, SecurityEventKind
from persistence import mailed_secrets, security_events, users
from persistence.pool import Pool

ANSWERED_AFTER_S = 0.1
"""So long it takes to ask for a mail to an address, whether anybody has it or not."""


class MailedLinks:
    """Called by transports. What ends sessions tells `revoke` which, once it is committed."""

    def __init__(
        self,
        pool: Pool,
        *,
        passwords: Passwords,
        throttle: Throttle,
        revoke: Callable[[Collection[UUID]], None],
        letters: Letters,
    ) -> None:
        self._pool = pool
        self._passwords = passwords
        self._throttle = throttle
        self._revoke = revoke
        self._letters = letters

    async def verify_email(self, client: Client, *, email_id: str, secret_code: str) -> None:
        """Prove an address with the code from the mail, once. Raises NotFound for anything else."""
        link_id = identifier(email_id, "verification link")
        async with self._pool.transaction() as connection:
            username = await mailed_secrets.use_verification(connection, link_id, digest(secret_code))
            if username is None:
                raise NotFound("verification link")
            await security_events.append(connection, SecurityEventKind.EMAIL_VERIFIED, username, client)

    async def resend_verification(self, client: Client, *, email: str) -> None:
        """Mail another link, where one is wanting. Raises InvalidArgument, RateLimited; tells nothing else."""
        validation.check((("email", validation.email(email)),))
        await self._throttle.mail(client.address)
        await self._throttle.verification_to(email)
        answer_at = trio.current_time() + ANSWERED_AFTER_S
        async with self._pool.transaction() as connection:
            user = await users.find_by_email(connection, email)
            name = None if user is None else user.username
            await security_events.append(connection, SecurityEventKind.VERIFICATION_REQUESTED, name, client)
            if user is not None and not user.is_email_verified:
                await self._letters.ask_to_verify(connection, user)
        self._letters.posted()
        await trio.sleep_until(answer_at)

    async def request_password_reset(self, client: Client, *, email: str) -> None:
        """Mail a link to choose a new password. Raises InvalidArgument, RateLimited; tells nothing else."""
        validation.check((("email", validation.email(email)),))
        await self._throttle.mail(client.address)
        await self._throttle.reset_to(email)
        answer_at = trio.current_time() + ANSWERED_AFTER_S
        async with self._pool.transaction() as connection:
            user = await users.find_by_email(connection, email)
            name = None if user is None else user.username
            await security_events.append(connection, SecurityEventKind.PASSWORD_RESET_REQUESTED, name, client)
            if user is not None:
                await self._letters.offer_reset(connection, user)
        self._letters.posted()
        await trio.sleep_until(answer_at)

    async def confirm_password_reset(
        self, client: Client, *, reset_id: str, secret_code: str, password: str
    ) -> None:
        """Choose a new password with the code from the mail, once; ends every session.

        A password that is refused leaves the code good. Raises InvalidArgument, NotFound, RateLimited.
        """
        validation.check((("password", validation.password(password)),))
        link_id = identifier(reset_id, "password reset")
        await self._throttle.reset(client.address)
        password_hash = await self._passwords.hash(password)
        async with self._pool.transaction() as connection:
            username = await mailed_secrets.use_reset(connection, link_id, digest(secret_code))
            user = None if username is None else await users.lock_user(connection, username)
            if user is None:
                raise NotFound("password reset")
            ended = await set_password(connection, self._letters, user, password_hash, client, actor=None)
        self._revoke(ended)
        self._letters.posted()
        await self._throttle.pardon(client.address, user.username)
