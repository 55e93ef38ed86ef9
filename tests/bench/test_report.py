from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest

from bench_results import WORKLOAD, measured
from honed.bench import report as report_module
from honed.bench.contender import Skipped
from honed.bench.measure import Sample
from honed.bench.report import OVERHEAD_BYTES, Report, Row, Spread, make_report
from honed.bench.workload import Workload


@pytest.fixture(autouse=True)
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "machine", lambda: {"system": "test"})


def make() -> Report:
    return make_report([measured("honed", 4), measured("pytorch", 2), Skipped("other", "m", "is not here")])


def test_row_holds_medians_spreads_fractions_and_every_raw_value() -> None:
    row = make().to_json()["rows"][0]
    assert row["system"] == "honed"
    assert (row["threads"], row["batch"], row["prompt_tokens"], row["new_tokens"]) == (2, 1, 100, 11)
    assert row["prefill_tok_s"] == {"median": 400, "min": 200, "max": 500}
    assert row["decode_tok_s"] == {"median": 40, "min": 20, "max": 50}
    assert row["ttft_s"] == 0.25
    assert row["load_s"] == 0.5
    assert row["start_to_first_token_s"] == 2.0
    assert row["second_start_to_first_token_s"] == (1.0 + 2.5) / 2, "without the first run"
    assert row["peak_rss_bytes"] == 100_000_000
    assert row["file_bytes"] == 12_000_000
    assert row["memory_allowance_bytes"] == 12_000_000 + 3 * 111 + OVERHEAD_BYTES
    assert row["decode_limit_fraction"] == pytest.approx(0.4, rel=1e-3)
    assert row["prefill_limit_fraction"] == pytest.approx(0.4)
    assert row["raw"]["load_s"] == [0.5, 0.25, 0.625]
    assert row["raw"]["decoded"] == [10, 10, 10]
    assert set(row["raw"]) == {f.name for f in dataclasses.fields(Sample)} - {"isa", "dtype", "footprint"}


def test_speed_against_others_is_taken_run_by_run() -> None:
    peer = measured("pytorch", 2, factors=(1.0, 1.0, 0.5))
    rows = make_report([measured("honed", 4), peer]).to_json()["rows"]
    ours = rows[0]["speed_against"]["pytorch"]["decode"]
    # 4 / 2, 2 / 2 and 5 / 1.
    assert ours == {"median": 2.0, "low": 1.0, "high": 5.0, "confidence": 0.75, "runs": 3}
    assert rows[1]["speed_against"]["honed"]["decode"]["median"] == 0.5


def test_better_variant_counts_for_each_speed() -> None:
    """As flash attention: one variant decodes faster, the other one prefills faster."""
    report = make_report(
        [
            measured("llama", 2, prefill=5, variant="on"),
            measured("llama", 3, prefill=4, variant="off"),
            Skipped("llama", "m", "third one crashed", WORKLOAD),
        ]
    )
    (row,) = report.rows
    assert isinstance(row, Row)
    assert row.decode_tok_s.median == 30
    assert row.prefill_tok_s.median == 500
    assert row.variant == "decode off, prefill on"
    (same,) = make_report([measured("llama", 2, variant="on"), measured("llama", 1, variant="off")]).measured()
    assert same.variant == "on"


def test_system_is_skipped_where_all_variants_failed() -> None:
    skipped = Skipped("llama", "m", "crashed", WORKLOAD)
    assert make_report([skipped, Skipped("llama", "m", "crashed too", WORKLOAD)]).rows == (skipped,)


def test_rows_are_grouped_and_compared_by_workload() -> None:
    batch = Workload(prompt_tokens=100, new_tokens=11, threads=2, runs=3, batch=8)
    report = make_report(
        [
            measured("honed", 4),
            measured("honed", 9, workload=batch),
            measured("pytorch", 2),
            measured("pytorch", 3, workload=batch),
            Skipped("other", "m", "cannot be installed"),
            Skipped("third", "m", "cannot batch", batch),
        ]
    )
    groups = dict(report.groups())
    assert [row.system for row in groups[WORKLOAD]] == ["honed", "pytorch", "other"]
    assert [row.system for row in groups[batch]] == ["honed", "pytorch", "other", "third"]
    own = groups[batch][0]
    assert isinstance(own, Row)
    assert own.prefill_tok_s.median == 9 * 8 * 100
    assert own.memory_allowance_bytes == 12_000_000 + 8 * 3 * 111 + OVERHEAD_BYTES
    (against,) = report.against(own)
    assert against.decode.median == 3.0


def test_rows_beside_busy_cpus_are_compared_with_themselves_alone() -> None:
    busy = replace(WORKLOAD, busy=1)
    report = make_report(
        [
            measured("honed", 4),
            measured("pytorch", 2),
            measured("honed", 3, workload=busy, factors=(1.0, 0.5, 1.0)),
            measured("pytorch", 1, workload=busy),
            measured("third", 1, workload=busy),
        ]
    )
    honed, _, honed_busy, pytorch_busy, third = report.measured()
    assert report.against_alone(honed) is None
    assert report.against_alone(third) is None, "was not measured alone"
    alone = report.against_alone(honed_busy)
    assert alone is not None
    assert (alone.decode.median, alone.decode.low, alone.decode.high) == (0.75, 0.6, 0.75)
    other = report.against_alone(pytorch_busy)
    assert other is not None
    assert other.prefill.median == 0.5
    assert [against.decode.median for against in report.against(honed_busy)] == [3.0, 3.0]
    assert [against.decode.median for against in report.against(honed)] == [2.0]
    rows = json.loads(json.dumps(report.to_json()))["rows"]
    assert [row["busy"] for row in rows] == [0, 0, 1, 1, 1]
    assert [row["speed_against_alone"] is None for row in rows] == [True, True, False, False, True]


def test_own_failures_are_those_of_honed_alone() -> None:
    failed = Skipped("honed", "m", "it broke", WORKLOAD)
    report = make_report([failed, measured("llama", 2), Skipped("other", "m", "not here", WORKLOAD)])
    assert report.own_failures() == [failed]
    assert [row.system for row in report.measured()] == ["llama"]


def test_one_run_has_no_second_start() -> None:
    (row,) = make_report([measured("honed", 4, factors=(1.0,))]).measured()
    assert row.second_start_to_first_token_s is None


def test_report_is_json_with_probes_workloads_and_machine() -> None:
    value = json.loads(json.dumps(make().to_json()))
    assert value["rows"][2] == {"system": "other", "model": "m", "skipped": "is not here"}
    assert len(value["probes"]["read_bytes_s"]) == 6
    assert [workload["prompt_tokens"] for workload in value["workloads"]] == [100]
    assert value["machine"] == {"system": "test"}


def test_spread_of_an_even_number_of_runs() -> None:
    assert Spread.of([4.0, 1.0, 3.0, 2.0]) == Spread(2.5, 1.0, 4.0)
