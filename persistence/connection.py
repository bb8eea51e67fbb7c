"""A PostgreSQL connection that waits the Trio way.

psycopg keeps its protocol in generators that yield what they wait for; its asynchronous connection drives
them with asyncio. This one drives the same generators with Trio's `wait_readable` and `wait_writable`;
everything else (cursors, pipelines, transactions, prepared statements) is psycopg's own.

A task that is cancelled while the server owes an answer closes the connection: it is never used half-read.
The server notices within `CHECK_CLIENT_MS` and ends what the connection was doing. Used by `persistence.pool`.
"""

from __future__ import annotations

import select
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar, cast

import psycopg
import trio
from psycopg import pq, waiting
from psycopg._conninfo_attempts import conninfo_attempts
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from persistence.faults import OutcomeUnknown

Result = TypeVar("Result")

CHECK_CLIENT_MS = 1_000
"""How often a backend that is busy looks whether its client is still there."""
COMMIT_MARGIN_S = 2.0
"""How much longer than the statement timeout we wait for the answer to a COMMIT."""

PORT_MAX = 65_535
CONNINFO_FORM = "must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with parameters that libpq knows"

_READ, _WRITE = waiting.Wait.R, waiting.Wait.W


class _OneTask:
    """In place of psycopg's asyncio lock: two tasks on one connection are a defect, not a queue."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken = False

    async def __aenter__(self) -> None:
        if self._taken:
            raise psycopg.ProgrammingError("a connection is used by two tasks at once")
        self._taken = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken = False


class Connection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """Made by `open_connection`; in autocommit mode, so a transaction is begun explicitly."""

    commit_timeout_s: float

    def __init__(self, pgconn: Any, **options: Any) -> None:
        super().__init__(pgconn, **options)
        self.lock = cast(Any, _OneTask())
        self.poll = select.poll()
        self.poll.register(pgconn.socket, select.POLLIN | select.POLLOUT)

    async def wait(
        self,
        gen: Generator[Any, Any, Result],
        interval: float = 0.0,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's signature
    ) -> Result:
        """Drive one of psycopg's generators to its end."""
        assert timeout is None, "only psycopg's notifications ask for one"
        try:
            state = next(gen)
            socket = self.pgconn.socket
            while True:
                if state == _READ:
                    await trio.lowlevel.wait_readable(socket)
                    ready = waiting.Ready.R
                elif state == _WRITE:
                    await trio.lowlevel.wait_writable(socket)
                    ready = waiting.Ready.W
                else:
                    ready = self._ready_now() or await _ready_for_both(socket)
                state = gen.send(ready)
        except StopIteration as stop:
            return cast(Result, stop.value)
        except psycopg.Error:
            raise
        except BaseException:
            self.abandon()
            raise

    def _ready_now(self) -> waiting.Ready | None:
        # A socket that can be written to is the rule: ask the kernel before parking a task twice.
        for _, events in self.poll.poll(0):
            if events & ~(select.POLLIN | select.POLLOUT):
                return waiting.Ready.RW
            if events & select.POLLOUT:
                return waiting.Ready.RW if events & select.POLLIN else waiting.Ready.W
            return waiting.Ready.R
        return None

    def has_unread_input(self) -> bool:
        """Whether an idle connection's socket has something to say: an end of file, or bad news."""
        return any(events & ~select.POLLOUT for _, events in self.poll.poll(0))

    def abandon(self) -> None:
        """Close at once, whatever is going on."""
        if not self.closed:
            trio.lowlevel.notify_closing(self.pgconn.socket)
            self._closed = True
            self.pgconn.finish()

    @property
    def lost(self) -> bool:
        """Whether nothing can be said over this connection any more."""
        return self.closed or self.pgconn.status != pq.ConnStatus.OK

    @asynccontextmanager
    async def committing(self) -> AsyncIterator[None]:
        """Run the block's statements and COMMIT in one pipeline, shielded from cancellation and bounded.

        Raises OutcomeUnknown when the connection is lost, or silent for too long: COMMIT may have arrived.
        Any other error means that the transaction is over and nothing happened.
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self.commit_timeout_s) as scope:
            try:
                async with self.pipeline():
                    yield
                    await self.execute("commit")
            except psycopg.Error as error:
                if self.lost:
                    raise OutcomeUnknown(str(error).strip()) from error
                raise
        if scope.cancelled_caught:
            raise OutcomeUnknown("no answer to COMMIT")


async def _ready_for_both(socket: int) -> waiting.Ready:
    ready = 0

    async with trio.open_nursery() as nursery:

        async def readable() -> None:
            nonlocal ready
            await trio.lowlevel.wait_readable(socket)
            ready |= waiting.Ready.R
            nursery.cancel_scope.cancel()

        async def writable() -> None:
            nonlocal ready
            await trio.lowlevel.wait_writable(socket)
            ready |= waiting.Ready.W
            nursery.cancel_scope.cancel()

        nursery.start_soon(readable)
        nursery.start_soon(writable)
    return waiting.Ready(ready)


async def open_connection(
    conninfo: str,
    *,
    connect_timeout_s: float = 5.0,
    statement_timeout_s: float = 10.0,
    application_name: str = "transactions",
) -> Connection:
    """Connect, trying every host and address of the URL in turn; honours `target_session_attrs`.

    `connect_timeout_s` is for each attempt. Raises psycopg.OperationalError.
    """
    parameters = conninfo_to_dict(conninfo)
    options = {
        "statement_timeout": int(statement_timeout_s * 1000),
        "idle_in_transaction_session_timeout": int(statement_timeout_s * 2000),
        "client_connection_check_interval": CHECK_CLIENT_MS,
        "timezone": "UTC",
    }
    ours = " ".join(f"-c {name}={value}" for name, value in options.items())
    parameters["options"] = f"{parameters.get('options') or ''} {ours}".strip()
    parameters.setdefault("application_name", application_name)
    attempts = await trio.to_thread.run_sync(conninfo_attempts, parameters, abandon_on_cancel=True)
    failures: list[str] = []
    for attempt in attempts:
        try:
            with trio.fail_after(connect_timeout_s):
                connection = await _connect(make_conninfo("", **attempt))
        except (psycopg.Error, trio.TooSlowError) as error:
            where = attempt.get("hostaddr") or attempt.get("host") or "the default socket"
            why = " ".join(str(error).split()) or f"no answer within {connect_timeout_s:g} s"
            failures.append(f"{where}:{attempt.get('port') or ''} {why}")
            continue
        connection.commit_timeout_s = statement_timeout_s + COMMIT_MARGIN_S
        return connection
    raise psycopg.OperationalError("; ".join(failures))


def check_conninfo(conninfo: str) -> None:
    """Raise ValueError, which does not repeat what may be a password, where libpq could not make sense of it."""
    try:
        parameters = conninfo_to_dict(conninfo)
    except psycopg.Error:
        raise ValueError(CONNINFO_FORM) from None
    for port in str(parameters.get("port") or "").split(","):
        if port and not (port.isdecimal() and port.isascii() and 0 < int(port) <= PORT_MAX):
            raise ValueError(f"the port must be a number up to {PORT_MAX}")


async def _connect(conninfo: str) -> Connection:
    # The socket may change between one wait and the next, so each is told its own.
    generator = Connection._connect_gen(conninfo)
    try:
        socket, state = next(generator)
        while True:
            if state == _READ:
                await trio.lowlevel.wait_readable(socket)
                ready = waiting.Ready.R
            else:
                await trio.lowlevel.wait_writable(socket)
                ready = waiting.Ready.W
            socket, state = generator.send(ready)
    except StopIteration as stop:
        connection = cast(Connection, stop.value)
        connection._autocommit = True
        return connection
    finally:
        generator.close()
