"""A sensitivity table as a picture in plain SVG: a panel for each kind of layer, blocks from left to right, KL upwards
on a logarithmic axis; a line for each candidate, and rings around what was chosen.

Colours follow the reader's light or dark scheme. Text is measured nowhere: labels have room for what names are long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from honed.compress.layer_groups import LayerGroup
from honed.compress.sensitivity import Sensitivity

_WIDTH, _MARGIN, _LABELS = 960, 16, 72
_PANEL, _HEAD, _KEY = 150, 34, 20
_LEAST = 1e-9
"""Nothing lower is drawn."""
_COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#57606a", "#0a3069")
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600 } .tick { fill: #57606a }
  .grid { stroke: #d0d7de; stroke-width: 1 } .ground { fill: #ffffff }
  .chosen { fill: none; stroke: #24292f; stroke-width: 1.5 } polyline { fill: none; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .tick { fill: #9198a1 } .grid { stroke: #3d444d } .ground { fill: #0d1117 }
    .chosen { stroke: #e6edf3 }
  }
"""


def plot(table: Sensitivity, chosen: Sequence[int] | None = None) -> str:
    """The whole picture. A kind is what layers are called behind the number of theirs."""
    kinds: dict[str, list[int]] = {}
    for place, group in enumerate(table.groups):
        kinds.setdefault(_kind(group), []).append(place)
    labels = [
        "; ".join(dict.fromkeys(choices[number].label for choices in table.choices))
        for number in range(len(table.candidates))
    ]
    top = _MARGIN + 22 + _KEY * len(labels)
    height = top + _HEAD + (_PANEL + _HEAD) * len(kinds) + _MARGIN
    low, high = _decades(table)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'role="img">',
        "<title>What each group of layers costs a model when it alone is stored in another way</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{height}"/>',
        _text(_MARGIN, _MARGIN + 10, f"KL in nats a token, over {table.tokens} tokens, of one group of layers alone"),
    ]
    for number, label in enumerate(labels):
        y = _MARGIN + 22 + _KEY * number
        lines.append(f'<circle cx="{_MARGIN + 6}" cy="{y + 6}" r="4" fill="{_colour(number)}"/>')
        lines.append(_text(_MARGIN + 18, y + 10, label))
    for row, (kind, places) in enumerate(kinds.items()):
        y = top + (_PANEL + _HEAD) * row + _HEAD
        lines.append(_text(_LABELS, y - 8, kind, "title"))
        lines += _panel(table, chosen, places, y, (low, high))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _panel(
    table: Sensitivity,
    chosen: Sequence[int] | None,
    places: Sequence[int],
    top: float,
    decades: tuple[int, int],
) -> Iterator[str]:
    low, high = decades
    width = _WIDTH - _LABELS - _MARGIN

    def at(column: int, divergence: float) -> tuple[float, float]:
        x = _LABELS + width * (column + 0.5) / len(places)
        share = (math.log10(max(divergence, _LEAST)) - low) / (high - low)
        return x, top + _PANEL * (1 - min(max(share, 0.0), 1.0))

    for decade in range(low, high + 1):
        y = top + _PANEL * (high - decade) / (high - low)
        yield f'<line class="grid" x1="{_LABELS}" x2="{_WIDTH - _MARGIN}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(_LABELS - 8, y + 4, f"1e{decade}", "tick", "end")
    for number in range(len(table.candidates)):
        points = [at(column, table.choices[place][number].divergence) for column, place in enumerate(places)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{joined}" stroke="{_colour(number)}"/>'
        for x, y in points:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_colour(number)}"/>'
    if chosen is not None:
        for column, place in enumerate(places):
            x, y = at(column, table.choices[place][chosen[place]].divergence)
            yield f'<circle class="chosen" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'


def _decades(table: Sensitivity) -> tuple[int, int]:
    """Powers of ten that hold all that is drawn."""
    found = [choice.divergence for choices in table.choices for choice in choices if choice.divergence > _LEAST]
    low = math.floor(math.log10(min(found, default=_LEAST)))
    return low, max(low + 1, math.ceil(math.log10(max(found, default=_LEAST))))


def _kind(group: LayerGroup) -> str:
    """model.layers.0.mlp.down_proj and model.layers.1.mlp.down_proj are of one."""
    return ".".join(part for part in group.label.split(".") if not part.isdigit())


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    classes = f' class="{kind}"' if kind else ""
    return f'<text{classes} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
