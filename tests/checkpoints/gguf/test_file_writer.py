"""Files written tensor by tensor: whole from the header on, and read back by the gguf package."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from honed.checkpoints.gguf.file_header import WrittenTensor
from honed.checkpoints.gguf.file_writer import FileLayout
from honed.checkpoints.gguf.header import parse_header
from honed.checkpoints.gguf.tensor_plan import PlannedTensor
from honed.encodings.dense import Dense
from honed.encodings.gguf_rounding import BY_NAME, round_rows
from honed.models.stored import Stored
from honed.ops.values import Weight

VALUES = np.random.default_rng(1).standard_normal((3, 64), np.float32)
VECTOR = np.linspace(1, 2, 5, dtype=np.float32)


def planned(name: str, kind: str) -> PlannedTensor:
    form = Stored(Weight(name, VALUES.shape))
    return PlannedTensor(WrittenTensor(name, VALUES.shape, BY_NAME[kind]), ((name, form),), None, kept=False)


def test_a_file_can_be_opened_before_it_has_weights_and_is_whole_behind_them(tmp_path: Path) -> None:
    keys = {"general.architecture": "llama"}
    layout = FileLayout(keys, [planned("a.weight", "Q8_0"), planned("b.weight", "BF16")], {"rope_freqs.weight": VECTOR})
    told: list[str] = []
    path = tmp_path / "m.gguf"
    with path.open("w+b") as file:
        layout.write_header(file)
        assert path.stat().st_size == layout.nbytes
        assert list(parse_header(memoryview(path.read_bytes()), path).tensors) == [
            "rope_freqs.weight",
            "a.weight",
            "b.weight",
        ]
        layout.write_tensors(
            file, lambda name: Dense(VALUES, "float32"), lambda one, error: told.append(one.written.name)
        )
    assert path.stat().st_size == layout.nbytes
    assert told == ["a.weight", "b.weight"]
    vector, first, second = gguf.GGUFReader(path).tensors
    np.testing.assert_array_equal(vector.data, VECTOR)
    np.testing.assert_array_equal(first.data, round_rows("Q8_0", VALUES))
    np.testing.assert_array_equal(second.data, gguf.quants.quantize(VALUES, gguf.GGMLQuantizationType.BF16))
