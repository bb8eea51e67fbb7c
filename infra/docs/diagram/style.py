"""How the diagram looks by day and by night. Plain rules without variables: not every viewer knows those."""

from __future__ import annotations

from typing import Final

MONO: Final = 'ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", monospace'
SANS: Final = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif'

HUES: Final = (
    ("#0969da", "#58a6ff"),
    ("#1a7f37", "#3fb950"),
    ("#8250df", "#bc8cff"),
    ("#bc4c00", "#f0883e"),
    ("#bf3989", "#f778ba"),
    ("#1b7c83", "#39c5cf"),
)
"""Of tables that others refer to, and of the references to them; used again when there are more such tables."""

# Class, property, by day, by night.
COLOURS: Final = (
    ("paper", "fill", "#f6f8fa", "#0d1117"),
    ("card", "fill", "#ffffff", "#161b22"),
    ("card", "stroke", "#d0d7de", "#3d444d"),
    ("rule", "stroke", "#eaeef2", "#21262d"),
    ("text", "fill", "#1f2328", "#e6edf3"),
    ("muted", "fill", "#59636e", "#9198a1"),
    ("key", "color", "#9a6700", "#e3b341"),
    ("plain", "color", "#6e7781", "#8b949e"),
    *((f"hue{number}", "color", *hue) for number, hue in enumerate(HUES)),
)

SHAPES: Final = f"""
.schema {{ font-family: {SANS} }}
.schema .title {{ font-size: 20px; font-weight: 600 }}
.schema .legend {{ font-size: 12px }}
.schema .name {{ font-size: 14px; font-weight: 600 }}
.schema .comment {{ font-size: 12px }}
.schema .column, .schema .type {{ font-family: {MONO}; font-size: 12px }}
.schema .type {{ text-anchor: end }}
.schema .header {{ fill: currentColor; fill-opacity: 0.13 }}
.schema .row .back {{ fill: currentColor; fill-opacity: 0 }}
.schema .row:hover .back {{ fill-opacity: 0.1 }}
.schema .key {{ stroke: currentColor; stroke-width: 1.6; stroke-linecap: round; fill: none }}
.schema .primary {{ fill: currentColor }}
.schema .line, .schema .mark {{ fill: none; stroke: currentColor; stroke-width: 1.6; stroke-linecap: round }}
.schema .unenforced {{ stroke-dasharray: 2 5 }}
.schema .way {{ fill: none; stroke: currentColor; stroke-width: 11; stroke-opacity: 0; pointer-events: stroke }}
.schema .reference:hover .way {{ stroke-opacity: 0.3 }}
"""


def stylesheet() -> str:
    """The rules, each for the class `schema` alone so that a page may hold the diagram."""
    day = [f".schema .{name} {{ {what}: {colour} }}" for name, what, colour, _ in COLOURS]
    night = [f"  .schema .{name} {{ {what}: {colour} }}" for name, what, _, colour in COLOURS]
    return "\n".join([SHAPES.rstrip(), *day, "@media (prefers-color-scheme: dark) {", *night, "}", ""])


def hue(number: int | None) -> str:
    """The class of the colour of the `number`-th table that others refer to; None: nothing refers to it."""
    return "plain" if number is None else f"hue{number % len(HUES)}"
