"""The mails that an installation has sent, as files."""

from __future__ import annotations

import email
import email.policy
import re
from collections import defaultdict
from collections.abc import Collection
from email.message import EmailMessage
from pathlib import Path

import trio

from cli.drill.judge import Verdict

PATIENCE_S = 12.0
_LINK = re.compile(r"http\S+")

Mails = dict[str, list[str]]
"""The Message-IDs of the mails to each address."""


async def all_sent(folder: Path, addresses: Collection[str]) -> Verdict:
    """Whether each address that a mail was promised to gets one; copies are counted, and must have one Message-ID."""
    found = await _wait_for_mails(folder, addresses)
    missing = [address for address in addresses if not found[address]]
    several = [address for address in addresses if len(set(found[address])) > 1]
    mails = sum(len(found[address]) for address in addresses)
    detail = f"{len(addresses)} registrations, {mails - len(addresses)} mails sent again"
    if missing:
        detail = f"none for {len(missing)} of {len(addresses)}, {missing[0]} among them"
    elif several:
        detail = f"{several[0]} got several with different ids"
    return Verdict(
        "every mail that was promised was sent", not missing and not several and bool(addresses), detail
    )


async def link_to(folder: Path, address: str) -> str | None:
    """The link in the first mail to this address; None where none comes in time."""
    with trio.move_on_after(PATIENCE_S):
        while True:
            for mail in await trio.to_thread.run_sync(_read, folder):
                body = mail.get_body(("plain",))
                if mail["To"] == address and body is not None and (link := _LINK.search(body.get_content())):
                    return link[0]
            await trio.sleep(0.05)
    return None


async def _wait_for_mails(folder: Path, addresses: Collection[str]) -> Mails:
    found: Mails = {}
    with trio.move_on_after(PATIENCE_S):
        while True:
            found = await trio.to_thread.run_sync(_sent, folder)
            if all(found[address] for address in addresses):
                break
            await trio.sleep(0.1)
    return found


def _sent(folder: Path) -> Mails:
    found: Mails = defaultdict(list)
    for mail in _read(folder):
        found[str(mail["To"])].append(str(mail["Message-ID"]))
    return found


def _read(folder: Path) -> list[EmailMessage]:
    return [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in folder.glob("*.eml")
    ]
