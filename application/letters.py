"""Letters to users: put into the outbox, sealed, in the transaction of what they are about.

Those with a link carry a code of 256 bits, of which only a hash is stored.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from uuid import uuid4

from application.keys import digest
from application.mail import (
    Seal,
    Sender,
    address_changed_mail,
    password_changed_mail,
    reset_mail,
    verification_mail,
)
from domain.users import MailedSecret, User
from persistence import mailed_secrets, outbox
from persistence.connection import Connection

VERIFICATION_LASTS = timedelta(minutes=15)
RESET_LASTS = timedelta(minutes=15)
SECRET_BYTES = 32


class Letters:
    """`posted` is to be called once a transaction with letters has committed: it wakes who sends them."""

    def __init__(
        self,
        *,
        seal: Seal,
        sender: Sender,
        posted: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.posted = posted
        self._seal = seal
        self._sender = sender
        self._now = now

    async def ask_to_verify(self, connection: Connection, user: User) -> None:
        """A link that proves the user's present address."""
        asked, secret_code = self._secret(user, VERIFICATION_LASTS)
        await mailed_secrets.insert_verification(connection, asked)
        await self._post(connection, verification_mail(self._sender, user, asked, secret_code, at=self._now()))

    async def offer_reset(self, connection: Connection, user: User) -> None:
        """A link to choose a new password."""
        asked, secret_code = self._secret(user, RESET_LASTS)
        await mailed_secrets.insert_reset(connection, asked)
        await self._post(connection, reset_mail(self._sender, user, asked, secret_code, at=self._now()))

    async def tell_former_address(self, connection: Connection, before: User) -> None:
        """That it is the user's address no more."""
        await self._post(connection, address_changed_mail(self._sender, before, at=self._now()))

    async def tell_of_new_password(self, connection: Connection, user: User) -> None:
        """That the password was changed."""
        await self._post(connection, password_changed_mail(self._sender, user, at=self._now()))

    @staticmethod
    def _secret(user: User, lasts: timedelta) -> tuple[MailedSecret, str]:
        secret_code = secrets.token_urlsafe(SECRET_BYTES)
        return MailedSecret(uuid4(), user.username, user.email, digest(secret_code), lasts), secret_code

    async def _post(self, connection: Connection, mail: EmailMessage) -> None:
        await outbox.put(connection, mail["Subject"], self._seal.seal(mail))
