"""GGUF files run in their own blocks: exactly the weights of the gguf package, whatever types stand side by side."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from honed.backends import packing
from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.backends.matrices import IntegerMatrix, QuantizedRows, read_matrix
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import FORMATS
from honed.encodings.gguf_runs import BLOCK_FORMATS
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.native import extension
from honed.plan.build import build_plan
from honed.plan.formats import format_of
from honed.plan.lowered import MatrixWeight, Placement
from honed.plan.lowered_ops import EmbedOp, MatmulOp, SelectOp
from honed.plan.source import PlanSource
from tiny_models import MemoryCheckpoint, golden, whole

BY_NAME = {entry.name: entry for entry in FORMATS.values()}
ALL_TYPES = [name for name, entry in BY_NAME.items() if entry.codes is not None]
TABLE_TYPES = [name for name in ALL_TYPES if not name.startswith(("TQ", "IQ1", "IQ2", "IQ3", "MXFP4"))]
WIDE = 256
"""A width that every block format divides."""


def random_blocks(name: str, shape: tuple[int, int], seed: int) -> GgufBlocks:
    """Random codes, with scales that give values of about the size of a trained weight."""
    entry = BY_NAME[name]
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, shape[0] * shape[1] // entry.values * entry.nbytes, dtype=np.uint8)
    records = data.view(entry.layout)
    for field in entry.scales:
        size = 2.0**-14 if name.endswith(("_K", "_XS", "XXS", "_S")) else 2.0**-9
        records[field] = (rng.uniform(0.5, 1.5, len(records)) * rng.choice([-size, size], len(records))).astype("<f2")
    if name == "MXFP4":
        records["exponent"] = rng.integers(118, 122, len(records))
    if name == "IQ1_M":  # whose scale is in four places
        bits = (rng.uniform(0.5, 1.5, len(records)) * 2.0**-10).astype("<f2").view(np.uint16)
        for place in range(4):
            records["scales"][:, place] &= 0x0FFF
            records["scales"][:, place] |= (bits >> (4 * place) & 15) << 12
    return GgufBlocks(entry, data, shape)


def dequantized(weight: GgufBlocks) -> NDArray[np.float32]:
    return np.asarray(gguf.quants.dequantize(weight.stored, gguf.GGMLQuantizationType[weight.type_name]), np.float32)


def model(types: dict[str, str]) -> MemoryCheckpoint:
    """A Llama of one layer, 256 wide; `types` maps a part of a weight's name to its block format, others are Q8_0."""
    config = dict(golden("smollm2").checkpoint.config)
    config |= {"hidden_size": WIDE, "intermediate_size": WIDE, "num_hidden_layers": 1, "vocab_size": 80}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}
    decoder = read_model(config)
    rng = np.random.default_rng(8)
    weights: dict[str, Encoded] = {}
    for seed, (name, shape) in enumerate((name, weight.shape) for name, weight in decoder.weights().items()):
        if len(shape) == 1:
            weights[name] = Dense(rng.uniform(0.5, 1.5, shape).astype(np.float32), "float32")
            continue
        kind = next((kind for part, kind in types.items() if part in name), "Q8_0")
        weights[name] = random_blocks(kind, (shape[0], shape[1]), seed)
    return MemoryCheckpoint(config, weights)


MIXES: dict[str, dict[str, str]] = {
    "all one type": {"": "Q4_0"},
    "q unlike k unlike v": {"q_proj": "Q4_1", "k_proj": "Q5_0", "v_proj": "Q8_0"},
    "gate unlike up": {"gate_proj": "Q4_0", "up_proj": "Q4_1"},
    "one that runs decoded": {"v_proj": "F16", "down_proj": "F16"},
    "a table that is looked up decoded": {"embed": "IQ3_S"},
    **{f"everything in {name}": {"": name} for name in ALL_TYPES},
}


@pytest.mark.parametrize("isa", extension.isas())
@pytest.mark.parametrize("mix", MIXES)
def test_native_equals_the_interpreter_to_the_bit(mix: str, isa: str) -> None:
    checkpoint = model(MIXES[mix])
    batch = whole(np.random.default_rng(2).integers(0, 80, 9).astype(np.int32))
    oracle = InterpreterBackend.load(checkpoint, InterpreterConfig(kv_tokens=128))
    backend = NativeBackend.load(checkpoint, NativeConfig(kv_tokens=128, isa=isa))
    np.testing.assert_array_equal(backend.forward(batch), oracle.forward(batch))


