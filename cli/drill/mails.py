"""The mails that an installation has sent, as files."""

from __future__ import annotations

import email
import email.policy
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import trio

PATIENCE_S = 20.0


async def wait_for_mails(folder: Path, addresses: Collection[str]) -> Counter[str]:
    """How many mails each address got, as soon as each has one, or when nobody would wait any longer."""
    found: Counter[str] = Counter()
    with trio.move_on_after(PATIENCE_S):
        while True:
            found = await trio.to_thread.run_sync(_recipients, folder)
            if all(found[address] for address in addresses):
                break
            await trio.sleep(0.1)
    return found


def _recipients(folder: Path) -> Counter[str]:
    mails = (
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in folder.glob("*.eml")
    )
    return Counter(str(mail["To"]) for mail in mails)
