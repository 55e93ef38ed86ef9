"""A report of a task as one HTML page that needs nothing else: no script, no font, no address is asked for.

It is made of the report's JSON alone, so that a page can be made again from it. Everything in it that comes from data
or models is escaped. Not here: what is measured, and the pictures (`plots.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from honed.evaluate.metrics.registry import find_metric
from honed.evaluate.plots import MOST_LABELS, calibration_svg, confusion_svg, roc_svg

_STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --ground: #ffffff; --line: #d0d7de; --soft: #59636e;
  --own: #0969da; --other: #8c959f; --good: #1a7f37; --bad: #cf222e; --box: #f6f8fa }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --ground: #0d1117; --line: #3d444d; --soft: #9198a1;
  --own: #4493f8; --other: #656c76; --good: #3fb950; --bad: #f85149; --box: #151b23 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line) }
p.note, .soft { color: var(--soft) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top }
th:first-child, td:first-child, td.text, th.text { text-align: left }
td.text { white-space: pre-wrap; overflow-wrap: anywhere; max-width: 36rem }
td.good { color: var(--good) } td.bad { color: var(--bad) }
figure { display: inline-block; margin: .5rem 1.5rem .5rem 0; vertical-align: top } figcaption { color: var(--soft) }
svg text { font: 11px system-ui, sans-serif; fill: var(--text) }
svg .grid { stroke: var(--line) } svg .even { stroke: var(--soft); stroke-dasharray: 4 4 }
svg polyline { stroke-width: 2 } svg polyline.own { stroke: var(--own) } svg polyline.other { stroke: var(--other) }
svg rect.own, svg circle.own { fill: var(--own) } svg rect.other, svg circle.other { fill: var(--other) }
svg .cell { fill: var(--box) } svg .right { fill: var(--good) } svg .wrong { fill: var(--bad) }
pre { background: var(--box); padding: .8rem; overflow-x: auto }
mark { color: inherit; border-radius: 3px; padding: 0 .1em }
"""

Json = Mapping[str, Any]


def page(report: Json) -> str:
    """The whole page."""
    model = str(report["model"]["name"])
    reference = report["reference"]["name"] if report.get("reference") else None
    title = f"{report['name']}: {model}" + (f" against {reference}" if reference else "")
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="note">{escape(_summary(report))}</p>',
        _metrics(report),
        *(_labels(name, rows) for name, rows in report.get("labels", {}).items()),
        _pictures(report, model, reference),
        _worst(report, reference),
        *(_section(section) for section in report.get("sections", ())),
        "<h2>Settings</h2>",
        f"<pre>{escape(json.dumps(_settings(report), indent=2, ensure_ascii=False))}</pre>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], texts: Sequence[int] = ()) -> str:
    """Cells are escaped. texts: columns that hold text, which breaks and stands to the left."""
    lines = ['<div class="wide"><table><tr>']
    lines += [f'<th class="{"text" if i in texts else ""}">{escape(cell)}</th>' for i, cell in enumerate(header)]
    lines.append("</tr>")
    for row in rows:
        cells = (f'<td class="{"text" if i in texts else ""}">{escape(cell)}</td>' for i, cell in enumerate(row))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "".join([*lines, "</table></div>"])


def _summary(report: Json) -> str:
    data = report["data"]
    taken = f"{data['examples']} examples" + (f" of {data['rows']}" if data["examples"] != data["rows"] else "")
    draws = report["settings"]["draws"]
    return (
        f"{report['task']['task']}, {taken} from {data['name']}. Intervals are of {draws['confidence']:.0%}, from "
        f"{draws['resamples']} resamples of the examples; gaps are paired."
    )


