"""Headers of GGUF files, read back by the gguf package and by honed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from honed.checkpoints.gguf.file_header import ALIGNMENT, WrittenTensor, header_bytes, padded
from honed.checkpoints.gguf.header import parse_header
from honed.encodings.gguf_rounding import BY_NAME

KEYS: dict[str, Any] = {
    "general.architecture": "llama",
    "a.whole": 7,
    "a.large": 1 << 40,
    "a.below": -3,
    "a.number": 0.5,
    "a.yes": True,
    "a.text": "Größe",
    "a.texts": ["one", "", "Ġthree"],
    "a.integers": np.array([3, -1], np.int32),
    "a.numbers": np.array([0.25, -2.0], np.float32),
    "a.flags": np.array([True, False]),
}


def test_keys_and_tensors_come_back(tmp_path: Path) -> None:
    tensors = [WrittenTensor("x.weight", (3, 4), BY_NAME["F32"]), WrittenTensor("y.weight", (2, 64), BY_NAME["Q8_0"])]
    values = np.arange(12, dtype="<f4").reshape(3, 4)
    blocks = bytes(range(136))
    header = header_bytes(KEYS, tensors)
    assert len(header) % ALIGNMENT == 0
    data = header + values.tobytes().ljust(padded(48), b"\0") + blocks.ljust(padded(136), b"\0")
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    reader = gguf.GGUFReader(path)
    for key, value in KEYS.items():
        found = reader.fields[key].contents()
        assert found == (value.tolist() if isinstance(value, np.ndarray) else value), key
    np.testing.assert_array_equal(reader.tensors[0].data, values)
    assert reader.tensors[1].data.tobytes() == blocks
    own = parse_header(memoryview(data), path)
    assert {name: (entry.shape, entry.format.name) for name, entry in own.tensors.items()} == {
        "x.weight": ((3, 4), "F32"),
        "y.weight": ((2, 64), "Q8_0"),
    }


@pytest.mark.parametrize(("nbytes", "expected"), [(0, 0), (1, 32), (32, 32), (33, 64)])
def test_tensors_begin_where_they_may(nbytes: int, expected: int) -> None:
    assert padded(nbytes) == expected