@pytest.mark.parametrize("name", ALL_TYPES)
def test_packing_in_pieces_changes_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = model({"": name})
    batch = whole(np.random.default_rng(3).integers(0, 80, 9).astype(np.int32))
    config = NativeConfig(kv_tokens=128, threads=1)
    expected = NativeBackend.load(checkpoint, config).forward(batch)
    monkeypatch.setattr(packing, "CHUNK_VALUES", 3 * 16 * WIDE)  # 80 rows of the head: 48 and 32
    np.testing.assert_array_equal(NativeBackend.load(checkpoint, config).forward(batch), expected)


@pytest.mark.parametrize("name", sorted(BLOCK_FORMATS))
def test_a_product_with_exact_activations_is_that_of_the_decoded_weights(name: str) -> None:
    weight = random_blocks(name, (48, 512), seed=4)
    part = Placement("w", 48, first_column=0, tile_step=1)
    graph = recorded(read_model(golden("llama2").checkpoint.config))
    source = PlanSource(MemoryCheckpoint({}, {"w": weight}), graph)
    matrix = read_matrix(MatrixWeight(format_of(weight, "auto"), 64, 512, (part,)), source)
    assert isinstance(matrix, IntegerMatrix)
    rng = np.random.default_rng(5)
    codes = rng.integers(-127, 128, (3, 512)).astype(np.int8)
    scales = rng.choice([0.25, 0.5, 1.0], (3, 16)).astype(np.float32)
    x = codes * np.repeat(scales, 32, axis=1).astype(np.float64)
    exact = x @ dequantized(weight).T.astype(np.float64)
    magnitude = np.abs(x) @ np.abs(dequantized(weight)).T.astype(np.float64)
    product = matrix.product(QuantizedRows(codes, scales))[:, :48]
    assert (np.abs(product - exact) <= 2.0**-20 * magnitude).all()


def test_parts_of_one_type_are_one_matrix_and_others_are_not() -> None:
    def matmuls(types: dict[str, str]) -> int:
        checkpoint = model(types)
        plan = build_plan(read_model(checkpoint.config), checkpoint, "auto").plan
        return sum(isinstance(op, MatmulOp) for op in plan.ops)

    assert matmuls({"": "Q4_1"}) == 5  # qkv, o, gate and up, down, head
    assert matmuls({"v_proj": "Q4_1"}) == matmuls({"": "Q8_0"}) + 2
    assert matmuls({"up_proj": "Q4_1"}) == matmuls({"": "Q8_0"}) + 1


@pytest.mark.parametrize("name", TABLE_TYPES)
def test_rows_of_a_table_are_those_of_the_gguf_package_to_the_bit(name: str) -> None:
    checkpoint = model({"": name})
    table = checkpoint.weight("model.embed_tokens.weight")
    assert isinstance(table, GgufBlocks)
    weight = extension.block_table(table.stored, name, WIDE)
    assert weight.nbytes == table.nbytes
    lowered = EmbedOp(output=0, table=0, width=WIDE), SelectOp(input=0, output=1, width=WIDE)
    ops = [(op.name, op.fields()) for op in lowered]
    slots = [extension.Slot("f32", "tokens", WIDE, 0, 0), extension.Slot("f32", "selected", WIDE, 0, 1)]
    plan = extension.Plan(ops, slots, [weight], [extension.Input.ids("tokens", 80)], [("rows", 1)], [])
    executor = extension.Executor(plan, None, 80, 80, 1, None)
    tokens = np.arange(80, dtype=np.int32)
    zeros = np.zeros(80, np.int32)
    rows = executor.run({"tokens": tokens}, tokens, zeros, None, tokens)["rows"]
    np.testing.assert_array_equal(rows.view(np.uint32), dequantized(table).view(np.uint32))


def test_float32_and_bfloat16_decode_everything() -> None:
    checkpoint = model({})
    for policy in ("float32", "bfloat16"):
        plan = build_plan(read_model(checkpoint.config), checkpoint, policy).plan
        formats = {weight.format for weight in plan.weights if isinstance(weight, MatrixWeight)}
        assert {str(form) for form in formats} == {policy}
        assert isinstance(plan.ops[0], EmbedOp)
        table = NativeBackend.load(checkpoint, NativeConfig(dtype=policy, kv_tokens=128)).weight_bytes
        assert table > checkpoint.weight("model.embed_tokens.weight").nbytes


def test_a_block_table_of_other_sizes_is_refused() -> None:
    data = np.zeros((4, 34), np.uint8)
    with pytest.raises(ValueError, match="multiple of 32"):
        extension.block_table(data, "Q8_0", 48)
    with pytest.raises(ValueError, match="data"):
        extension.block_table(data, "Q8_0", 64)
    with pytest.raises(ValueError, match="Q4_0, Q4_1"):
        extension.block_table(data, "Q1_K", 32)
