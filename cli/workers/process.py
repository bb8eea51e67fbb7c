"""A worker as its parent sees it: a process that is a supervisor's child."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from signal import Signals

import trio
from trio.socket import SocketType

from cli.workers.line import Answer, Line, LineClosed
from cli.workers.place import METRICS, READY, Place

COMMAND = [sys.executable, "-m", "cli.main", "serve"]
ANSWER_TIMEOUT_S = 2.0
END_S = 2.0
"""For one that takes no work yet, to end in order."""


class WorkerEnded(Exception):
    """Nobody had asked it to."""


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """Its process, 0 for none, and whether that takes work."""

    pid: int
    ready: bool


class WorkerProcess:
    """One of several, started again and again on the same sockets.

    One that ends by itself before it has ever taken work is not worth a second try: `failed` gets its exit status,
    and what is wrong it has said itself.
    """

    def __init__(
        self,
        number: int,
        *,
        http: Sequence[SocketType],
        grpc: Sequence[SocketType],
        environment: Mapping[str, str],
        answer: Answer,
        failed: Callable[[int], None],
    ) -> None:
        self.number = number
        self.was_ready = trio.Event()
        self.ended_badly = False
        """Whether it was to drain, and did not do so in order."""
        self._http, self._grpc = http, grpc
        self._environment = environment
        self._answer_others = answer
        self._failed = failed
        self._process: trio.Process | None = None
        self._line: Line | None = None
        self._ready = trio.Event()
        self._asked_to_end = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """One life of it. The first of all has started when it takes work, the others at once.

        Raises WorkerEnded.
        """
        self._ready = trio.Event()
        ours, theirs = socket.socketpair()
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
            with theirs:
                process = self._process = await self._spawn(theirs)
            if self._asked_to_end:  # while it was being started: it has not heard of it
                process.terminate()
            try:
                status = await self._until_it_ends(process, Line(stream), task_status)
            finally:
                self._line = None
                await _end(process)
        if self._asked_to_end:
            self.ended_badly = self._ready.is_set() and status != 0
        elif self.was_ready.is_set() or status < 0:
            raise WorkerEnded(f"exit status {status}" if status >= 0 else Signals(-status).name)
        else:
            self._failed(status)

    async def metrics(self) -> bytes:
        """What it tells; nothing when it does not answer in time, or takes no work."""
        if self._line is not None and self._ready.is_set():
            with trio.move_on_after(ANSWER_TIMEOUT_S), suppress(LineClosed):
                return await self._line.ask(METRICS)
        return b""

    def terminate(self) -> None:
        """Ask it to drain, for good."""
        if not self._asked_to_end:
            self._asked_to_end = True
            self.signal(Signals.SIGTERM)

    def signal(self, number: Signals) -> None:
        """Send a signal to its process, if there is one."""
        if self._process is not None:
            self._process.send_signal(number)

    @property
    def alive(self) -> bool:
        """Whether it has a process; safe in a signal handler."""
        return self._process is not None and self._process.returncode is None

    @property
    def takes_work(self) -> bool:
        """Whether its process does."""
        return self.alive and self._ready.is_set()

    def statistics(self) -> WorkerStatistics:
        """A snapshot."""
        pid = self._process.pid if self._process is not None and self.alive else 0
        return WorkerStatistics(pid, self.takes_work)

    async def _spawn(self, line: socket.socket) -> trio.Process:
        with ExitStack() as stack:  # duplicates: the parent may close its own meanwhile
            http, grpc = (
                [stack.enter_context(each.dup()).fileno() for each in sockets]
                for sockets in (self._http, self._grpc)
            )
            place = Place(self.number, http, grpc, line.fileno())
            return await trio.lowlevel.open_process(
                [*COMMAND, "--worker", str(place)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=place.descriptors,
                start_new_session=True,  # the terminal's signals are the parent's
            )

    async def _until_it_ends(
        self, process: trio.Process, line: Line, task_status: trio.TaskStatus[None]
    ) -> int:
        self._line = line
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.run, self._answer)
            if self.number == 1:
                nursery.start_soon(self._start_when_ready, task_status)
            else:
                task_status.started()
            status = await process.wait()
            nursery.cancel_scope.cancel()
        return status

    async def _start_when_ready(self, task_status: trio.TaskStatus[None]) -> None:
        await self._ready.wait()
        task_status.started()

    async def _answer(self, question: bytes) -> bytes:
        if question == READY:
            self._ready.set()
            self.was_ready.set()
            return b""
        return await self._answer_others(question)


async def _end(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        if process.returncode is None:
            process.terminate()
            with trio.move_on_after(END_S):
                await process.wait()
                return
            process.kill()
            await process.wait()
