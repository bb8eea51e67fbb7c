"""A drill's timeline as one SVG: rates, refusals, batch sizes and readiness, over the same seconds.

Charts of several panels on one axis are beyond the small chart libraries, and the large ones bring an array library
along; four polylines are not worth either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import pairwise

from cli.drill.history import POSTED, Attempt
from cli.drill.probe import Probe

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP = 960, 110, 34, 64, 16, 56
BUCKETS = 160
READY_HEIGHT = 14
COLOURS = {"HTTP": "#0b6bcb", "gRPC": "#7a3fc8"}
TROUBLE = {"refused": "#c47a00", "no answer": "#c62828"}
BATCH, READY, MARK, GRID, TEXT = "#2e7d32", "#2e7d32", "#888", "#ddd", "#333"

Points = Sequence[tuple[float, float]]


def timeline(title: str, attempts: Iterable[Attempt], probe: Probe) -> str:
    """The document. Times are shown as seconds since the first thing that was seen."""
    attempts = list(attempts)
    times = [attempt.ended_s for attempt in attempts] + [at for at, _ in probe.ready]
    began, ended = min(times, default=0.0), max(times, default=1.0)
    span = max(ended - began, 0.001)
    width_s = span / BUCKETS

    def rate(wanted: Callable[[Attempt], bool]) -> Points:
        counts = Counter(int((each.ended_s - began) / width_s) for each in attempts if wanted(each))
        return [((bucket + 0.5) * width_s, counts[bucket] / width_s) for bucket in range(BUCKETS)]

    rates = {
        name: rate(lambda each, name=name: each.protocol == name and each.outcome == POSTED)  # type: ignore[misc]
        for name in COLOURS
    }
    trouble = {
        "refused": rate(lambda each: each.answered and each.outcome != POSTED),
        "no answer": rate(lambda each: not each.answered),
    }
    sizes: dict[str, Points] = {"orders in a batch": [(at - began, size) for at, size in probe.batches()]}
    panels: list[tuple[str, dict[str, Points], dict[str, str]]] = [
        ("transfers a second", rates, COLOURS),
        ("not carried out, a second", trouble, TROUBLE),
        ("mean size of batches", sizes, {"orders in a batch": BATCH}),
    ]
    drawing = _Drawing(span)
    for caption, lines, colours in panels:
        drawing.panel(caption, lines, colours)
    drawing.ready([(at - began, status) for at, status in probe.ready])
    drawing.marks([(at - began, what) for at, what in probe.marks])
    return drawing.document(title)


class _Drawing:
    def __init__(self, span: float) -> None:
        self._span = span
        self._parts: list[str] = []
        self._y = TOP

    def panel(self, caption: str, lines: dict[str, Points], colours: dict[str, str]) -> None:
        top, bottom = self._y, self._y + PANEL
        highest = max((value for points in lines.values() for _, value in points), default=0) or 1
        self._line(LEFT, bottom, WIDTH - RIGHT, bottom, GRID)
        self._line(LEFT, top, WIDTH - RIGHT, top, GRID)
        self._text(LEFT - 6, top + 4, f"{highest:,.4g}", "end")
        self._text(LEFT - 6, bottom + 4, "0", "end")
        self._text(LEFT, top - 6, caption)
        at = WIDTH - RIGHT
        for name, points in reversed(lines.items()):
            self._text(at, top - 6, name, "end", colours[name])
            at -= 8 * len(name) + 12
            path = " ".join(f"{self._x(x):.1f},{bottom - PANEL * y / highest:.1f}" for x, y in points)
            self._parts.append(f'<polyline fill="none" stroke="{colours[name]}" points="{path}"/>')
        self._y = bottom + GAP

    def ready(self, seen: Sequence[tuple[float, int]]) -> None:
        self._text(LEFT, self._y - 6, "ready")
        for (at, status), (until, _) in pairwise(seen):
            if status == 200:
                x, width = self._x(at), max(self._x(until) - self._x(at), 0.5)
                self._parts.append(
                    f'<rect x="{x:.1f}" y="{self._y}" width="{width:.1f}" height="{READY_HEIGHT}" fill="{READY}"/>'
                )
        self._y += READY_HEIGHT

    def marks(self, marks: Sequence[tuple[float, str]]) -> None:
        for at, what in marks:
            x = self._x(at)
            self._parts.append(
                f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{self._y}" stroke="{MARK}" stroke-dasharray="3 3">'
                f"<title>{escape(what)} at {at:.2f} s</title></line>"
            )
        for seconds in range(0, int(self._span) + 1, max(1, int(self._span / 12))):
            self._text(self._x(seconds), self._y + 16, f"{seconds} s", "middle")

    def document(self, title: str) -> str:
        height = self._y + 28
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="12"><title>{escape(title)}</title>'
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
            f'<text x="{LEFT}" y="22" font-size="15" fill="{TEXT}">{escape(title)}</text>{"".join(self._parts)}</svg>\n'
        )

    def _x(self, seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / self._span

    def _line(self, x1: float, y1: float, x2: float, y2: float, colour: str) -> None:
        self._parts.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"/>')

    def _text(self, x: float, y: float, text: str, anchor: str = "start", colour: str = TEXT) -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
        )
