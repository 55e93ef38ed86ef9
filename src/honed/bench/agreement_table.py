"""Adapters beside the tools of their systems, as text. See `agreement.py`."""

from __future__ import annotations

from collections.abc import Sequence

from honed.bench.agreement import TOLERANCE, Agreement, Speeds, Verdict
from honed.bench.contender import Skipped
from honed.bench.machine import machine, machine_line
from honed.bench.report import Spread
from honed.bench.table import markdown, spread

HEADER = ("system", "lengths", "speed", "adapter tok/s", "own tool tok/s", "adapter over tool", "best runs", "")
WORDS: dict[Verdict, str] = {
    "agrees": "agrees",
    "behind": "BEHIND: the adapter costs its system speed",
    "ahead": "ahead: the comparison leans towards the peer",
}


def agreement_cells(found: Sequence[Agreement | Skipped]) -> list[list[str]]:
    """Cells under `HEADER`: medians with the least and greatest run, ratios of runs that took turns."""
    cells = []
    for item in found:
        if isinstance(item, Skipped):
            cells.append([item.system, _lengths(item), f"not compared: {item.reason}", *[""] * (len(HEADER) - 3)])
            continue
        at = item.contender
        name = f"{at.system}, {at.variant}" if at.variant else at.system
        cells += [
            [f"{name}, {item.tool}", _lengths(item), speed, *_of(speeds), WORDS[speeds.verdict]]
            for speed, speeds in item.speeds
        ]
    return cells


def agreement_page(found: Sequence[Agreement | Skipped], title: str) -> str:
    """A Markdown page."""
    lines = [
        f"# {title}",
        "",
        f"Machine: {machine_line(machine())}.",
        "",
        markdown(HEADER, agreement_cells(found)).rstrip(),
        "",
    ]
    lines += [
        f"Adapter and tool took turns, a fresh process for each run: median (range). An adapter that is more than "
        f"{TOLERANCE:.0%} behind its system's own tool in the median of the ratios is a handicap.",
        "",
    ]
    return "\n".join(lines)


def _lengths(item: Agreement | Skipped) -> str:
    workload = item.workload if isinstance(item, Skipped) else item.contender.workload
    if workload is None:
        return ""
    together = f", {workload.batch} together" if workload.batch > 1 else ""
    return f"{workload.prompt_tokens} + {workload.new_tokens}{together}"


def _of(speeds: Speeds) -> list[str]:
    ratio = speeds.ratio
    sides = [spread(Spread.of(values)) for values in (speeds.adapter, speeds.tool)]
    return [*sides, f"{ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})", f"{speeds.best_ratio:.3f}"]
