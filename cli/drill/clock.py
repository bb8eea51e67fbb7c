"""The clock drill: the service's clock is set ahead and back by an hour under load, and nobody else's."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import trio

from application.tokens import ACCESS, LEEWAY_S, Tokens
from cli.drill.asking import ask, register
from cli.drill.faketime import FakeTime
from cli.drill.installation import DrillFailed
from cli.drill.judge import Verdict
from cli.drill.mails import link_to
from cli.drill.probe import Numbers
from cli.drill.senders import ANSWER_TIMEOUT_S
from cli.drill.stage import Stage, none_failed
from cli.parsers import secret
from cli.settings import SECRET_FILE
from domain.errors import Code
from domain.policy import Role

STEP_S = 3_600
STEPS_S = (STEP_S, -STEP_S, 0)
LIVES_S = (-STEP_S, -2 * LEEWAY_S, -LEEWAY_S / 2, LEEWAY_S, STEP_S)
"""How much longer than until now, by the service's clock, the tokens last that are asked about."""
UNSURE_S = 5.0
"""How near to its end a token may be taken for either."""
TRANSFER_S = 5.0
ASKED_TOO_OFTEN = 4
RETRY_AFTER_MAX_S = 900
"""The length of the window that is used up."""


class Shown(NamedTuple):
    """A token that was shown to the service: when it begins and ends, counted from the service's now."""

    begins_s: float
    ends_s: float
    outcome: str


@dataclass(slots=True)
class Seen:
    """What the drill was told on the way."""

    clocks: list[tuple[float, float]] = field(default_factory=list)
    """By how much the clock was set, and by how much it is."""
    tokens: list[Shown] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    retry_after: list[tuple[int, int]] = field(default_factory=list)
    """Statuses and Retry-After of one who asks too often."""


async def clock(stage: Stage) -> list[Verdict]:
    """Ahead, back, and right again, in an order left to chance, each for a third of the time."""
    fake = await _with_a_clock_of_its_own(stage)
    seen, teller = Seen(), _Teller(stage)
    steps = [*STEPS_S]
    stage.rng.shuffle(steps)
    async with stage.under_load():
        await stage.recovered()
        for offset_s in steps:
            stage.probe.mark(f"its clock is {offset_s:+d} s")
            fake.set(offset_s)
            until = trio.current_time() + stage.seconds / len(steps)
            await teller.look(offset_s, seen)
            await trio.sleep_until(until)
        metrics = list(stage.probe.metrics)
    statements = [await _times_of(stage, account) for account in stage.load.plan.accounts]
    return [
        clock_was_set(seen.clocks),
        none_failed(stage.load.history.attempts, "a clock that is set", TRANSFER_S),
        tokens_end_in_time(seen.tokens),
        Verdict("a link that was just mailed is good", set(seen.links) == {"ok"}, ", ".join(seen.links)),
        retry_after_is_right(seen.retry_after),
        no_time_is_negative([numbers for _, numbers in metrics]),
        statements_are_in_order(statements),
        *await stage.judged(),
    ]


async def _with_a_clock_of_its_own(stage: Stage) -> FakeTime:
    fake = await trio.to_thread.run_sync(FakeTime, stage.installation.folder)
    service = stage.service
    service.signal(signal.SIGTERM)
    await stage.ended()
    service.environment |= {**fake.environment, "RATE_LIMITS": "on"}
    await service.start()
    await service.wait_ready()
    return fake


