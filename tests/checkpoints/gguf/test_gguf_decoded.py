"""The note of what decoded blocks take: which tensors count, and the sums."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from honed.checkpoints.gguf.decoded import note_decoded
from honed.checkpoints.gguf.header import TensorEntry
from honed.encodings.gguf_formats import FORMATS
from honed.notes import HonedWarning

BY_NAME = {entry.name: entry for entry in FORMATS.values()}


def entry(kind: str, *shape: int) -> TensorEntry:
    return TensorEntry("t", BY_NAME[kind], shape, 0)


def test_sums_of_what_is_decoded() -> None:
    entries = [entry("IQ3_S", 4096, 4096), entry("IQ2_XS", 4096, 4096), entry("Q4_K", 4096, 4096)]
    entries += [entry("IQ4_XS", 4096, 4096), entry("F16", 4096, 4096), entry("IQ3_S", 4096)]
    with pytest.warns(HonedWarning) as found:
        note_decoded(Path("m.gguf"), entries)
    stored = 4096 * 4096 // 256 * (110 + 74) / 1e6
    assert [str(one.message) for one in found] == [
        f"m.gguf: 2 tensors of IQ2_XS and IQ3_S are decoded to bfloat16 to be run, and their {stored:.0f} MB "
        "become 67: the same model in Q2_K or larger runs as it lies"
    ]


def test_nothing_is_said_of_what_runs_as_it_lies() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        note_decoded(
            Path("m.gguf"), [entry(name, 256, 256) for name in BY_NAME if not name.startswith(("IQ1", "IQ2", "IQ3"))]
        )
