"""What /metrics tells."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from actors.supervisor import ChildStatistics
from domain.policy import Operation
from transport.metrics import Metrics, merged


@dataclass(frozen=True)
class LaneStatistics:
    batches: int
    name: str = "not a number"


@dataclass(frozen=True)
class PoolStatistics:
    idle: int


async def test_every_answer_and_every_number_of_the_tree_is_told():
    lanes = [ChildStatistics(f"lane {n}", True, 0, LaneStatistics(10 * n)) for n in (1, 2)]
    accounts = ChildStatistics("accounts", True, 3, (PoolStatistics(7), None))
    metrics = Metrics(lambda: ChildStatistics("service", True, 0, None, (accounts, *lanes)))
    for took_s in (0.002, 0.2):
        metrics.answered("grpc", Operation.DEPOSIT, 0, took_s)
    families = {family.name: family for family in text_string_to_metric_families(metrics.text().decode())}
    numbers = {
        (sample.name, *sample.labels.values()): sample.value
        for name in ("transactions_lane_batches", "transactions_pool_idle", "transactions_child_restarts")
        for sample in families[name].samples
    }
    assert numbers == {
        ("transactions_lane_batches", "lane 1"): 10,
        ("transactions_lane_batches", "lane 2"): 20,
        ("transactions_pool_idle", "accounts"): 7,
        ("transactions_child_restarts", "service"): 0,
        ("transactions_child_restarts", "accounts"): 3,
        ("transactions_child_restarts", "lane 1"): 0,
        ("transactions_child_restarts", "lane 2"): 0,
    }
    answers = families["transactions_answer_seconds"].samples
    count = next(each for each in answers if each.name.endswith("_count"))
    assert count.value == 2
    assert count.labels == {"transport": "grpc", "operation": "deposit", "status": "0"}
    assert "process_resident_memory_bytes" in families


async def test_of_several_workers_each_number_is_told_with_whose_it_is():
    told = []
    for name, times in (("1", 2), ("2", 3)):
        lane = ChildStatistics("lane 1", True, 0, LaneStatistics(10 * times))
        metrics = Metrics(lambda lane=lane: lane, worker=name)
        for _ in range(times):
            metrics.answered("grpc", Operation.DEPOSIT, 0, 0.002)
        told.append(metrics.text())
    text = merged([told[0], b"", told[1]]).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert text.count("# HELP transactions_lane_batches ") == 1
    assert {each.labels["worker"]: each.value for each in families["transactions_lane_batches"].samples} == {
        "1": 20,
        "2": 30,
    }
    samples = families["transactions_answer_seconds"].samples
    counts = {each.labels["worker"]: each.value for each in samples if each.name.endswith("_count")}
    assert counts == {"1": 2, "2": 3}
    lines = [line for each in told for line in each.decode().splitlines() if not line.startswith("#")]
    assert sorted(lines) == sorted(line for line in text.splitlines() if not line.startswith("#"))


async def test_who_is_one_of_several_tells_of_all():
    async def of_all() -> bytes:
        return b"everything"

    lane = ChildStatistics("lane 1", True, 0, None)
    assert await Metrics(lambda: lane, worker="1", of_all=of_all).text_of_all() == b"everything"
    alone = Metrics(lambda: lane)
    assert b'transactions_child_running{child="lane 1"} 1.0' in await alone.text_of_all()
