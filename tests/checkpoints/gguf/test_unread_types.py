"""Sizes of tensor types against those of the gguf package."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from gguf_builder import RawFile, pair, tensor
from honed.checkpoints.gguf.header import parse_header
from honed.checkpoints.gguf.unread_types import any_format, is_read
from honed.encodings.gguf_formats import FORMATS
from honed.errors import UnsupportedError

# That package counts the sums of Q8_1 in four bytes, as they were once; ggml has them in two.
SIZES = {**gguf.GGML_QUANT_SIZES, gguf.GGMLQuantizationType.Q8_1: (32, 36)}


@pytest.mark.parametrize("kind", list(gguf.GGMLQuantizationType), ids=lambda kind: str(kind.name))
def test_every_type_has_its_size(kind: gguf.GGMLQuantizationType) -> None:
    found = any_format(int(kind))
    assert (found.name, found.values, found.nbytes) == (kind.name, *SIZES[kind])
    assert is_read(found) == (int(kind) in FORMATS)


def test_what_is_not_read_cannot_be_decoded() -> None:
    found = any_format(9)
    with pytest.raises(TypeError, match="not read"):
        found.decode(np.zeros(1, found.layout))


def test_a_header_is_read_whole_with_them() -> None:
    file = RawFile([pair("general.architecture", 8, "llama")], [tensor("a", [32], 9, 0)], bytes(36)).bytes()
    header = parse_header(memoryview(file), Path("m.gguf"), any_format)
    assert header.tensors["a"].nbytes == 36
    with pytest.raises(UnsupportedError, match="type Q8_1 is not supported"):
        parse_header(memoryview(file), Path("m.gguf"))
