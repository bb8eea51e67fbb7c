"""The mails we write, and their sealing: between its writing and its sending a mail is only ever encrypted.

Outbox and queue hold sealed mails, so neither the database nor Redis contains a link that somebody who reads
them could use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from html import escape
from urllib.parse import urlencode
from uuid import uuid4

import pyseto

from application.keys import derive
from domain.users import MailedSecret, User

LINKS_UNBROKEN = policy.SMTP.clone(max_line_length=900)
"""Leaves plain text as it is, so that a link in it can be read, and clicked, in any viewer (RFC 5322 2.1.1)."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom mails come from, and the base of the links in them."""

    name: str
    address: str
    public_url: str


class Seal:
    """Encrypts mails with keys of its own (PASETO v4.local): the first seals, all of them unseal."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._keys = [pyseto.Key.new(version=4, purpose="local", key=derive(each, "mail")) for each in secrets]

    def seal(self, mail: EmailMessage) -> bytes:
        """The mail, encrypted and authenticated."""
        return pyseto.encode(self._keys[0], payload=mail.as_bytes(policy=policy.SMTP))

    def unseal(self, sealed: bytes) -> EmailMessage:
        """The mail back; raises ValueError when it is not one of ours, or was changed."""
        try:
            payload = pyseto.decode(self._keys, sealed).payload
        except pyseto.PysetoError as error:
            raise ValueError("a sealed mail could not be opened") from error
        assert isinstance(payload, bytes)
        return message_from_bytes(payload, policy=policy.default)


def verification_mail(
    sender: Sender, user: User, asked: MailedSecret, secret_code: str, *, at: datetime
) -> EmailMessage:
    """Asks the user to prove the address by following a link."""
    query = urlencode({"email_id": str(asked.id), "secret_code": secret_code})
    return _letter(
        sender,
        user,
        to=asked.email,
        at=at,
        subject="Please verify your email address",
        text=f"please verify this address by opening the link below within {_minutes(asked)} minutes:",
        link=f"{sender.public_url.rstrip('/')}/v1/verify_email?{query}",
        end="If you did not register, you need not do anything.",
    )


def reset_mail(
    sender: Sender, user: User, asked: MailedSecret, secret_code: str, *, at: datetime
) -> EmailMessage:
    """Lets the user choose a new password by following a link."""
    query = urlencode({"reset_id": str(asked.id), "secret_code": secret_code})
    return _letter(
        sender,
        user,
        to=asked.email,
        at=at,
        subject="Choose a new password",
        text=f"to choose a new password open the link below within {_minutes(asked)} minutes:",
        link=f"{sender.public_url.rstrip('/')}/v1/users/password_reset/page?{query}",
        end="If you did not ask for this, you need not do anything: your password stays as it is.",
    )


def address_changed_mail(sender: Sender, before: User, *, at: datetime) -> EmailMessage:
    """Tells the former address that it is one no more."""
    return _letter(
        sender,
        before,
        to=before.email,
        at=at,
        subject="Your email address was changed",
        text=f"the email address of your account {before.username} was changed; this one is no longer in use.",
        end="If that was not you, tell us at once.",
    )


def password_changed_mail(sender: Sender, user: User, *, at: datetime) -> EmailMessage:
    """Tells a user that the password was changed."""
    return _letter(
        sender,
        user,
        to=user.email,
        at=at,
        subject="Your password was changed",
        text=f"the password of your account {user.username} was changed, and every session was ended.",
        end="If that was not you, choose a new password at once, and tell us.",
    )


def _minutes(secret: MailedSecret) -> int:
    return int(secret.lasts.total_seconds() // 60)


def _letter(
    sender: Sender,
    user: User,
    *,
    to: str,
    at: datetime,
    subject: str,
    text: str,
    end: str,
    link: str | None = None,
) -> EmailMessage:
    """A letter as text and as HTML. Everything that a user has chosen is escaped."""
    mail = EmailMessage(policy=LINKS_UNBROKEN)
    local, _, domain = sender.address.rpartition("@")
    mail["From"] = Address(sender.name, local, domain)
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = make_msgid(str(uuid4()), domain)
    mail["Auto-Submitted"] = "auto-generated"
    paragraphs = [f"Hello {user.full_name},", text, *([link] if link else []), end]
    mail.set_content("\n\n".join(paragraphs) + "\n")
    html = "".join(
        f'<p><a href="{escape(each)}">{escape(each)}</a></p>' if each == link else f"<p>{escape(each)}</p>"
        for each in paragraphs
    )
    mail.add_alternative(html, subtype="html")
    return mail
