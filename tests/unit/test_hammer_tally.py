"""Counting, percentiles, and what a report makes of them."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from cli.hammer import report, tally
from cli.hammer.tally import OK, Answer, Tally


def tally_of(*latencies_s: float) -> Tally:
    made = Tally()
    for latency_s in latencies_s:
        made.record(Answer(OK), latency_s)
    made.seconds = 2.0
    return made


@pytest.mark.parametrize(
    ("share", "expected_ms"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (1.0, 100)]
)
def test_percentiles_are_exact_by_nearest_rank(share, expected_ms):
    made = tally_of(*(number / 1000 for number in range(100, 0, -1)))
    assert made.percentiles_ms([share]) == [expected_ms]


def test_percentiles_of_nothing_are_zero():
    assert Tally().percentiles_ms([0.5, 1.0]) == [0.0, 0.0]


def test_latencies_are_bounded_in_number_and_size(monkeypatch):
    monkeypatch.setattr(tally, "SAMPLES_MAX", 2)
    made = tally_of(1e9, 0.001, 0.002)
    assert list(made.latencies_us) == [tally.LATENCY_MAX_US, 1_000]
    assert made.outcomes[OK] == 3


def test_rate_counts_acknowledged_transfers_only():
    made = tally_of(0.1, 0.1)
    made.record(Answer("insufficient_funds"), 0.1)
    assert made.rate == 1.0
    assert Tally().rate == 0.0


def test_a_refusal_is_no_failure_and_a_lost_transfer_is():
    made = tally_of(0.1)
    made.record(Answer("insufficient_funds"), 0.1)
    assert not report.failed(made)
    made.record(Answer("shutting_down", lost=True), 0.1)
    assert report.failed(made)


def test_a_load_without_a_transfer_failed():
    assert report.failed(Tally())


def test_failures_without_answer_are_lost_and_have_no_latency():
    made = tally_of(0.1)
    made.record_failure("gone", 3)
    assert made.outcomes["transport: gone"] == made.lost == 3
    assert len(made.latencies_us) == 1


def test_summary_is_json_with_what_scripts_read():
    made = tally_of(0.001, 0.002, 0.003, 0.004)
    result = report.summary(made, protocol="grpc", hot=True, connections=8, audit_clean=None)
    assert json.loads(json.dumps(result)) == {
        "protocol": "grpc",
        "hot": True,
        "connections": 8,
        "seconds": 2.0,
        "rate": 2.0,
        "latency_ms": {"p50": 2.0, "p95": 4.0, "p99": 4.0, "max": 4.0},
        "outcomes": {"ok": 4},
        "lost": 0,
        "audit_clean": None,
    }


def test_table_shows_every_transfer_in_bounded_lines():
    made = tally_of(0.001)
    for number in range(100):
        made.record_failure(f"kind {number}")
    console = Console(record=True, width=100, file=StringIO())
    console.print(
        report.table(report.summary(made, protocol="http", hot=False, connections=1, audit_clean=True))
    )
    text = console.export_text()
    assert "uniform" in text
    assert "others" in text
    assert "89" in text
    assert len(text.splitlines()) < 30
