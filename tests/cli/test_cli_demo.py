"""The demo's table: what compression paid, at a glance and within 120 columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench_results import WORKLOAD, measured
from honed.api.demo import DemoRow
from honed.api.evaluate import Evaluation
from honed.bench.ratio import paired_ratio
from honed.bench.report import make_row
from honed.cli.demo import HEADER, cells, heading
from honed.cli.output import print_table
from honed.evaluate.bootstrap import Resampling
from honed.evaluate.certificate import Settings, Subject, certify
from honed.evaluate.metrics.tokens import TokenScores


def row(label: str, speed: float, size: float, dtype: str) -> DemoRow:
    ours, original = (
        make_row([measured("honed", tokens, prefill=tokens)], measured("honed", 1.0).probes) for tokens in (speed, 20.0)
    )
    loss = np.full((2, 8), 2.7)
    values = TokenScores(loss, loss, np.full((2, 8), 0.0123), np.ones((2, 8), dtype=np.bool_))
    settings = Settings("text", "ab" * 32, 2, 8, Resampling(resamples=9), "avx512vnni", "0.0")
    candidate, reference = Subject(label, "auto", "auto", "1"), Subject("m", "float32", "float32", "2")
    certificate = certify(candidate, reference, values, settings)
    return DemoRow(
        label,
        replace(ours, dtype=dtype, file_bytes=int(1e9 * size), isa="avx512vnni"),
        Evaluation(certificate, cached=False),
        size=size,
        prefill=paired_ratio(ours.prefill.values, original.prefill.values),
        decode=paired_ratio(ours.decode.values, original.decode.values),
    )


def test_sizes_and_speeds_stand_beside_their_ratios_to_the_original(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("original", 20.0, 1.0, "int4 group 128"), row("int8", 30.0, 1.46, "int8 group 32")]
    title = f"some-model: {heading(replace(WORKLOAD, prompt_tokens=2048, new_tokens=128), rows[0])}"
    print_table(title, HEADER, [cells(each) for each in rows])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "some-model: 2048 prompt and 128 new tokens, 2 threads (avx512vnni), median of 3; quality on 16 tokens"
    )
    assert lines[2].split()[:11] == [
        "original", "(int4", "group", "128)", "1000", "MB", "1.00x", "2000", "1.00x", "200%", "200",
    ]  # fmt: skip
    assert "1460 MB 1.46x" in lines[3]
    assert "3000 1.50x" in lines[3]
    assert "300 1.50x" in lines[3]
    assert all(len(line) <= 120 for line in lines)
