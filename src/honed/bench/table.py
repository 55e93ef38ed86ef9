"""A report as text: the cells of a table for each workload, a sentence for each comparison, and a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

from honed.bench.contender import Skipped
from honed.bench.machine import machine_line
from honed.bench.ratio import Ratio
from honed.bench.report import OWN, Report, Row, Spread
from honed.bench.workload import Workload

HEADER = (
    "system",
    "model",
    "weights",
    "size",
    "load",
    "to first token",
    "prefill tok/s",
    "of limit",
    "decode tok/s",
    "of limit",
    "peak memory",
)


def table_cells(rows: Sequence[Row | Skipped]) -> list[list[str]]:
    """Cells under `HEADER`. Speeds show the median with the least and greatest run."""
    cells = []
    for row in rows:
        if isinstance(row, Skipped):
            cells.append([row.system, row.model, f"skipped: {row.reason}", *[""] * (len(HEADER) - 3)])
            continue
        start = row.second_start_to_first_token_s or row.start_to_first_token_s
        cells.append(
            [
                row.system,
                row.model,
                f"{row.dtype}; {row.variant}" if row.variant else row.dtype,
                megabytes(row.file_bytes),
                f"{row.load_s:.2f} s",
                f"{start:.2f} s",
                spread(row.prefill_tok_s),
                percent(row.prefill_limit_fraction),
                spread(row.decode_tok_s),
                percent(row.decode_limit_fraction),
                megabytes(row.peak_rss_bytes),
            ]
        )
    return cells


def title(workload: Workload, rows: Sequence[Row | Skipped]) -> str:
    """What a table shows."""
    runs = max((len(row.samples) for row in rows if isinstance(row, Row)), default=0)
    return f"{workload.label}, {runs} run{'s' if runs != 1 else ''}: median (range)"


def comparisons(report: Report, workload: Workload) -> list[str]:
    """A sentence for each measured model of honed and each other system, and where CPUs were kept busy one for each
    row of the table."""
    lines = []
    for row in report.measured():
        alone = report.against_alone(row) if row.workload == workload else None
        if alone is not None:
            lines.append(
                f"{row.system} {row.model} ({row.dtype}), {workload.busy_label}, against itself alone: "
                f"decode {ratio_words(alone.decode)}, prefill {ratio_words(alone.prefill)}"
            )
    for row in _own(report, workload):
        for other in report.against(row):
            lines.append(
                f"{row.model} ({row.dtype}) against {other.system}: decode {ratio_words(other.decode)}, "
                f"prefill {ratio_words(other.prefill)}"
            )
    return lines


def footing(report: Report, workload: Workload) -> list[str]:
    """Start and memory of honed's own rows, each against what the project promises."""
    lines = []
    for row in _own(report, workload):
        start = row.second_start_to_first_token_s
        line = f"{row.model} ({row.dtype}): "
        if start is not None:
            line += f"second start to first token, whole process: {start:.2f} s; "
        line += f"peak memory {megabytes(row.peak_rss_bytes)}"
        if row.memory_allowance_bytes is not None:
            line += f" against {megabytes(row.memory_allowance_bytes)} of artifact + KV + 80 MB"
        if row.timed_tokens < workload.new_tokens:
            line += f"; decode of {row.timed_tokens} new tokens, as the context has no room for more of all together"
        lines.append(line)
    return lines


def page(report: Report, heading: str, plot: str | None = None) -> str:
    """The whole report as a Markdown document; `plot` is the name of a picture beside it."""
    parts = [f"# {heading}\n", f"Machine: {machine_line(report.machine)}. {_limits(report)}\n"]
    if plot is not None:
        parts.append(f"![Tokens a second of each system, and the limit of the machine]({plot})\n")
    for workload, rows in report.groups():
        parts += [f"## {title(workload, rows)}\n", markdown(HEADER, table_cells(rows))]
        parts += ["".join(f"- {line}\n" for line in lines) for lines in _below(report, workload) if lines]
    return "\n".join(parts)


def _below(report: Report, workload: Workload) -> tuple[list[str], list[str]]:
    return comparisons(report, workload), footing(report, workload)


def _limits(report: Report) -> str:
    probes = report.probes
    if not probes.get("read_bytes_s"):
        return "Nothing was measured."
    best = {name: max(values) / 1e9 for name, values in probes.items()}
    return (
        f"Most that its probes reached in this session: {best['read_bytes_s']:.1f} GB/s read, "
        f"{best['int8_operations_s']:.0f} int8 and {best['float32_operations_s']:.0f} float32 billion operations a "
        "second. The limit of a system follows from its own bytes and operations; it is left out where no probe "
        "measures its arithmetic. The time to first token is that of a whole process with a short prompt, from the "
        "second start on."
    )


def _own(report: Report, workload: Workload) -> list[Row]:
    return [row for row in report.measured() if row.system == OWN and row.workload == workload]


def ratio_words(ratio: Ratio) -> str:
    """How many times as fast, and how sure that is."""
    if ratio.runs == 1:
        return f"{ratio.median:.2f} times as fast (one run)"
    return (
        f"{ratio.median:.2f} times as fast "
        f"({ratio.low:.2f} to {ratio.high:.2f}, {ratio.confidence:.0%} interval of {ratio.runs} runs)"
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: text columns left, numbers right by their first row's look."""

    def escape(cell: str) -> str:
        return cell.replace("|", "\\|").replace("\n", " ")

    numeric = [bool(rows) and rows[0][i][:1].isdigit() for i in range(len(header))]
    lines = [
        "| " + " | ".join(escape(name) for name in header) + " |",
        "| " + " | ".join("---:" if right else "---" for right in numeric) + " |",
        *("| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def spread(values: Spread) -> str:
    """`median (min to max)`, with no more digits than such a measurement has."""

    def digits(value: float) -> str:
        return f"{value:.0f}" if value >= 100 else f"{value:.1f}"

    return f"{digits(values.median)} ({digits(values.min)} to {digits(values.max)})"


def megabytes(count: int | None) -> str:
    """Decimal megabytes, or a dash."""
    return "-" if count is None else f"{count / 1e6:.0f} MB"


def percent(fraction: float | None) -> str:
    """Whole percents, or a dash."""
    return "-" if fraction is None else f"{fraction:.0%}"
