"""How often identity may be tried: per client address, and per account.

A login that succeeds does not count. The owner of an account under attack is never locked out: what counts
against the account alone does so only for addresses where its owner has never been, and a password reset by
mail makes the owner's new address known. The limits on mails to one recipient last no longer than the links in
those mails, so who uses them up has sent the owner a link that is good until they end.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address

import trio

from application.letters import RESET_LASTS, VERIFICATION_LASTS
from domain.errors import RateLimited
from persistence.rate_limits import Limit, RateLimits, Try

REGISTRATIONS = Limit("registration", tries=100, period_s=600)
LOGINS = Limit("login", tries=100, period_s=600)
LOGINS_OF_ACCOUNT_HERE = Limit("login.account.address", tries=10, period_s=900)
LOGINS_OF_ACCOUNT = Limit("login.account", tries=100, period_s=900)
MAILS = Limit("mail", tries=30, period_s=3600)
VERIFICATIONS_TO = Limit("verification.to", tries=3, period_s=int(VERIFICATION_LASTS.total_seconds()))
RESETS_TO = Limit("reset.to", tries=3, period_s=int(RESET_LASTS.total_seconds()))
RESETS = Limit("reset", tries=30, period_s=3600)
PASSWORDS = Limit("password", tries=10, period_s=3600)
IPV6_PREFIX_BITS = 64
"""Who has one IPv6 address has all of its network."""


class Throttle:
    """With `limits` None nothing is counted: for load tests."""

    def __init__(self, limits: RateLimits | None) -> None:
        self._limits = limits
        self._turns: dict[tuple[str, str], trio.Lock] = {}

    async def registration(self, address: str) -> None:
        """Raises RateLimited."""
        await self._spend([Try(REGISTRATIONS, network(address))])

    async def mail(self, address: str) -> None:
        """A mail that somebody asks for."""
        await self._spend([Try(MAILS, network(address))])

    async def verification_to(self, email: str) -> None:
        """A link to prove this address, whether anybody has it or not."""
        await self._spend([Try(VERIFICATIONS_TO, email.lower())])

    async def reset_to(self, email: str) -> None:
        """A link to choose a new password, whether anybody has this address or not."""
        await self._spend([Try(RESETS_TO, email.lower())])

    async def reset(self, address: str) -> None:
        """A code from a mail, tried."""
        await self._spend([Try(RESETS, network(address))])

    async def password(self, username: str) -> None:
        """Another password for this user, who is written to each time."""
        await self._spend([Try(PASSWORDS, username)])

    @asynccontextmanager
    async def turn(self, address: str, username: str) -> AsyncIterator[None]:
        """One login of an account at a time from one address, so that those that will succeed do not add up."""
        key = (network(address), username)
        lock = self._turns.setdefault(key, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._turns.pop(key, None)

    async def login(self, address: str, username: str) -> list[Try]:
        """Raises RateLimited; what it returns is to be forgiven when the login succeeds."""
        here = network(address)
        return await self._spend([Try(LOGINS, here), Try(LOGINS_OF_ACCOUNT_HERE, f"{username} {here}")])

    async def login_from_afar(self, username: str) -> list[Try]:
        """The same, at an address where the account's owner has never been."""
        return await self._spend([Try(LOGINS_OF_ACCOUNT, username)])

    async def forgive(self, tries: Sequence[Try]) -> None:
        """These were no attempts to get in where one should not."""
        if self._limits is not None and tries:
            await self._limits.take_back(tries)

    async def pardon(self, address: str, username: str) -> None:
        """Whoever is at this address has proved to be this user."""
        here = network(address)
        if self._limits is not None:
            await self._limits.forget([Try(LOGINS_OF_ACCOUNT_HERE, f"{username} {here}")])

    async def _spend(self, tries: list[Try]) -> list[Try]:
        if self._limits is None:
            return []
        counts = await self._limits.count(tries)
        waits = [
            count.ends_in_s for one, count in zip(tries, counts, strict=True) if count.tries > one.limit.tries
        ]
        if waits:
            raise RateLimited(retry_after_s=max(1, math.ceil(max(waits))))
        return tries


def network(address: str) -> str:
    """What is counted as one client: an IPv4 address, or an IPv6 network."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        kept = int(parsed) >> (128 - IPV6_PREFIX_BITS) << (128 - IPV6_PREFIX_BITS)
        return f"{IPv6Address(kept)}/{IPV6_PREFIX_BITS}"
    return str(parsed)
