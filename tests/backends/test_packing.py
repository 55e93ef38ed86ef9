"""What the packer hands to the builders, seen through the native weights it gets back."""

from __future__ import annotations

import numpy as np
import pytest

from honed.backends import packing
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.backends.packing import Packer
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.int8 import Int8, Int8Scheme
from honed.errors import PlanError, UnsupportedError
from honed.models.registry import read_model
from honed.plan.build import build_plan
from honed.plan.formats import DenseFormat
from honed.plan.lowered import ConstantWeight, MatrixWeight, Placement, TableWeight
from tiny_models import MemoryCheckpoint, golden, whole


class Foreign:
    """An encoding that the packer does not know: it can only be decoded."""

    kind = "foreign"

    def __init__(self, inner: Encoded) -> None:
        self._inner = inner

    @property
    def shape(self) -> tuple[int, ...]:
        return self._inner.shape

    @property
    def nbytes(self) -> int:
        return self._inner.nbytes

    def decode(self, rows: slice = slice(None)) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return self._inner.decode(rows)


def checkpoints() -> tuple[MemoryCheckpoint, MemoryCheckpoint]:
    """The same bfloat16 weights as such, and in a foreign encoding, table included."""
    source = golden("smollm2").checkpoint
    plain: dict[str, Encoded] = {}
    foreign: dict[str, Encoded] = {}
    for name in source.names:
        weight = source.weight(name)
        if len(weight.shape) == 2:
            bits = (np.ascontiguousarray(weight.decode()).view(np.uint32) >> 16).astype(np.uint16)
            weight = Dense(bits, "bfloat16")
        plain[name] = weight
        foreign[name] = Foreign(weight) if len(weight.shape) == 2 else weight
    return MemoryCheckpoint(source.config, plain), MemoryCheckpoint(source.config, foreign)


@pytest.mark.parametrize("chunk", [1, 1000, 1 << 20])
def test_a_foreign_encoding_is_decoded_in_chunks_to_the_same_bits(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK_VALUES", chunk)
    plain, foreign = checkpoints()
    config = NativeConfig(kv_tokens=128, threads=1)
    batch = whole(golden("smollm2").tokens[:20])
    expected = NativeBackend.load(plain, config).forward(batch)
    np.testing.assert_array_equal(NativeBackend.load(foreign, config).forward(batch), expected)


class Counting(MemoryCheckpoint):
    """Notes how often it is asked to give its memory back."""

    given_back = 0

    def give_back(self) -> None:
        self.given_back += 1


def test_files_are_given_back_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    source = checkpoints()[0]
    counting = Counting(source.config, {name: source.weight(name) for name in source.names})
    spec = MatrixWeight(
        DenseFormat("bfloat16"),
        128,
        54,
        (Placement("model.layers.0.mlp.up_proj.weight", 110, first_column=0, tile_step=1),),
    )
    whole_weight = packer(counting).pack(spec)
    assert counting.given_back == 1
    monkeypatch.setattr(packing, "CHUNK_VALUES", 54 * 16)
    in_pieces = packer(counting).pack(spec)
    assert counting.given_back == 1 + 7  # 110 rows, 16 at a time
    np.testing.assert_array_equal(whole_weight.data, in_pieces.data)
    packer(counting).pack(TableWeight("model.embed_tokens.weight", 97, 54))
    assert counting.given_back == 1 + 7 + 1


def packer(checkpoint: MemoryCheckpoint) -> Packer:
    stages = build_plan(read_model(checkpoint.config), checkpoint, "auto")
    return Packer(checkpoint, stages.source, "auto")


def test_kinds_and_sizes() -> None:
    plain, foreign = checkpoints()
    table = TableWeight("model.embed_tokens.weight", 97, 54)
    assert packer(plain).pack(table).kind == "table"
    assert packer(foreign).pack(table).nbytes == 97 * 54 * 2
    assert packer(plain).pack(ConstantWeight((1.0, 0.5))).kind == "vector"
    part = Placement("model.layers.0.mlp.up_proj.weight", 110, first_column=0, tile_step=1)
    weight = packer(plain).pack(MatrixWeight(DenseFormat("bfloat16"), 128, 54, (part,)))
    assert (weight.kind, weight.rows, weight.columns) == ("dense_bf16", 128, 54)


def test_a_code_that_no_kernel_takes_is_refused_with_its_weight() -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    codes = np.zeros((110, 54), np.int8)
    codes[7, 3] = -128
    plain, _ = checkpoints()
    weights: dict[str, Encoded] = {other: plain.weight(other) for other in plain.names}
    weights[name] = Int8(codes, np.ones(110, np.float32))
    with pytest.raises(UnsupportedError, match=r"layers\.0\.mlp\.up_proj\.weight: cannot be run: .*-128"):
        NativeBackend.load(MemoryCheckpoint(plain.config, weights), NativeConfig(kv_tokens=64))


def test_a_weight_that_is_not_what_was_planned_is_refused() -> None:
    part = Placement("model.layers.0.mlp.up_proj.weight", 110, first_column=0, tile_step=1)
    with pytest.raises(PlanError, match=r"up_proj\.weight: is dense"):
        packer(checkpoints()[0]).pack(MatrixWeight(Int8Scheme(None, None), 128, 54, (part,)))
