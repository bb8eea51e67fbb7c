"""What a run found, as a page: each bar and whether it is met, then all figures."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from bench.bars import BARS, Bar
from bench.charts import CHARTS
from bench.figures import Figure, Figures

HEAD = """\
# Benchmarks

The service beside the classic transfer transaction ("the peer": five prepared statements a transfer, sent by pgbench,
with no server in front), on one PostgreSQL. A figure is the median of its rounds, in which all sides take turns; what
counts is its ratio to another of the same run, as times differ from machine to machine and from hour to hour. Services
run as they are started by default, but for RATE_LIMITS=off, which is about logins.
"""


def report(figures: Figures, command: str, machine: str, took_s: float, charts: Sequence[str]) -> str:
    """The page; `charts` are the names of those that were drawn."""
    lines = [HEAD, f"`{command}`, {took_s / 60:.0f} minutes. {machine}", "", "## Bars", ""]
    lines += ["| row | what | figure | bar | |", "|---:|---|---:|---:|---|"]
    lines += [_judged(bar, figures) for bar in BARS]
    lines += ["", "## Figures", "", "| what | | unit |", "|---|---:|---|"]
    lines += [
        f"| {each.label} | {_number(figures[each])} | {each.unit} |" for each in Figure if each in figures
    ]
    if figures.left_out:
        lines += ["", "Left out:", "", *(f"- {line}" for line in _left_out(figures))]
    if figures.failures:
        lines += ["", "Failed:", "", *(f"- {line}" for line in figures.failures)]
    if charts:
        lines += ["", "## Charts", ""]
        lines += [f"![{CHARTS[name].title}](benchmarks/{name}.svg)" for name in charts]
    return "\n".join(lines) + "\n"


def environment() -> str:
    """The machine, in a sentence or two, and whether it had anything else to do."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), shared by service, PostgreSQL and load generators; "
        f"{memory_gib:.0f} GiB; {platform.system()} {platform.release().split('-')[0]}; "
        f"Python {platform.python_version()}; PostgreSQL 18 with default durability. "
        f"Load average just before: {os.getloadavg()[0]:.1f}."
    )


def _left_out(figures: Figures) -> list[str]:
    labels: dict[str, list[str]] = {}
    for figure, why in figures.left_out.items():
        labels.setdefault(why, []).append(figure.label)
    return [f"{'; '.join(of_them)}: {why}" for why, of_them in labels.items()]


def _judged(bar: Bar, figures: Figures) -> str:
    wanted = f"≥ {bar.at_least:g}" if bar.at_least is not None else f"≤ {bar.at_most:g}"
    value = bar.value(figures)
    if value is None:
        return f"| {bar.row} | {bar.what} | | {wanted} | {'left out' if bar.is_left_out(figures) else ''} |"
    verdict = "met" if bar.is_met(value) else "**not met**"
    return f"| {bar.row} | {bar.what} | {_number(value)} | {wanted} | {verdict} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