def _metrics(report: Json) -> str:
    kind = report["task"]["task"]
    compared = report.get("reference") is not None
    header = ["metric", "model", "interval"]
    if compared:
        header += ["reference", "interval", "gap", "interval", "p", "McNemar p"]
    lines = [f'<h2>Metrics</h2><div class="wide"><table><tr>{"".join(f"<th>{name}</th>" for name in header)}</tr>']
    for name, found in report["metrics"].items():
        metric = find_metric(name, kind)
        form = ".2%" if metric.bounded else ".4f"
        cells = [f"<td>{escape(name)}</td>", *_estimate(found["value"], form)]
        if compared:
            gap = found["gap"]
            known = gap["low"] is not None
            worse = known and (gap["high"] < 0 if metric.higher else gap["low"] > 0)
            better = known and (gap["low"] > 0 if metric.higher else gap["high"] < 0)
            mark = "bad" if worse else "good" if better else ""
            cells += [*_estimate(found["reference"], form), *_estimate(gap, "+" + form, mark)]
            cells += [
                f"<td>{found['p']:.3g}</td>",
                f"<td>{found['mcnemar']:.3g}</td>" if "mcnemar" in found else "<td></td>",
            ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "".join([*lines, "</table></div>"])


def estimate_cells(found: Json, form: str) -> list[str]:
    """A value and its interval as texts; nothing where there is no number."""
    if found["value"] is None:
        return ["none", ""]
    value = format(found["value"], form)
    return [value, "" if found["low"] is None else f"{found['low']:{form}} to {found['high']:{form}}"]


def _estimate(found: Json, form: str, mark: str = "") -> list[str]:
    value, interval = estimate_cells(found, form)
    return [f'<td class="{mark}">{value}</td>', f'<td class="soft">{interval}</td>']


def _labels(name: str, rows: Sequence[Json]) -> str:
    cells = [
        [row["label"], *(f"{row[part]:.4f}" for part in ("precision", "recall", "f1")), str(row["support"])]
        for row in rows
    ]
    heading = f"<h2>By {escape(name)}</h2>"
    return heading + table(("", "precision", "recall", "F1", "support"), cells)


def _pictures(report: Json, model: str, reference: str | None) -> str:
    figures = []
    confusion = report.get("confusion")
    if confusion:
        for name, counts in (("model", confusion["model"]), ("reference", confusion.get("reference"))):
            if counts is not None and len(confusion["labels"]) <= MOST_LABELS:
                shown = model if name == "model" else str(reference)
                figures.append((f"Confusion, {shown}", confusion_svg(confusion["labels"], counts)))
    for name, heading, draw in (("roc", "ROC", roc_svg), ("calibration", "Calibration", calibration_svg)):
        found = report.get(name)
        if not found:
            continue
        # The same name twice would be one curve.
        curves = {f"{model} (model)": found["model"]}
        if found.get("reference"):
            curves[f"{reference} (reference)"] = found["reference"]
        caption = f"{heading}, positive: {found['positive']}" if name == "roc" else heading
        figures.append((caption, draw(curves)))
    if not figures:
        return ""
    drawn = (f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for caption, svg in figures)
    return "<h2>Pictures</h2>" + "".join(drawn)


def _worst(report: Json, reference: str | None) -> str:
    rows = report.get("worst") or ()
    if not rows:
        return ""
    header = ["row", "example", "right", "model", *(["reference"] if reference else []), "score"]
    cells = [
        [
            str(row["row"]),
            row["shown"],
            _shown(row["right"]),
            _shown(row["model"]),
            *([_shown(row["reference"])] if reference else []),
            "" if row["score"] is None else f"{row['score']:.4g}",
        ]
        for row in rows
    ]
    texts = range(1, len(header) - 1)
    return f"<h2>The {len(rows)} worst examples</h2>" + table(header, cells, tuple(texts))


def _section(section: Json) -> str:
    """A further part of a report: a heading, a sentence, and tables."""
    parts = [f"<h2>{escape(section['title'])}</h2>", f'<p class="note">{escape(section["note"])}</p>']
    for found in section["tables"]:
        if found.get("title"):
            parts.append(f"<h3>{escape(found['title'])}</h3>")
        parts.append(table(found["header"], found["rows"], tuple(found.get("texts", ()))))
    for found in section.get("marked", ()):
        parts.append(_marked(found))
    return "".join(parts)


def _marked(found: Json) -> str:
    """Words shaded by how much each speaks for what was decided (green) or against it (red)."""
    most = max((abs(weight) for _, weight in found["words"]), default=0.0) or 1.0
    words = " ".join(
        f'<mark style="background: color-mix(in srgb, var(--{"good" if weight >= 0 else "bad"}) '
        f'{60 * abs(weight) / most:.0f}%, transparent)" title="{weight:+.4g}">{escape(word)}</mark>'
        for word, weight in found["words"]
    )
    return f'<p><span class="soft">{escape(found["title"])}</span> {words}</p>'


def _settings(report: Json) -> dict[str, Any]:
    return {name: report[name] for name in ("task", "data", "model", "reference", "settings") if name in report}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
