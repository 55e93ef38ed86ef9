from __future__ import annotations

import numpy as np
import pytest

from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES, Codebook, CodebookScheme
from honed.encodings.dense import Dense
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import FORMATS
from honed.encodings.gguf_runs import BlocksFormat
from honed.encodings.int4 import Int4, Int4Scheme
from honed.encodings.int8 import Int8, Int8Scheme
from honed.plan.formats import DenseFormat, DensePolicy, Format, format_of

CODES = np.zeros((2, 64), np.int8)
NIBBLES = np.zeros((2, 64), np.uint8)
Q8_0, Q6_K = (next(entry for entry in FORMATS.values() if entry.name == name) for name in ("Q8_0", "Q6_K"))
HALF = np.ones((2, 2), np.float16)


@pytest.mark.parametrize(
    ("encoded", "policy", "expected"),
    [
        (Dense(np.zeros((2, 64), np.float32), "float32"), "auto", DenseFormat("float32")),
        (Dense(np.zeros((2, 64), np.float16), "float16"), "auto", DenseFormat("bfloat16")),
        (Dense(np.zeros((2, 64), np.uint16), "bfloat16"), "auto", DenseFormat("bfloat16")),
        (Dense(np.zeros((2, 64), np.uint16), "bfloat16"), "float32", DenseFormat("float32")),
        (Dense(np.zeros((2, 64), np.float32), "float32"), "bfloat16", DenseFormat("bfloat16")),
        (Int8(CODES, np.ones(2, np.float32)), "bfloat16", Int8Scheme(None, None)),
        (Int8(CODES, HALF, 32, ActivationScales(32)), "auto", Int8Scheme(32, 32)),
        (Codebook(NIBBLES, HALF, TABLES["linear"], 32), "float32", CodebookScheme(32, TABLES["linear"], None)),
        (GgufBlocks(Q8_0, np.zeros(2 * 2 * 34, np.uint8), (2, 64)), "auto", Int8Scheme(32, 32)),
        (GgufBlocks(Q8_0, np.zeros(2 * 2 * 34, np.uint8), (2, 64)), "float32", DenseFormat("float32")),
        (GgufBlocks(Q6_K, np.zeros(210, np.uint8), (1, 256)), "auto", BlocksFormat("Q6_K")),
        (GgufBlocks(Q6_K, np.zeros(210, np.uint8), (1, 256)), "bfloat16", DenseFormat("bfloat16")),
        (Int4(NIBBLES, HALF, None, 32), "auto", Int4Scheme(32, "symmetric", None)),
        (Int4(NIBBLES, HALF, np.ones((2, 2), np.uint8), 32), "auto", Int4Scheme(32, "zero_point", None)),
    ],
)
def test_the_form_follows_from_encoding_and_policy(encoded: Encoded, policy: DensePolicy, expected: Format) -> None:
    assert format_of(encoded, policy) == expected
