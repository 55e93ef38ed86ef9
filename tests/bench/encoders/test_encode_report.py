from __future__ import annotations

import pytest

from honed.bench.encoders.contender import EncodeContender, EncodeSkipped
from honed.bench.encoders.measure import EncodeSample
from honed.bench.encoders.report import HEADER, EncodeRow, cosine, encode_cells, make_encode_report
from honed.bench.encoders.session import EncodeMeasured
from honed.bench.encoders.workload import EncodeWorkload

WORKLOAD = EncodeWorkload(texts=2, tokens=4, runs=2)


def measured(system: str, pass_s: float, vectors: list[list[float]]) -> EncodeMeasured:
    contender = EncodeContender(system, "tiny", "m:f", {}, ((1, 2), (3, 4)), 4_000_000, WORKLOAD)
    samples = tuple(
        EncodeSample(0.5, 1.0, (pass_s, 9.0, pass_s * factor), 10_000_000, None, "float32", vectors)
        for factor in (1.0, 0.5)
    )
    return EncodeMeasured(contender, samples)


def test_rows_ratios_and_cosines() -> None:
    report = make_encode_report(
        [
            measured("honed", 0.1, [[1.0, 0.0], [0.0, 2.0]]),
            measured("pytorch-float32", 0.4, [[3.0, 4.0], [0.0, 1.0]]),
            EncodeSkipped("onnxruntime-int8", "tiny", "no room", WORKLOAD),
        ],
        "pytorch-float32",
    )
    own, torch = report.measured()
    assert own.texts_s == (20.0, 20.0)
    assert own.cosine == pytest.approx(0.6)
    assert torch.cosine == pytest.approx(1.0)
    assert report.against(own)["pytorch-float32"].median == 4.0
    assert report.own_failures() == []
    cells = encode_cells(report.rows)
    assert all(len(line) == len(HEADER) for line in cells)
    assert cells[0][6:8] == ["20.0 (20.0 to 20.0)", "0.600000"]
    assert cells[2][2] == "skipped: no room"
    rows = report.to_json()["rows"]
    assert rows[0]["speed_against"]["pytorch-float32"]["median"] == 4.0
    assert rows[2] == {"system": "onnxruntime-int8", "model": "tiny", "skipped": "no room"}


def test_without_a_reference_there_is_no_cosine() -> None:
    (row,) = make_encode_report([measured("honed", 0.1, [[1.0], [1.0]])], "pytorch-float32").rows
    assert isinstance(row, EncodeRow)
    assert row.cosine is None
    assert encode_cells([row])[0][7] == "-"


def test_cosine() -> None:
    assert cosine([1, 0], [0, 1]) == 0
    assert cosine([2, 2], [1, 1]) == pytest.approx(1)


def test_groups_and_sentences() -> None:
    report = make_encode_report(
        [measured("honed", 0.1, [[1.0], [1.0]]), measured("pytorch-float32", 0.4, [[1.0], [1.0]])], "pytorch-float32"
    )
    ((workload, rows),) = report.groups()
    assert (workload, len(rows)) == (WORKLOAD, 2)
    (line,) = report.comparisons(WORKLOAD)
    assert line.startswith("tiny (float32) against pytorch-float32: 4.00 times as fast")
