"""Which type a cache takes, and how long contexts in each of them run on the native backend: to the bit as in numpy,
whatever the threads, the chunks and the instruction set.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.backends.base import PAGE_TOKENS, Batch
from honed.backends.interpreter import InterpreterBackend, InterpreterConfig
from honed.backends.kv_cache import kv_bytes_per_position, kv_dtype
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.backends.native_plan import cache_shapes
from honed.checkpoints.base import Checkpoint
from honed.encodings.dense import Dense
from honed.encodings.int8_encoder import encode_int8
from honed.models.registry import read_model
from honed.native import extension
from honed.plan.build import build_plan
from honed.plan.formats import KvDtype, KvPolicy
from tiny_models import MemoryCheckpoint, golden

KV: tuple[KvDtype, ...] = ("float32", "bfloat16", "int8")
LONG = 600
"""Tokens: two whole spans of 256 keys and a part."""
SHORT = 18


def native(
    checkpoint: Checkpoint, kv: KvPolicy, *, isa: str | None = None, threads: int = 1, step_tokens: int = LONG
) -> NativeBackend:
    return NativeBackend.load(
        checkpoint, NativeConfig(kv_dtype=kv, isa=isa, threads=threads, kv_tokens=2 * LONG, step_tokens=step_tokens)
    )


def text(vocabulary: int, count: int = LONG) -> NDArray[np.int32]:
    return np.random.default_rng(5).integers(0, vocabulary, count).astype(np.int32)


def batch(tokens: NDArray[np.int32], first: int = 0) -> Batch:
    """The next tokens of a sequence whose pages lie backwards; the last row is selected."""
    count = len(tokens)
    return Batch(
        tokens=tokens,
        positions=np.arange(first, first + count, dtype=np.int32),
        sequences=np.zeros(count, dtype=np.int32),
        page_tables=np.arange(2 * LONG // PAGE_TOKENS - 1, -1, -1, dtype=np.int32).reshape(1, -1),
        selected=np.array([count - 1], dtype=np.int32),
    )


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("family", ["smollm2", "mistral"])
def test_long_contexts_equal_the_interpreter_to_the_bit(family: str, kv: KvDtype) -> None:
    checkpoint = golden(family).checkpoint
    oracle = InterpreterBackend.load(checkpoint, InterpreterConfig(kv_dtype=kv, kv_tokens=2 * LONG))
    tokens = text(oracle.vocabulary, 300)
    expected = oracle.forward(batch(tokens))
    for isa in extension.isas():
        np.testing.assert_array_equal(native(checkpoint, kv, isa=isa).forward(batch(tokens)), expected)


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("family", ["qwen3", "mistral"])
def test_threads_and_chunks_change_no_bit_of_a_long_context(family: str, kv: KvDtype) -> None:
    checkpoint = golden(family).checkpoint
    whole = native(checkpoint, kv)
    tokens = text(whole.vocabulary)
    expected = whole.forward(batch(tokens))
    for isa in extension.isas():
        for threads in (1, 2, 5):
            for size in (200, LONG - 1):
                backend = native(checkpoint, kv, isa=isa, threads=threads)
                for start in range(0, LONG, size):
                    logits = backend.forward(batch(tokens[start : start + size], start))
                np.testing.assert_array_equal(logits, expected)


def test_a_long_sequence_beside_short_ones_is_the_same() -> None:
    """Its spans go to several threads there, those of the others do not."""
    checkpoint = golden("smollm2").checkpoint
    alone = native(checkpoint, "bfloat16")
    tokens = text(alone.vocabulary)
    expected = alone.forward(batch(tokens))
    backend = native(checkpoint, "bfloat16", threads=3)
    backend.forward(batch(tokens[:-1]))
    tables = np.zeros((1 + SHORT, 2 * LONG // PAGE_TOKENS), dtype=np.int32)
    tables[0] = batch(tokens).page_tables
    tables[1:, 0] = range(SHORT)  # the long sequence has not come down to these
    logits = backend.forward(
        Batch(
            tokens=np.concatenate([tokens[-1:], tokens[:SHORT]]),
            positions=np.array([LONG - 1] + [0] * SHORT, dtype=np.int32),
            sequences=np.arange(1 + SHORT, dtype=np.int32),
            page_tables=tables,
            selected=np.zeros(1, dtype=np.int32),
        )
    )
    np.testing.assert_array_equal(logits, expected)


@pytest.mark.parametrize(("kv", "tolerance"), [("bfloat16", 0.02), ("int8", 0.05)])
def test_a_smaller_cache_is_near_the_exact_one_and_not_equal_to_it(kv: KvDtype, tolerance: float) -> None:
    checkpoint = golden("llama3").checkpoint
    exact = native(checkpoint, "float32")
    tokens = text(exact.vocabulary)
    expected = exact.forward(batch(tokens))
    difference = np.abs(native(checkpoint, kv).forward(batch(tokens)) - expected).max()
    assert 0 < difference < tolerance * np.ptp(expected)


def test_auto_is_float32_for_float32_models_only() -> None:
    source = golden("qwen2").checkpoint
    half = MemoryCheckpoint.encoding(source, lambda _, w: Dense(w.decode().astype(np.float16), "float16"))
    quantized = MemoryCheckpoint.encoding(source, lambda name, w: encode_int8(w, name=name))
    assert native(source, "auto").kv_dtype == "float32"
    assert native(half, "auto").kv_dtype == "bfloat16"
    assert native(quantized, "auto").kv_dtype == "bfloat16"
    assert native(quantized, "int8").kv_dtype == "int8"
    assert NativeBackend.load(half, NativeConfig(dtype="float32", kv_tokens=32)).kv_dtype == "float32"
    assert NativeBackend.load(source, NativeConfig(dtype="bfloat16", kv_tokens=32)).kv_dtype == "bfloat16"


@pytest.mark.parametrize("kv", KV)
def test_bytes_are_those_of_the_executor(kv: KvDtype) -> None:
    checkpoint = golden("smollm2").checkpoint
    plan = build_plan(read_model(checkpoint.config, checkpoint.path), checkpoint, "auto").plan
    assert kv_dtype(plan, kv) == kv
    cache = extension.Cache(cache_shapes(plan), [1], kv)
    assert cache.dtype == kv
    exact = kv_bytes_per_position(plan, kv) * PAGE_TOKENS
    assert exact <= cache.page_bytes[0] < exact + sum(2 * shape.kv_heads * 64 for shape in plan.caches)
