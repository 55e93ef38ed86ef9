"""KL divergence over bytes of what recipes made, in plain SVG: divergence on a logarithmic axis, a point each with its
name, those of llama.cpp's files as open circles.

Colours follow the reader's light or dark scheme. Of names that would lie upon each other the later one moves down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from honed.bench.plot import axis
from honed.bench.recipe_rows import LLAMA, RecipeResults, RecipeRow

_WIDTH, _HEIGHT = 960, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 40, 56
_LINE = 13
_LETTER = 6.2
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .axis, .tick { fill: #57606a }
  .name { font-size: 11px }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .own { fill: #1a7f37 } .other { fill: none; stroke: #6e7781; stroke-width: 1.5 }
  .range { stroke: #57606a; stroke-width: 1 }
  .ground { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .axis, .tick { fill: #9198a1 } .grid { stroke: #3d444d }
    .own { fill: #3fb950 } .other { stroke: #9198a1 } .range { stroke: #9198a1 } .ground { fill: #0d1117 }
  }
"""
_LEAST = 1e-6
"""Of a divergence: what is less, as that of a copy, is drawn here."""


def svg(results: RecipeResults) -> str:
    """The whole picture, of the rows that have a size and a quality."""
    rows = [row for row in results.rows if row.quality is not None and row.bytes]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img">',
        "<title>KL divergence over the size of the weights</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{_HEIGHT}"/>',
        _text(_LEFT, 22, f"{results.about.get('model', '')}: filled, honed; open, llama.cpp's quantizer", "axis"),
    ]
    if rows:
        lines += _drawn(rows)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _drawn(rows: Sequence[RecipeRow]) -> Iterator[str]:
    end, step = axis(max((row.bytes or 0) / 1e6 for row in rows))
    lowest = math.floor(math.log10(max(min(_kl(row)[0] for row in rows), _LEAST)))
    highest = max(math.ceil(math.log10(max(_kl(row)[2] for row in rows))), lowest + 1)
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across(row: RecipeRow) -> float:
        return _LEFT + width * (row.bytes or 0) / 1e6 / end

    def down(kl: float) -> float:
        return _TOP + height * (highest - math.log10(max(kl, 10.0**lowest))) / (highest - lowest)

    for i in range(round(end / step) + 1):
        x = _LEFT + width * i * step / end
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + height}"/>'
        yield _text(x, _TOP + height + 16, f"{i * step:g}", "tick", "middle")
    yield _text(_LEFT + width / 2, _HEIGHT - 14, "MB of weights", "axis", "middle")
    for power in range(lowest, highest + 1):
        y = down(10.0**power)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + width}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(_LEFT - 8, y + 4, f"{10.0**power:g}", "tick", "end")
    yield _text(12, _TOP - 6, "mean KL divergence, nats a token", "axis")
    taken: list[tuple[float, float, float]] = []
    for row in sorted(rows, key=lambda one: down(_kl(one)[0])):
        x, (kl, low, high) = across(row), _kl(row)
        y = down(kl)
        yield f'<line class="range" x1="{x:.1f}" x2="{x:.1f}" y1="{down(low):.1f}" y2="{down(high):.1f}"/>'
        yield f'<circle class="{"other" if row.system == LLAMA else "own"}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        length = _LETTER * len(row.name)
        left = x - 8 - length if x + 8 + length > _WIDTH else x + 8
        place = y + 4
        while any(a < left + length and left < b and abs(place - other) < _LINE for a, b, other in taken):
            place += 2
        taken.append((left, left + length, place))
        yield _text(left, place, row.name, "name")


def _kl(row: RecipeRow) -> tuple[float, float, float]:
    assert row.quality is not None  # of the rows that are drawn
    return row.quality.kl


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
