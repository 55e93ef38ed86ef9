"""A layer is timed by itself, from copies that exceed a cache; what it takes is some time and grows with the work."""

from __future__ import annotations

import pytest

from honed.backends import native_timing
from honed.backends.native_piece import Piece, RowBatch
from honed.backends.native_timing import time_linear
from honed.encodings.codebook import TABLES
from honed.encodings.dense import DenseFormat
from honed.encodings.descriptor import Format
from honed.encodings.gguf_runs import BlocksFormat
from honed.encodings.scheme import CodebookScheme, Int4Scheme, Int8Scheme
from honed.errors import UnsupportedError

SMALL = (96, 64)
FORMS: list[Format] = [
    DenseFormat("bfloat16"),
    DenseFormat("float32"),
    Int8Scheme(32, 32),
    Int8Scheme(None, None),
    Int4Scheme(32, "zero_point", 32),
    Int4Scheme(64, "minimum", 64),
    CodebookScheme(32, TABLES["normal_float"], 32),
]


@pytest.fixture
def few_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_timing, "STREAMED_BYTES", 1 << 16)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("rows", [1, 100])
def test_every_form_has_a_time(form: Format, rows: int, few_copies: None) -> None:
    assert 0 < time_linear(SMALL, form, rows, threads=1) < 1


def test_a_call_that_was_interrupted_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until two are about as quick as each other."""
    taken = iter([9.0, 8.0, 7.0, 9.0, 9.0, 9.0, 9.0, 9.0, 2.0, 9.0, 2.05, 1.0])
    monkeypatch.setattr(Piece, "profile", lambda piece, batch: [("quantize", 0.5), ("matmul", next(taken))])
    assert time_linear(SMALL, Int8Scheme(32, 32), 100, threads=1) == 2.5
    assert next(taken) == 1.0


def test_a_machine_that_is_never_quiet_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_timing, "_MOST_SECONDS", 0.0)
    taken = iter(range(100, 0, -9))
    monkeypatch.setattr(Piece, "profile", lambda piece, batch: [("matmul", float(next(taken)))])
    assert time_linear(SMALL, DenseFormat("float32"), 100, threads=1) == 100 - 9 * 6


def test_more_work_takes_longer(few_copies: None) -> None:
    few, many = (time_linear((1024, 512), Int8Scheme(32, 32), rows, threads=1) for rows in (65, 1300))
    assert many > 4 * few


@pytest.mark.parametrize(("rows", "copies"), [(1, 11), (64, 11), (65, 1)])
def test_weights_of_few_rows_come_from_many_copies(
    rows: int, copies: int, monkeypatch: pytest.MonkeyPatch, few_copies: None
) -> None:
    """So many that they exceed what was asked for, each multiplied by itself; all take the mean of theirs."""
    form = Int8Scheme(32, 32)
    asked: list[int] = []
    profile = Piece.profile

    def noted(piece: Piece, batch: RowBatch) -> list[tuple[str, float]]:
        spent = profile(piece, batch)
        asked.append(sum(name == "matmul" for name, _ in spent))
        assert sum(name.startswith("quantize") for name, _ in spent) == 1
        return [(name, 3.0 if name == "matmul" else 1.0) for name, _ in spent]

    monkeypatch.setattr(Piece, "profile", noted)
    assert time_linear(SMALL, form, rows, threads=1) == 4.0
    assert set(asked) == {copies}
    assert copies == 1 or (copies - 1) * form.packed_bytes(*SMALL) < 1 << 16 <= copies * form.packed_bytes(*SMALL)


def test_a_form_that_nothing_is_rounded_into_has_no_time() -> None:
    with pytest.raises(UnsupportedError, match="rounded"):
        time_linear((64, 256), BlocksFormat("Q4_K"), 1, threads=1)
