"""The interpreter against transformers in float32, and against decoded weights where it runs quantized."""

from __future__ import annotations

import numpy as np
import pytest

from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.int4 import Offset
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8_encoder import encode_int8
from honed.plan.lowered import TableWeight
from tiny_models import FAMILIES, TOKENS, MemoryCheckpoint, golden, whole

CONFIG = InterpreterConfig(kv_tokens=128)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_transformers_whole_and_by_steps(family: str) -> None:
    made = golden(family)
    backend = InterpreterBackend.load(made.checkpoint, CONFIG)
    logits = backend.forward(whole(made.tokens))
    assert made.agrees(logits)
    steps = [backend.forward(whole(made.tokens[t : t + 1], first=t)) for t in range(TOKENS)]
    np.testing.assert_array_equal(np.concatenate(steps), logits)


def test_without_fusions_not_a_bit_changes() -> None:
    made = golden("qwen3")
    fused = InterpreterBackend.load(made.checkpoint, CONFIG)
    plain = InterpreterBackend.load(made.checkpoint, InterpreterConfig(kv_tokens=128, fusions=()))
    assert len(plain.plan.ops) > len(fused.plan.ops)
    np.testing.assert_array_equal(plain.forward(whole(made.tokens)), fused.forward(whole(made.tokens)))


@pytest.mark.parametrize("offset", ["symmetric", "minimum"])
def test_a_tied_table_is_looked_up_in_the_head(offset: Offset) -> None:
    tied = MemoryCheckpoint.tying(
        golden("smollm2").checkpoint, lambda name, weight: encode_int4(weight, name=name, group=32, offset=offset)
    )
    batch, backend = whole(golden("smollm2").tokens), InterpreterBackend.load(tied, CONFIG)
    assert not any(isinstance(weight, TableWeight) for weight in backend.plan.weights)
    expected = InterpreterBackend.load(tied.untying(), CONFIG).forward(batch)
    np.testing.assert_array_equal(backend.forward(batch), expected)


def encode_both(name: str, weight: Encoded) -> Encoded:
    if "mlp" in name:
        return encode_int4(weight, name=name, group=32, search=False)
    return encode_int8(weight, name=name)


def test_quantized_logits_are_near_those_of_the_decoded_weights() -> None:
    source = golden("qwen2").checkpoint
    quantized = MemoryCheckpoint.encoding(source, encode_both)
    decoded = MemoryCheckpoint.encoding(source, lambda name, w: Dense(encode_both(name, w).decode(), "float32"))
    batch = whole(golden("qwen2").tokens)
    logits = InterpreterBackend.load(quantized, CONFIG).forward(batch)
    expected = InterpreterBackend.load(decoded, CONFIG).forward(batch)
    # What is left is the rounding of activations to 8 bits: far less than that of the weights to 4.
    activations = np.abs(logits - expected).mean()
    weights = np.abs(expected - golden("qwen2").logits).mean()
    assert 0 < activations < 0.5 * weights
