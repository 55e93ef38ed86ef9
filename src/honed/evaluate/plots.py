"""Pictures of a report as SVG that stands in a page: confusion, ROC curves, calibration. Colours are the page's.

Not here: the numbers (`metrics/classification.py`), and the page (`page.py`), whose style sheet says what the classes
look like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

_SIZE, _LEFT, _BOTTOM, _TOP = 260, 48, 40, 12
MOST_LABELS = 24
"""That a confusion matrix is drawn of; of more it would be no picture."""
SERIES = ("own", "other")
"""Classes of the model and of its reference."""


def confusion_svg(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """True labels are rows, predicted ones columns; shade is the share of the row."""
    cell = max(18, min(64, 420 // len(labels)))
    # Labels have room for what names are long; a longer one is cut.
    names = [label if len(label) <= 18 else label[:17] + "…" for label in labels]
    left = 12 + 7 * max(map(len, names))
    width, height = left + cell * len(labels) + 12, left + cell * len(labels) + 12
    parts = [_open(width, height, "Confusion matrix: true labels in rows, predicted ones in columns")]
    for i, row in enumerate(counts):
        total = sum(row)
        y = left + cell * i
        parts.append(_text(left - 6, y + cell / 2 + 4, names[i], "end"))
        x = left + cell * i + cell / 2
        parts.append(
            f'<text transform="translate({x + 4:.1f} {left - 6}) rotate(-90)" text-anchor="start">'
            f"{escape(names[i])}</text>"
        )
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            kind = "right" if i == j else "wrong"
            place = f'x="{left + cell * j}" y="{y}" width="{cell - 1}" height="{cell - 1}"'
            parts.append(f'<rect class="cell"  {place}/>')
            parts.append(f'<rect class="{kind}" fill-opacity="{share:.3f}" {place}>')
            parts.append(f"<title>{escape(labels[i])} as {escape(labels[j])}: {count}</title></rect>")
            if count and cell >= 24:
                parts.append(_text(left + cell * j + cell / 2, y + cell / 2 + 4, str(count), "middle"))
    return "".join([*parts, "</svg>"])


def roc_svg(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Curves by name, at most two: points (false positive rate, true positive rate)."""
    parts = [_frame("ROC curves", "false positive rate", "true positive rate")]
    parts.append(_line([(0.0, 0.0), (1.0, 1.0)], "even"))
    for i, (name, points) in reversed(list(enumerate(curves.items()))):
        parts.append(_line(points, SERIES[i]))
        parts.append(_key(i, name))
    return "".join([*parts, "</svg>"])


def calibration_svg(curves: Mapping[str, Sequence[tuple[float, float, float]]]) -> str:
    """Curves by name, at most two: of each bin the mean confidence, the share that was right, and how many there are as
    a share of all."""
    parts = [_frame("Calibration", "confidence", "share that is right")]
    parts.append(_line([(0.0, 0.0), (1.0, 1.0)], "even"))
    for i, (name, points) in reversed(list(enumerate(curves.items()))):
        parts.append(_line([(confidence, right) for confidence, right, _ in points], SERIES[i]))
        for confidence, right, share in points:
            x, y = _place(confidence, right)
            size = 2 + 6 * share**0.5
            parts.append(f'<circle class="{SERIES[i]}" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>')
        parts.append(_key(i, name))
    return "".join([*parts, "</svg>"])


def _open(width: float, height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img"><title>{escape(title)}</title>'
    )


def _frame(title: str, x_name: str, y_name: str) -> str:
    parts = [_open(_LEFT + _SIZE + 16, _TOP + _SIZE + _BOTTOM + 36, title)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _place(tick, tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + _SIZE}"/>')
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _SIZE}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(x, _TOP + _SIZE + 14, f"{tick:g}", "middle"))
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:g}", "end"))
    parts.append(_text(_LEFT + _SIZE / 2, _TOP + _SIZE + 30, x_name, "middle"))
    parts.append(
        f'<text transform="translate(12 {_TOP + _SIZE / 2:g}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
    )
    return "".join(parts)


def _key(place: int, name: str) -> str:
    shown = name if len(name) <= 40 else "…" + name[-39:]
    y = _TOP + _SIZE + _BOTTOM + 10 + 16 * place
    return f'<rect class="{SERIES[place]}" x="{_LEFT}" y="{y - 9}" width="10" height="10"/>' + _text(
        _LEFT + 16, y, shown, "start"
    )


def _place(x: float, y: float) -> tuple[float, float]:
    return _LEFT + _SIZE * x, _TOP + _SIZE * (1 - y)


def _line(points: Sequence[tuple[float, float]], kind: str) -> str:
    # Points on a straight line with their neighbours say nothing: thousands of examples make thousands of them.
    kept = [points[0]]
    for (a, b), (c, d) in pairwise(points[1:]):
        if (a - kept[-1][0]) * (d - b) != (c - a) * (b - kept[-1][1]):
            kept.append((a, b))
    kept.append(points[-1])
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (_place(*point) for point in kept))
    return f'<polyline class="{kind}" fill="none" points="{path}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
