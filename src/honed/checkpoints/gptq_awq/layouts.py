"""How GPTQ and AWQ lay codes out in 32-bit words, and back. Arrays in, arrays out: no files here.

GPTQ   qweight int32 [in / n, out]: n = 32 / bits codes of consecutive inputs a word, the first in the low bits;
       qzeros int32 [groups, out / n]: zero points of consecutive outputs; scales [groups, out]; g_idx int32 [in], the
       group of each input. weight = scale * (code - zero), of the first format with zero = stored + 1.
AWQ    qweight int32 [in, out / 8]: codes of eight consecutive outputs a word, interleaved so that a shift and a mask
       give pairs; qzeros [groups, out / 8] the same; scales [groups, out].

(Layouts: AutoGPTQ and GPTQModel, AutoAWQ "gemm".)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight outputs the i-th nibble of a word holds, from the low bits on."""


def gptq_codes(qweight: NDArray[np.int32], bits: int) -> Codes:
    """[in / n, out] words to codes [out, in]."""
    return np.ascontiguousarray(_spread(np.ascontiguousarray(qweight.T), bits))


def gptq_zeros(qzeros: NDArray[np.int32], bits: int, shift: int) -> NDArray[np.int16]:
    """[groups, out / n] words to zero points [out, groups], `shift` more than is stored: up to 2 ** bits."""
    return np.ascontiguousarray(_spread(qzeros, bits).T.astype(np.int16) + np.int16(shift))


def awq_codes(qweight: NDArray[np.int32]) -> Codes:
    """[in, out / 8] words to codes [out, in]."""
    return np.ascontiguousarray(_in_order(_spread(qweight, 4)).T)


def awq_zeros(qzeros: NDArray[np.int32]) -> NDArray[np.int16]:
    """[groups, out / 8] words to zero points [out, groups]."""
    return np.ascontiguousarray(_in_order(_spread(qzeros, 4)).T.astype(np.int16))


def _spread(words: NDArray[np.int32], bits: int) -> Codes:
    """[rows, n] words to [rows, n * 32 / bits] codes, the low bits of each word first."""
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    mask = np.uint32((1 << bits) - 1)
    codes: Codes = ((words.view(np.uint32)[..., None] >> shifts) & mask).astype(np.uint8)
    return codes.reshape(len(words), -1)


def _in_order(codes: Codes) -> Codes:
    """Outputs of AWQ words in their own order."""
    ordered = np.empty_like(codes)
    for place, output in enumerate(_AWQ_ORDER):
        ordered[:, output::8] = codes[:, place::8]
    return ordered


def in_stored_order(group_of: NDArray[np.int32], group: int) -> bool:
    """Whether inputs lie in the order of their groups, as without sorting by activation."""
    expected: NDArray[Any] = np.arange(len(group_of), dtype=np.int32) // group
    return bool((group_of == expected).all())
