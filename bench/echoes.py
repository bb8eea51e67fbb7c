"""The bare echoes as processes."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from cli.drill.installation import ROOT, free_ports

START_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Echo:
    """Where it listens, and its process."""

    port: int
    pid: int


@asynccontextmanager
async def open_echo(kind: str) -> AsyncIterator[Echo]:
    """`http`, `grpc` or `purerpc`, for the block."""
    port, _ = free_ports()
    command = [sys.executable, "-m", f"bench.echo_{kind}", "--port", str(port)]
    process = await trio.lowlevel.open_process(command, cwd=ROOT)
    try:
        with trio.fail_after(START_TIMEOUT_S):
            while not await _listens(port):
                await trio.sleep(0.02)
        yield Echo(port, process.pid)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _listens(port: int) -> bool:
    try:
        await trio.aclose_forcefully(await trio.open_tcp_stream("127.0.0.1", port))
    except OSError:
        return False
    return True
