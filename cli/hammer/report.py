"""What a load gave: one JSON object for scripts, or a table for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from cli.hammer.tally import OK, Tally

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
OUTCOMES_SHOWN = 12


def summary(
    tally: Tally, *, protocol: str, hot: bool, connections: int, audit_clean: bool | None
) -> dict[str, Any]:
    """The JSON object; rates are acknowledged transfers per second, and None is an audit not made."""
    latencies = tally.percentiles_ms(list(PERCENTILES.values()))
    return {
        "protocol": protocol,
        "hot": hot,
        "connections": connections,
        "seconds": round(tally.seconds, 3),
        "rate": round(tally.rate, 1),
        "latency_ms": {name: round(value, 3) for name, value in zip(PERCENTILES, latencies, strict=True)},
        "outcomes": dict(tally.outcomes.most_common()),
        "lost": tally.lost,
        "audit_clean": audit_clean,
    }


def table(result: dict[str, Any]) -> Table:
    """A `summary`, for a terminal."""
    where = "one hot account" if result["hot"] else "uniform"
    shown = Table(title=f"{result['protocol']}, {where}, {result['connections']} connections")
    shown.add_column("")
    shown.add_column("", justify="right")
    shown.add_row("transfers/s", f"{result['rate']:,.0f}")
    for name, value in result["latency_ms"].items():
        shown.add_row(f"{name} ms", f"{value:,.1f}")
    outcomes = list(result["outcomes"].items())
    for code, number in outcomes[:OUTCOMES_SHOWN]:
        shown.add_row(code, f"{number:,}")
    if rest := outcomes[OUTCOMES_SHOWN:]:
        shown.add_row("others", f"{sum(number for _, number in rest):,}")
    return shown


def failed(tally: Tally) -> bool:
    """Whether a transfer was lost, or none was made."""
    return bool(tally.lost) or not tally.outcomes[OK]
