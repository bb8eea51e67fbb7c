"""Memory follows what is active, not what is known."""

from __future__ import annotations

import time
from pathlib import Path

import trio

from cli.hammer.load import METHOD, encode_transfer
from tests.support.service import ServiceProcess, open_accounts
from transport.client.channel import Channel, open_channel

ACCOUNTS = 100_000
IN_FLIGHT = 200
MIB = 1024


def resident_kib(service: ServiceProcess) -> int:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def touch(service: ServiceProcess, token: str, accounts: list[int]) -> int:
    """One transfer from each even account to the next; returns how many were posted."""
    posted = 0

    async def main() -> None:
        pairs = iter(zip(accounts[::2], accounts[1::2], strict=True))

        async def worker(channel: Channel, block: bytes) -> None:
            nonlocal posted
            for source, target in pairs:
                ended = await channel.call(block, encode_transfer(source, target, 1, "USD"))
                posted += ended.fields["grpc-status"] == "0"

        async with open_channel("127.0.0.1", service.grpc_port) as channel:
            block = channel.header_block(METHOD, {"authorization": f"Bearer {token}"})
            async with trio.open_nursery() as nursery:
                for _ in range(IN_FLIGHT):
                    nursery.start_soon(worker, channel, block)

    trio.run(main)
    return posted


def test_touching_100_000_accounts_leaves_no_memory_behind(database_url, redis_url, tmp_path):
    service = ServiceProcess(tmp_path, database_url, redis_url).start()
    name = service.register()
    token = service.login(name)
    accounts = open_accounts(database_url, name, ACCOUNTS, overdraft=10)
    time.sleep(1)
    idle = resident_kib(service)
    assert touch(service, token, accounts) == ACCOUNTS // 2
    time.sleep(1)
    after = resident_kib(service)
    print(f"resident: idle {idle / MIB:.1f} MiB, after {ACCOUNTS:,} accounts {after / MIB:.1f} MiB")
    assert idle < 120 * MIB
    assert after - idle < 20 * MIB
    assert service.stop() == 0
