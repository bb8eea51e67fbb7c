"""The benchmarks' banks and loads on a real service: a history that was filled in is one that goes on."""

from __future__ import annotations

import pytest

from bench.bank import open_bank
from bench.flood import OK as ACKNOWLEDGED
from bench.flood import Flood
from bench.loads import batches, paced, stream
from cli.drill.installation import open_installation
from cli.hammer.plan import Plan
from cli.hammer.tally import OK

HISTORY = 2_500
SECONDS = 0.3


@pytest.fixture
async def bank(tmp_path):
    tmp_path.chmod(0o755)
    async with open_installation(tmp_path) as installation, open_bank(installation, history=HISTORY) as bank:
        yield bank


async def test_every_load_goes_on_from_a_filled_history(bank):
    assert await bank.audit() == HISTORY
    hot, uniform = Plan.read(bank.hot), Plan.read(bank.uniform)
    http, grpc = bank.service.http_port, bank.service.grpc_port
    as_fast_as_may_be = [
        await batches(hot, grpc, 2, SECONDS),
        await batches(uniform, grpc, 2, SECONDS),
        await stream(hot, grpc, 100, SECONDS),
    ]
    steady = [
        await paced(hot, "http", http, 4, SECONDS, 100.0),
        await paced(uniform, "grpc", grpc, 4, SECONDS, 100.0),
    ]
    assert all(set(tally.outcomes) == {OK} for tally in as_fast_as_may_be)
    assert [tally.outcomes for tally in steady] == [{OK: 30}, {OK: 30}]
    acknowledged = sum(tally.outcomes[OK] for tally in as_fast_as_may_be + steady)
    assert await bank.audit() == HISTORY + acknowledged


async def test_a_flood_counts_what_is_acknowledged(bank):
    with Flood(Plan.read(bank.hot), bank.service.http_port, 20) as flood:
        flood.run(10_000.0, SECONDS)
        flood.finish()
    in_time = len(flood.took_ms[ACKNOWLEDGED])
    assert in_time > 0
    assert flood.cut_off == 0
    assert in_time + flood.late[ACKNOWLEDGED] == flood.sent
    assert await bank.audit() == HISTORY + flood.sent
