"""Logits to the bit, as they were when they were frozen: a change of structure must not change a result.

Models are made of integers alone (codes, and scales that are whole multiples of a power of two), so that no library's
random numbers or rounding take part; what is frozen holds on every instruction set. After a change that is meant to
move results:

    HONED_FREEZE=1 python -m pytest tests/backends/test_frozen.py

writes frozen.json anew; its difference belongs into the commit with the reason.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES, Codebook
from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.models.registry import read_model
from honed.native import extension
from honed.plan.formats import KvDtype
from tiny_models import FAMILIES, SIZES, MemoryCheckpoint, tiny_config, whole

FROZEN = Path(__file__).with_name("frozen.json")
SEED, PROMPT, STEPS = 20261129, 37, 4


def _codes(random: np.random.RandomState, low: int, high: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Integers of [low, high]. `random_sample` is frozen by numpy; so are these."""
    return (random.random_sample(shape) * (high - low + 1)).astype(np.int64) + low


def _scales(random: np.random.RandomState, shape: tuple[int, ...], unit: float) -> NDArray[np.float16]:
    return (_codes(random, 16, 31, shape) * unit).astype(np.float16)


def dense(random: np.random.RandomState, shape: tuple[int, ...]) -> Encoded:
    return Dense((_codes(random, -127, 127, shape) / 512.0).astype(np.float32), "float32")


def brain(random: np.random.RandomState, shape: tuple[int, ...]) -> Encoded:
    return Dense(
        ((_codes(random, -127, 127, shape) / 512.0).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16),
        "bfloat16",
    )


def int8_rows(random: np.random.RandomState, shape: tuple[int, ...]) -> Encoded:
    codes = _codes(random, -127, 127, shape).astype(np.int8)
    return Int8(codes, _scales(random, (shape[0],), 2.0**-14).astype(np.float32), None, ActivationScales(None))


def int8_groups(random: np.random.RandomState, shape: tuple[int, ...]) -> Encoded:
    codes = _codes(random, -127, 127, shape).astype(np.int8)
    return Int8(codes, _scales(random, (shape[0], -(-shape[1] // 32)), 2.0**-14), 32, ActivationScales(32))


def _int4(
    offsets: str, group: int, activation: int | None
) -> Callable[[np.random.RandomState, tuple[int, ...]], Encoded]:
    def make(random: np.random.RandomState, shape: tuple[int, ...]) -> Encoded:
        groups = (shape[0], -(-shape[1] // group))
        codes = _codes(random, 0, 15, shape).astype(np.uint8)
        scales = _scales(random, groups, 2.0**-10)
        given: dict[str, Any] = {
            "symmetric": None,
            "zero_point": _codes(random, 5, 10, groups).astype(np.uint8),
            "minimum": (-7.5 * scales.astype(np.float32)).astype(np.float16),
        }
        return Int4(codes, scales, given[offsets], group, ActivationScales(activation))

    return make


def codebook(random: np.random.RandomState, shape: tuple[int, ...]) -> Encoded:
    codes = _codes(random, 0, 15, shape).astype(np.uint8)
    scales = _scales(random, (shape[0], -(-shape[1] // 64)), 2.0**-14)
    return Codebook(codes, scales, TABLES["normal_float"], 64, ActivationScales(64))


ENCODINGS: dict[str, Callable[[np.random.RandomState, tuple[int, ...]], Encoded]] = {
    "dense": dense,
    "bfloat16": brain,
    "int8": int8_rows,
    "int8_groups": int8_groups,
    "int4_symmetric": _int4("symmetric", 32, 32),
    "int4_zero_point": _int4("zero_point", 64, None),
    "int4_minimum": _int4("minimum", 32, 32),
    "codebook": codebook,
}


def checkpoint(family: str, encoding: str) -> MemoryCheckpoint:
    config = {"rms_norm_eps": 1e-6, "rope_theta": 10000.0, **tiny_config(family)}
    random = np.random.RandomState(SEED)
    weights: dict[str, Encoded] = {}
    for name, weight in read_model(config).weights().items():
        if len(weight.shape) == 1:
            values = _codes(random, -16, 16, weight.shape) / 64.0 + (0.0 if name.endswith("bias") else 1.0)
            weights[name] = Dense(values.astype(np.float32), "float32")
        else:
            make = dense if "embed_tokens" in name else ENCODINGS[encoding]
            weights[name] = make(random, weight.shape)
    return MemoryCheckpoint(config, weights)


def run(family: str, encoding: str, kv_dtype: KvDtype, isa: str) -> str:
    """Of a prompt, every token of which gives logits, and of some greedy steps: the SHA-256 of all logits."""
    config = NativeConfig(isa=isa, threads=1, kv_tokens=256, step_tokens=64, kv_dtype=kv_dtype, keep_packed=False)
    backend = NativeBackend.load(checkpoint(family, encoding), config)
    tokens = _codes(np.random.RandomState(SEED), 0, SIZES["vocab_size"] - 1, (PROMPT,)).astype(np.int32)
    logits = backend.forward(whole(tokens))
    assert np.isfinite(logits).all() and float(logits.std()) > 1e-3
    digest = hashlib.sha256(logits.astype("<f4").tobytes())
    for position in range(PROMPT, PROMPT + STEPS):
        logits = backend.forward(whole(logits[-1:].argmax(-1).astype(np.int32), first=position))
        digest.update(logits.astype("<f4").tobytes())
    return digest.hexdigest()


CASES = [(family, encoding, "bfloat16") for family in ("smollm2", "qwen3") for encoding in ENCODINGS]
CASES += [(family, "int8_groups", "bfloat16") for family in FAMILIES if family not in ("smollm2", "qwen3")]
CASES += [("qwen2_sliding", "bfloat16", kind) for kind in get_args(KvDtype)]


@pytest.mark.parametrize(("family", "encoding", "kv_dtype"), CASES)
def test_logits_are_those_that_were_frozen(family: str, encoding: str, kv_dtype: KvDtype) -> None:
    found = {run(family, encoding, kv_dtype, isa) for isa in extension.isas()}
    assert len(found) == 1
    frozen: dict[str, str] = json.loads(FROZEN.read_text()) if FROZEN.exists() else {}
    case = f"{family} {encoding} {kv_dtype}"
    if os.environ.get("HONED_FREEZE"):
        FROZEN.write_text(json.dumps({**frozen, case: found.pop()}, indent=1, sort_keys=True) + "\n")
        return
    assert found == {frozen.get(case)}
