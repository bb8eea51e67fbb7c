"""The mails we write, and their sealing: between its writing and its sending a mail is only ever encrypted.

Outbox and queue hold sealed mails, so neither the database nor Redis contains a link that somebody who reads
them could use.
"""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from html import escape
from urllib.parse import urlencode
from uuid import UUID

import pyseto

from application.keys import derive
from domain.users import User

LINKS_UNBROKEN = policy.SMTP.clone(max_line_length=900)
"""Leaves plain text as it is, so that a link in it can be read, and clicked, in any viewer (RFC 5322 2.1.1)."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom mails come from, and the base of the links in them."""

    name: str
    address: str
    public_url: str


class Seal:
    """Encrypts mails with a key of its own (PASETO v4.local)."""

    def __init__(self, secret: bytes) -> None:
        self._key = pyseto.Key.new(version=4, purpose="local", key=derive(secret, "mail"))

    def seal(self, mail: EmailMessage) -> bytes:
        """The mail, encrypted and authenticated."""
        return pyseto.encode(self._key, payload=mail.as_bytes(policy=policy.SMTP))

    def unseal(self, sealed: bytes) -> EmailMessage:
        """The mail back; raises ValueError when it is not one of ours, or was changed."""
        try:
            payload = pyseto.decode(self._key, sealed).payload
        except pyseto.PysetoError as error:
            raise ValueError("a sealed mail could not be opened") from error
        assert isinstance(payload, bytes)
        return message_from_bytes(payload, policy=policy.default)


def verification_mail(
    sender: Sender, user: User, email_id: UUID, secret_code: str, *, minutes: int
) -> EmailMessage:
    """Asks the user to prove the address by following a link, in text and HTML."""
    query = urlencode({"email_id": str(email_id), "secret_code": secret_code})
    link = f"{sender.public_url.rstrip('/')}/v1/verify_email?{query}"
    mail = EmailMessage(policy=LINKS_UNBROKEN)
    local, _, domain = sender.address.rpartition("@")
    mail["From"] = Address(sender.name, local, domain)
    mail["To"] = user.email
    mail["Subject"] = "Please verify your email address"
    mail["Date"] = format_datetime(user.created_at)
    mail["Message-ID"] = make_msgid(str(email_id), domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(
        f"Hello {user.full_name},\n\n"
        f"please verify this address by opening the link below within {minutes} minutes:\n\n"
        f"{link}\n\n"
        "If you did not register, you need not do anything.\n"
    )
    mail.add_alternative(
        f"<p>Hello {escape(user.full_name)},</p>"
        f'<p>please <a href="{escape(link)}">verify this address</a> within {minutes} minutes.</p>'
        "<p>If you did not register, you need not do anything.</p>",
        subtype="html",
    )
    return mail
