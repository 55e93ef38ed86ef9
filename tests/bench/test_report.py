from __future__ import annotations

import dataclasses
import json

import pytest

from honed.bench import report as report_module
from honed.bench.contender import Contender, Skipped
from honed.bench.measure import Sample
from honed.bench.peers.base import Footprint
from honed.bench.probes import Probe
from honed.bench.report import HEADER, Report, Spread, make_report, markdown, megabytes, percent, table_cells
from honed.bench.session import Measured
from honed.bench.workload import Workload

WORKLOAD = Workload(prompt_tokens=100, new_tokens=11, threads=2, runs=3)


@pytest.fixture(autouse=True)
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "machine", lambda: {"system": "test"})


def measured(system: str, speed: float) -> Measured:
    """Three runs at `speed`, half of it and a quarter more; decode limit 100 tokens a second, prefill limit 1000."""
    samples = tuple(
        Sample(
            load_s=0.5 * factor,
            start_to_first_token_s=2.0,
            prefill_s=1.0 / (speed * factor),
            decode_s=1.0 / (speed * factor),
            decoded=10,
            peak_rss_bytes=int(1e8 * factor),
            isa="avx2",
            dtype="int8",
            footprint=Footprint(1_000_000, 0, 1_000_000, 0, "int8"),
        )
        for factor in (1.0, 0.5, 1.25)
    )
    contender = Contender(system, "m", "x:y", {}, (1,), 12_000_000)
    return Measured(contender, samples, (Probe(1e8, 1e9, 1e9), Probe(0.5e8, 0.5e9, 1e9), Probe(0.9e8, 1e9, 1e9)))


def make() -> Report:
    return make_report([measured("honed", 4), measured("pytorch", 2), Skipped("other", "m", "is not here")], WORKLOAD)


def test_row_holds_medians_spreads_fractions_and_every_raw_value() -> None:
    row = make().to_json()["rows"][0]
    assert row["system"] == "honed"
    assert row["threads"] == 2
    assert row["prefill_tok_s"] == {"median": 400, "min": 200, "max": 500}
    assert row["decode_tok_s"] == {"median": 40, "min": 20, "max": 50}
    assert row["ttft_s"] == 0.25
    assert row["load_s"] == 0.5
    assert row["peak_rss_bytes"] == 100_000_000
    assert row["file_bytes"] == 12_000_000
    assert row["decode_limit_fraction"] == pytest.approx(0.4)
    assert row["prefill_limit_fraction"] == pytest.approx(0.4)
    assert row["raw"]["load_s"] == [0.5, 0.25, 0.625]
    assert row["raw"]["decoded"] == [10, 10, 10]
    assert set(row["raw"]) == {f.name for f in dataclasses.fields(Sample)} - {"isa", "dtype", "footprint"}


def test_speed_against_others_is_a_ratio_of_medians() -> None:
    rows = make().to_json()["rows"]
    assert rows[0]["speed_against"] == {"pytorch": {"prefill": 2.0, "decode": 2.0}}
    assert rows[1]["speed_against"] == {"honed": {"prefill": 0.5, "decode": 0.5}}


def test_report_is_json_with_probes_workload_and_machine() -> None:
    value = json.loads(json.dumps(make().to_json()))
    assert value["rows"][2] == {"system": "other", "model": "m", "skipped": "is not here"}
    assert len(value["probes"]["read_bytes_s"]) == 6
    assert value["workload"]["prompt_tokens"] == 100
    assert value["machine"] == {"system": "test"}


def test_table_has_a_cell_for_every_heading() -> None:
    rows = table_cells(make())
    assert all(len(row) == len(HEADER) for row in rows)
    assert rows[0][HEADER.index("prefill tok/s")] == "400 (200 to 500)"
    assert rows[0][HEADER.index("decode tok/s")] == "40.0 (20.0 to 50.0)"
    assert "skipped: is not here" in rows[2]


def test_markdown_escapes_and_aligns() -> None:
    text = markdown(("name", "speed"), [["a|b", "12"], ["c", "3"]])
    assert text == "| name | speed |\n| --- | ---: |\n| a\\|b | 12 |\n| c | 3 |\n"


def test_missing_values_are_dashes() -> None:
    assert (megabytes(None), percent(None)) == ("-", "-")
    assert (megabytes(1_499_999), percent(0.666)) == ("1 MB", "67%")


def test_spread_of_an_even_number_of_runs() -> None:
    assert Spread.of([4.0, 1.0, 3.0, 2.0]) == Spread(2.5, 1.0, 4.0)