class _Teller:
    """Asks the service what depends on the time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._port = stage.service.http_port
        key_file = stage.installation.folder / "var" / SECRET_FILE
        self._key = secret(key_file.read_text().strip())
        self._issued: list[tuple[datetime, datetime, str]] = []

    async def look(self, offset_s: float, seen: Seen) -> None:
        """At everything, with the clock set so."""
        right = datetime.now(UTC)
        answer = await self._login()
        ends = datetime.fromisoformat(answer["access_token_expires_at"])
        seen.clocks.append((offset_s, (ends - right - timedelta(days=1)).total_seconds()))
        self._issue(right + timedelta(seconds=offset_s))
        self._issued.append((ends - timedelta(days=1), ends, answer["access_token"]))
        for begins, ends, token in self._issued:
            told = await ask(self._port, "GET", "/v1/accounts", token=token)
            now = datetime.now(UTC) + timedelta(seconds=offset_s)
            seen.tokens.append(Shown((begins - now).total_seconds(), (ends - now).total_seconds(), told.code))
        seen.links.append(await self._follow_a_link())
        seen.retry_after.append(await self._ask_too_often())

    async def _login(self) -> dict[str, str]:
        owner = self._stage.load.owner
        body = {"username": owner.depositor, "password": owner.depositor_password}
        told = await ask(self._port, "POST", "/v1/users/login", {**body})
        if told.code != "ok":
            raise DrillFailed(f"nobody can log in: {told.code}")
        return told.body

    def _issue(self, now: datetime) -> None:
        begins = now - timedelta(seconds=2 * STEP_S)
        tokens = Tokens([self._key], issue="paseto", now=lambda: begins)
        for life_s in LIVES_S:
            issued = tokens.issue(
                ACCESS,
                username=self._stage.load.owner.depositor,
                roles=[Role.DEPOSITOR],
                session_id=uuid4(),
                expires_at=now + timedelta(seconds=life_s),
            )
            self._issued.append((begins, issued.expires_at, issued.token))

    async def _follow_a_link(self) -> str:
        address, registered = await register(self._port, self._stage.rng)
        if registered.status != 201:
            return registered.code
        link = await link_to(self._stage.installation.mail, address)
        if link is None:
            return "no mail"
        url = urlsplit(link)
        return (await ask(self._port, "GET", f"{url.path}?{url.query}")).code

    async def _ask_too_often(self) -> tuple[int, int]:
        for _ in range(ASKED_TOO_OFTEN):
            told = await ask(
                self._port, "POST", "/v1/users/resend_verification", {"email": "nobody@example.com"}
            )
        return told.status, told.retry_after_s


async def _times_of(stage: Stage, account: int) -> list[tuple[int, datetime]]:
    told = await ask(
        stage.service.http_port, "GET", f"/v1/accounts/{account}/entries?limit=100", token=stage.load.plan.token
    )
    return [(each["seq"], datetime.fromisoformat(each["created_at"])) for each in told.body.get("items", [])]


def clock_was_set(clocks: Sequence[tuple[float, float]]) -> Verdict:
    """That there was something to see: from what a login says, how far the clock is off."""
    kept = bool(clocks) and all(abs(wanted - found) < UNSURE_S for wanted, found in clocks)
    return Verdict("the service's clock was set", kept, ", ".join(f"{found:+.0f} s" for _, found in clocks))


def tokens_end_in_time(shown: Sequence[Shown]) -> Verdict:
    """By the service's own clock, and to the leeway."""
    wrong = [each for each in shown if each.outcome not in _rightly(each)]
    detail = f"{len(shown)} shown, {sum(each.outcome == Code.TOKEN_EXPIRED for each in shown)} had expired"
    if wrong:
        first = wrong[0]
        life = f"{first.begins_s:+.0f} s to {first.ends_s:+.0f} s"
        detail = f"{len(wrong)} of {len(shown)} wrong: {first.outcome} for one of {life}"
    return Verdict(
        f"tokens end by the service's clock, {LEEWAY_S} s after their time", bool(shown) and not wrong, detail
    )


def _rightly(shown: Shown) -> set[str]:
    if shown.begins_s > LEEWAY_S - UNSURE_S:  # of a clock that was ahead: good if it is known already
        return {"ok", Code.INVALID_TOKEN}
    left_s = shown.ends_s + LEEWAY_S
    if abs(left_s) < UNSURE_S:
        return {"ok", Code.TOKEN_EXPIRED}
    return {"ok"} if left_s > 0 else {Code.TOKEN_EXPIRED}


def retry_after_is_right(told: Sequence[tuple[int, int]]) -> Verdict:
    """Whoever asks too often waits for the rest of a window, not for what a clock was set by."""
    kept = bool(told) and all(status == 429 and 1 <= wait <= RETRY_AFTER_MAX_S for status, wait in told)
    detail = ", ".join(f"{status} after {wait} s" for status, wait in told)
    return Verdict(f"Retry-After is 1 to {RETRY_AFTER_MAX_S} s", kept, detail)


def no_time_is_negative(metrics: Iterable[Numbers]) -> Verdict:
    """What counts up never goes down, and what was waited for adds up to no more than there was."""
    looks = list(metrics)
    negative = {name for numbers in looks for name, value in numbers.items() if value < 0}
    for before, now in pairwise(looks):
        negative |= {name for name, value in before.items() if name.endswith(COUNTED) and now[name] < value}
        answered = now[f"{ANSWERS}_count"] - before[f"{ANSWERS}_count"]
        if now[f"{ANSWERS}_sum"] - before[f"{ANSWERS}_sum"] > answered * ANSWER_TIMEOUT_S:
            negative.add(f"{ANSWERS}_sum")
    detail = f"{len(looks)} looks" if not negative else ", ".join(sorted(negative))
    return Verdict("no duration is negative, or as long as a step", len(looks) > 1 and not negative, detail)


ANSWERS = "transactions_answer_seconds"
COUNTED = ("_sum", "_count", "_bucket", "_total")


def statements_are_in_order(statements: Sequence[Sequence[tuple[int, datetime]]]) -> Verdict:
    """Newest first: numbered without gaps, and no entry dated before the one before it."""
    wrong = [
        newer[0]
        for entries in statements
        for newer, older in pairwise(entries)
        if newer[0] != older[0] + 1 or newer[1] < older[1]
    ]
    detail = f"entry {wrong[0]} is not" if wrong else f"{sum(map(len, statements))} entries"
    return Verdict("entries are dated in the order of their numbers", any(statements) and not wrong, detail)
