"""Charts of a run, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pygal
from pygal.style import Style

from bench.run import Points


@dataclass(frozen=True, slots=True)
class Chart:
    """Its words."""

    title: str
    x: str
    y: str
    logarithmic: bool = False


CHARTS = {
    "rate": Chart("Transfers a second on one hot account", "clients", "transfers/s"),
    "latency": Chart("Latency percentiles of single transfers", "percentile", "ms", logarithmic=True),
    "batches": Chart("Transfers that share a commit", "clients", "mean size of a batch"),
    "history": Chart("Cost after so many transfers", "transfers before", "× the cost after 1,000"),
}
STYLE = Style(font_family="system-ui, sans-serif", background="#fff", plot_background="#fff")


def draw(chart: Chart, lines: Mapping[str, Points]) -> str:
    """One chart. What is at an x has one place on the axis, whatever the distance to the next."""
    drawing = pygal.Line(
        style=STYLE,
        js=[],
        no_prefix=True,
        width=900,
        height=420,
        title=chart.title,
        x_title=chart.x,
        y_title=chart.y,
        include_x_axis=not chart.logarithmic,
        logarithmic=chart.logarithmic,
        legend_at_bottom=True,
        disable_xml_declaration=True,
    )
    positions = sorted({x for points in lines.values() for x, _ in points})
    drawing.x_labels = [f"{x:,.10g}" for x in positions]
    for name, points in lines.items():
        drawing.add(name, [dict(points).get(x) for x in positions], stroke_style={"width": 2})
    return str(drawing.render()) + "\n"


def write(drawn: Mapping[str, Mapping[str, Points]], folder: Path) -> list[str]:
    """Each to a file in the folder; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in drawn.items():
        (folder / f"{name}.svg").write_text(draw(CHARTS[name], lines))
    return list(drawn)
