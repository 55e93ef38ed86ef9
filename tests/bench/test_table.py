from __future__ import annotations

from dataclasses import replace

import pytest

from bench_results import WORKLOAD, measured
from honed.bench import report as report_module
from honed.bench.contender import Skipped
from honed.bench.report import Report, make_report
from honed.bench.table import HEADER, comparisons, footing, markdown, megabytes, page, percent, table_cells, title


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Report:
    features = {"instruction_sets": ["avx2", "fma"], "allowed_cpus": 2}
    monkeypatch.setattr(report_module, "machine", lambda: {"architecture": "x86_64", "features": features})
    return make_report(
        [measured("honed", 4), measured("llama", 2, variant="flash"), Skipped("other", "m", "is | not here")]
    )


def test_table_has_a_cell_for_every_heading(report: Report) -> None:
    rows = table_cells(report.rows)
    assert all(len(row) == len(HEADER) for row in rows)
    assert rows[0][HEADER.index("prefill tok/s")] == "400 (200 to 500)"
    assert rows[0][HEADER.index("decode tok/s")] == "40.0 (20.0 to 50.0)"
    assert rows[0][HEADER.index("to first token")] == "1.75 s", "the second start"
    assert rows[1][HEADER.index("weights")] == "int8; flash"
    assert "skipped: is | not here" in rows[2]


def test_title_counts_the_runs_that_were_made(report: Report) -> None:
    expected = "100 prompt and 11 new tokens, 1 sequence, 2 threads, 3 runs: median (range)"
    assert title(WORKLOAD, report.rows) == expected


def test_comparisons_say_how_sure_they_are(report: Report) -> None:
    assert comparisons(report, WORKLOAD) == [
        "m (int8) against llama: decode 2.00 times as fast (2.00 to 2.00, 75% interval of 3 runs), "
        "prefill 2.00 times as fast (2.00 to 2.00, 75% interval of 3 runs)"
    ]


def test_busy_rows_are_set_against_themselves_alone() -> None:
    busy = replace(WORKLOAD, busy=1)
    both = make_report([measured("honed", 4), measured("honed", 3, workload=busy)])
    assert comparisons(both, WORKLOAD) == []
    assert comparisons(both, busy) == [
        "honed m (int8), 1 CPU kept busy by others, against itself alone: "
        "decode 0.75 times as fast (0.75 to 0.75, 75% interval of 3 runs), "
        "prefill 0.75 times as fast (0.75 to 0.75, 75% interval of 3 runs)"
    ]
    rows = dict(both.groups())[busy]
    assert title(busy, rows).startswith(
        "100 prompt and 11 new tokens, 1 sequence, 2 threads, 1 CPU kept busy by others, 3"
    )


def test_footing_names_second_start_and_memory(report: Report) -> None:
    assert footing(report, WORKLOAD) == [
        "m (int8): second start to first token, whole process: 1.75 s; "
        "peak memory 100 MB against 92 MB of artifact + KV + 80 MB"
    ]


def test_footing_says_where_the_context_cut_the_decoding() -> None:
    cut = replace(WORKLOAD, new_tokens=20)
    (line,) = footing(make_report([measured("honed", 4, workload=cut)]), cut)
    assert line.endswith("; decode of 11 new tokens, as the context has no room for more of all together")


def test_page_holds_tables_picture_and_the_machine_by_its_flags(report: Report) -> None:
    text = page(report, "Speed", "speed.svg")
    assert text.startswith("# Speed\n\nMachine: x86_64, avx2 fma, 2 CPUs. Most that its probes reached")
    assert "](speed.svg)" in text
    assert "| honed | m | int8 | 12 MB |" in text
    assert "is \\| not here" in text
    assert "- m (int8) against llama: decode 2.00" in text
    assert "](" not in page(report, "Speed")


def test_page_of_nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "machine", dict)
    assert "Nothing was measured." in page(make_report([Skipped("other", "m", "x")]), "Speed")


def test_markdown_escapes_and_aligns() -> None:
    text = markdown(("name", "speed"), [["a|b", "12"], ["c", "3"]])
    assert text == "| name | speed |\n| --- | ---: |\n| a\\|b | 12 |\n| c | 3 |\n"


def test_missing_values_are_dashes() -> None:
    assert (megabytes(None), percent(None)) == ("-", "-")
    assert (megabytes(1_499_999), percent(0.666)) == ("1 MB", "67%")
