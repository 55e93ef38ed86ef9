"""A report as a picture: a bar for each system and speed, the limit of the machine as a line across it, in plain SVG.

Colours follow the reader's light or dark scheme. Text is measured nowhere: labels have room for what names are long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from honed.bench.machine import machine_line
from honed.bench.report import OWN, Report, Row
from honed.bench.workload import Workload

_WIDTH, _MARGIN = 960, 16
_LABELS = 268
_GAP = 84
"""Between the two panels, and right of the second: room for the number at the end of a bar."""
_PANEL = (_WIDTH - _LABELS - 2 * _GAP) // 2
_BAR, _PITCH = 16, 24
_HEAD, _AXIS = 48, 44
_KEY_HEIGHT = 36
_LONGEST_LABEL = 40
_NUMBER = 48
"""What the number at the end of a bar takes; a limit closer than that stands between the two."""

_KEY = "Bar: median. Thin line: range of the runs. Red line: what the bandwidth or arithmetic of the machine allows."

_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 14px; font-weight: 600 }
  .axis, .tick { fill: #57606a }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .own { fill: #1a7f37 } .other { fill: #8c959f }
  .limit { stroke: #cf222e; stroke-width: 2 }
  .range { stroke: #24292f; stroke-width: 1 }
  .ground { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .axis, .tick { fill: #9198a1 } .grid { stroke: #3d444d }
    .own { fill: #3fb950 } .other { fill: #656c76 } .limit { stroke: #ff7b72 } .range { stroke: #e6edf3 }
    .ground { fill: #0d1117 }
  }
"""


def svg(report: Report) -> str:
    """The whole picture: for each workload the rows of the report, decode on the left and prefill on the right."""
    groups = [(workload, [row for row in rows if isinstance(row, Row)]) for workload, rows in report.groups()]
    groups = [(workload, rows) for workload, rows in groups if rows]
    height = 2 * _MARGIN + _KEY_HEIGHT + sum(_HEAD + _PITCH * len(rows) + _AXIS for _, rows in groups)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'role="img">',
        "<title>Tokens a second of each system, and the limit of the machine</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{height}"/>',
        _text(_MARGIN, _MARGIN + 10, machine_line(report.machine), "axis"),
        _text(_MARGIN, _MARGIN + 28, _KEY, "axis"),
    ]
    top = _MARGIN + _KEY_HEIGHT
    for workload, rows in groups:
        lines += _group(workload, rows, top)
        top += _HEAD + _PITCH * len(rows) + _AXIS
    return "\n".join([*lines, "</svg>"]) + "\n"


def _group(workload: Workload, rows: Sequence[Row], top: float) -> Iterator[str]:
    heading = workload.label
    yield _text(_MARGIN, top + 26, heading, "title")
    first = top + _HEAD
    for i, row in enumerate(rows):
        label = f"{row.system} {row.model}" if row.system == OWN else row.system
        shown = label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
        yield _text(_LABELS - 8, first + _PITCH * i + _BAR - 4, shown, anchor="end")
    decode = [(row, row.decode_tok_s, row.limits.decode_tok_s) for row in rows]
    prefill = [(row, row.prefill_tok_s, row.limits.prefill_tok_s) for row in rows]
    for left, name, bars in ((_LABELS, "decode", decode), (_LABELS + _PANEL + _GAP, "prefill", prefill)):
        # A limit far off would press the bars together; it is then left of the edge and not drawn.
        fastest = max(speed.max for _, speed, _ in bars)
        end, step = axis(max([fastest, *(limit for _, _, limit in bars if limit and limit <= 3 * fastest)]))
        bottom = first + _PITCH * len(rows)
        for i in range(round(end / step) + 1):
            x = left + _PANEL * i * step / end
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{first - 4}" y2="{bottom}"/>'
            yield _text(x, bottom + 14, f"{i * step:g}", "tick", "middle")
        yield _text(left + _PANEL / 2, bottom + 30, f"{name}, tokens per second", "axis", "middle")
        for i, (row, speed, limit) in enumerate(bars):
            y = first + _PITCH * i
            scale = _PANEL / end
            kind = "own" if row.system == OWN else "other"
            middle = y + _BAR / 2
            low, high = left + speed.min * scale, left + speed.max * scale
            yield f'<rect class="{kind}" x="{left}" y="{y}" width="{speed.median * scale:.1f}" height="{_BAR}"/>'
            yield f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
            right = high
            if limit is not None and limit <= end:
                x = left + limit * scale
                if x - right < _NUMBER:
                    right = max(right, x)
                yield f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 2}" y2="{y + _BAR + 2}"/>'
            number = f"{speed.median:.0f}" if speed.median >= 100 else f"{speed.median:.1f}"
            yield _text(right + 6, y + _BAR - 4, number)


def axis(largest: float) -> tuple[float, float]:
    """End and step of an axis from 0: three to six steps of 1, 2 or 5 times a power of ten, the end not below
    `largest`."""
    rough = largest / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return step * math.ceil(largest / step * 0.999), step


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    classes = f' class="{kind}"' if kind else ""
    return f'<text{classes} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
