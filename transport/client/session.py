"""A login's tokens, renewed in time and one renewal at a time.

A refresh token that is presented twice ends its session. So a renewal is a task of its own, which nobody's
cancellation reaches: all who need a token wait for it. One whose answer is lost is not made again while the old
access token is good, as the service may have carried it out.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import datetime

import trio

from proto.transactions.v2 import identity_pb2 as pb
from transport.client.failures import CallFailed

LIFE_USED = 0.8
"""The part of an access token's life after which it is renewed."""

Login = pb.LoginUserResponse | pb.RenewAccessResponse


class _Renewal:
    """One that is under way, and what became of it."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.failure: CallFailed | None = None


class Session:
    """`renew` presents a refresh token; `now` is the time of day, by which the service's tokens end."""

    def __init__(
        self, renew: Callable[[str], Awaitable[Login]], nursery: trio.Nursery, now: Callable[[], datetime]
    ) -> None:
        self._renew = renew
        self._nursery = nursery
        self._now = now
        self._login: Login | None = None
        self._renew_at = self._ends_at = math.inf
        self._renewal: _Renewal | None = None

    def begin(self, login: Login) -> None:
        """Use these tokens from now on."""
        self._login = login
        now, life_s = trio.current_time(), self._life_s(login)
        # Where the clocks disagree, the service's word that a token has expired is waited for.
        self._renew_at = now + LIFE_USED * life_s if life_s > 0 else math.inf
        self._ends_at = now + life_s if life_s > 0 else math.inf

    def end(self) -> None:
        """Forget the tokens."""
        self._login = None
        self._renew_at = self._ends_at = math.inf

    async def access_token(self) -> str | None:
        """The access token, renewed where it is time; None when nobody is logged in. Raises CallFailed."""
        if self._login is not None and trio.current_time() >= self._renew_at:
            try:
                await self._renewed(self._login)
            except CallFailed:
                if trio.current_time() >= self._ends_at:
                    raise
        return None if self._login is None else self._login.access_token

    async def after(self, expired: str) -> str | None:
        """Another access token than this, which the service has called expired. Raises CallFailed."""
        if self._login is not None and self._login.access_token == expired:
            await self._renewed(self._login)
        return None if self._login is None else self._login.access_token

    async def _renewed(self, login: Login) -> None:
        """Wait for the renewal that is under way, or for a new one."""
        renewal = self._renewal
        if renewal is None:
            renewal = self._renewal = _Renewal()
            self._nursery.start_soon(self._make, renewal, login)
        await renewal.ended.wait()
        if renewal.failure is not None:
            raise renewal.failure

    async def _make(self, renewal: _Renewal, login: Login) -> None:
        try:
            new = await self._renew(login.refresh_token)
        except CallFailed as failure:
            renewal.failure = failure
            self._renew_at = self._ends_at
        else:
            if self._login is login:  # nobody has logged in or out meanwhile
                self.begin(new)
        finally:
            self._renewal = None
            renewal.ended.set()

    def _life_s(self, login: Login) -> float:
        ends = login.access_token_expires_at
        return ends.seconds + ends.nanos / 1e9 - self._now().timestamp()
