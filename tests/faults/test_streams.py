"""A thousand streams of transfers at once, one of whose clients does not read."""

from __future__ import annotations

import socket
import time

import anyio
import grpc
import grpc.aio
import h2.config
import h2.connection
import h2.events
import pytest

from proto.transactions.v2 import ledger_pb2 as pb
from tests.attacks.health import resident_bytes
from tests.support.ledger_calls import PREFIX, order, statistic
from tests.support.service import ServiceProcess, open_accounts

STREAMS = 1_000
CHANNELS = 4
GROWTH_MAX_BYTES = 60_000_000
UNREAD = 200_000
"""Transfers that the deaf client tries to send: far more than may be in flight."""


@pytest.fixture
def busy(database_url, redis_url, tmp_path):
    """A service of the test's own, whose memory nobody else has touched."""
    service = ServiceProcess(tmp_path, database_url, redis_url).start()
    yield service
    if service.process is not None and service.process.poll() is None:
        assert service.stop() == 0, service.log.read_text()


class DeafClient:
    """Opens a stream of transfers, sends what it may, and reads nothing but its window for sending."""

    def __init__(self, service: ServiceProcess, token: str, transfer: pb.TransferOrder) -> None:
        self._socket = socket.create_connection(("127.0.0.1", service.grpc_port))
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._h2.initiate_connection()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": f"{PREFIX}StreamTransfers",
            ":authority": "x",
            "content-type": "application/grpc",
            "te": "trailers",
            "authorization": f"Bearer {token}",
        }
        self._h2.send_headers(1, list(headers.items()))
        raw = pb.StreamTransfersRequest(reference="deaf", transfer=transfer).SerializeToString()
        self._message = b"\x00" + len(raw).to_bytes(4, "big") + raw
        self.sent = 0

    def send_until_stopped(self, quiet_s: float = 1.0) -> None:
        """Send until the server has not let us for so long; what it answers is not acknowledged."""
        self._socket.settimeout(quiet_s)
        while self.sent < UNREAD:
            while self._h2.local_flow_control_window(1) >= len(self._message) and self.sent < UNREAD:
                self._h2.send_data(1, self._message)
                self.sent += 1
            self._socket.sendall(self._h2.data_to_send())
            try:
                data = self._socket.recv(65_536)
            except TimeoutError:
                return
            assert data, "the server has hung up"
            self._h2.receive_data(data)

    def close(self) -> None:
        self._socket.close()


def test_a_thousand_open_streams_are_not_held_up_by_one_that_does_not_read(busy: ServiceProcess):
    name = busy.register()
    token = busy.login(name)
    accounts = open_accounts(busy.database_url, name, STREAMS + 2, overdraft=10**6)
    before = resident_bytes(busy)
    deaf = DeafClient(busy, token, order(accounts[-2], accounts[-1]))
    try:
        deaf.send_until_stopped()
        assert deaf.sent < UNREAD / 4, "nothing has held it back"
        took_s, grown = anyio.run(_open_and_use, busy, token, accounts, before)
        print(
            f"{STREAMS} streams: {grown / 1e6:.1f} MB, {took_s:.2f} s for a transfer on each; deaf sent {deaf.sent}"
        )
        assert grown < GROWTH_MAX_BYTES
    finally:
        deaf.close()
    deadline = time.monotonic() + 20
    while statistic(busy, "transactions_grpc_calls") or statistic(busy, "transactions_coordinator_waiting"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert busy.audit().returncode == 0


async def _open_and_use(
    busy: ServiceProcess, token: str, accounts: list[int], before: int
) -> tuple[float, int]:
    """Seconds until each stream has had a second transfer answered, and what the service has grown by then."""
    channels = [
        grpc.aio.insecure_channel(busy.grpc, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(CHANNELS)
    ]
    calls = [_stream(channels[number % CHANNELS], token) for number in range(STREAMS)]

    async def use(number: int, reference: str) -> None:
        transfer = order(accounts[number], accounts[number + 1])
        await calls[number].write(pb.StreamTransfersRequest(reference=reference, transfer=transfer))
        answer = await calls[number].read()
        assert (answer.reference, answer.outcome.error.code) == (reference, "")

    async with anyio.create_task_group() as group:
        for number in range(STREAMS):
            group.start_soon(use, number, "first")
    assert statistic(busy, "transactions_grpc_calls") == STREAMS + 1
    began = time.monotonic()
    async with anyio.create_task_group() as group:
        for number in range(STREAMS):
            group.start_soon(use, number, "second")
    took_s, grown = time.monotonic() - began, resident_bytes(busy) - before
    for call in calls:
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
    for channel in channels:
        await channel.close()
    return took_s, grown


def _stream(channel: grpc.aio.Channel, token: str):
    call = channel.stream_stream(
        f"{PREFIX}StreamTransfers",
        request_serializer=pb.StreamTransfersRequest.SerializeToString,
        response_deserializer=pb.StreamTransfersResponse.FromString,
    )
    return call(metadata=[("authorization", f"Bearer {token}")])
