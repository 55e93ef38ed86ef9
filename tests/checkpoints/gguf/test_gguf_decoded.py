"""The note of what a decoded table takes."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from honed.checkpoints.gguf.decoded import note_decoded
from honed.checkpoints.gguf.header import TensorEntry
from honed.encodings.gguf_formats import FORMATS
from honed.notes import HonedWarning

BY_NAME = {entry.name: entry for entry in FORMATS.values()}


def table(kind: str) -> TensorEntry:
    return TensorEntry("token_embd.weight", BY_NAME[kind], (32000, 4096), 0)


@pytest.mark.parametrize("kind", ["IQ1_M", "IQ2_XS", "IQ3_S", "TQ2_0", "MXFP4"])
def test_what_it_takes(kind: str) -> None:
    stored = 32000 * 4096 // BY_NAME[kind].values * BY_NAME[kind].nbytes / 1e6
    with pytest.warns(HonedWarning, match=f"m.gguf: token_embd.weight: is {kind}, .* its {stored:.1f} MB become 262.1"):
        note_decoded(Path("m.gguf"), table(kind))


def test_nothing_is_said_of_what_is_looked_up_as_it_lies() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in BY_NAME:
            if not kind.startswith(("IQ1", "IQ2", "IQ3", "TQ", "MXFP4")):
                note_decoded(Path("m.gguf"), table(kind))
