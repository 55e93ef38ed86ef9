"""Names and row order of GGUF tensors, translated to those of Hugging Face by what a family says of its files.

Some converters store the rows of the query and key projections so that the two halves of a rotated pair lie next to
each other; Hugging Face keeps the halves of a head apart. Rows are put back in order when they are decoded.
Not here: the names themselves (`models/`), reading the file (`header.py`), the config (`config.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.models.family import Family

_NUMBER = "0|[1-9][0-9]{0,5}"
_BLOCK = re.compile(rf"blk\.({_NUMBER})\.([a-z_]+)\.(weight|bias)")
_EXPERT = re.compile(rf"blk\.({_NUMBER})\.(ffn_(?:gate|up|down))\.({_NUMBER})\.weight")
"""What converters wrote before they stacked the experts of a layer."""
ROPE_FACTORS = "rope_freqs.weight"
LONG_FACTORS, SHORT_FACTORS = "rope_factors_long.weight", "rope_factors_short.weight"
FACTORS = (ROPE_FACTORS, LONG_FACTORS, SHORT_FACTORS)
"""Not weights of the model but parts of its config: divisors of the rotary frequencies."""


def huggingface_name(name: str, family: Family) -> str | None:
    """The Hugging Face name, or None for a tensor that the family does not have."""
    if family.gguf is None:
        return None
    expert = _EXPERT.fullmatch(name)
    if expert is not None:
        return _name_of_expert(expert, family)
    match = _BLOCK.fullmatch(name)
    if match is None:
        return family.gguf.tensors.get(name)
    module = family.gguf.layer_tensors.get(match[2])
    return None if module is None else f"{family.layer_prefix}{match[1]}.{module}.{match[3]}"


def _name_of_expert(match: re.Match[str], family: Family) -> str | None:
    stacked = None if family.gguf is None else family.gguf.layer_tensors.get(f"{match[2]}_exps")
    if stacked is None:
        return None
    experts, _, part = stacked.rpartition(".")
    return f"{family.layer_prefix}{match[1]}.{experts}.{match[3]}.{part}.weight"


def heads_to_reorder(name: str, family: Family, config: Mapping[str, Any]) -> int | None:
    """How many heads the rows of a tensor (GGUF name) are interleaved over, None where rows lie as expected."""
    match = _BLOCK.fullmatch(name)
    count = None if match is None or family.gguf is None else family.gguf.interleaved.get(match[2])
    return None if count is None else int(config[count])


def split_halves(rows: int, heads: int) -> NDArray[np.intp]:
    """Stored row of each logical row: within a head, stored 2 i + j is logical j * (head / 2) + i.

    `rows` must be a multiple of 2 * heads.
    """
    order: NDArray[np.intp] = np.arange(rows).reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1)
    return order
