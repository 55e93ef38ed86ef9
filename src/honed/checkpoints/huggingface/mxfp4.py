"""Tensors of a directory that are MXFP4 as transformers writes gpt-oss: codes and exponents under names of their own.

`NAME_blocks` and `NAME_scales` are the weight NAME, whose quantization_config says mxfp4. Not here: what they mean
(`encodings/mxfp4.py`), and which matrices of the model lie in it, which its family says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.checkpoints.huggingface.directory import Directory
from honed.encodings.mxfp4 import BLOCK, Mxfp4
from honed.errors import FormatError

METHOD = "mxfp4"
_BLOCKS, _SCALES = "_blocks", "_scales"


def is_mxfp4(config: Mapping[str, Any]) -> bool:
    """Whether a config says that weights of it are MXFP4."""
    quantization = config.get("quantization_config")
    return isinstance(quantization, dict) and quantization.get("quant_method") == METHOD


def mxfp4_shapes(directory: Directory) -> dict[str, tuple[int, ...]]:
    """The shape of each weight that is MXFP4, by its name. FormatError for tensors that do not go together."""
    names = frozenset(directory.names)
    found: dict[str, tuple[int, ...]] = {}
    for codes in directory.names:
        name = codes.removesuffix(_BLOCKS)
        if name == codes or name + _SCALES not in names:
            continue
        blocks, scales = directory.entry(codes), directory.entry(name + _SCALES)
        for tensor, entry in ((codes, blocks), (name + _SCALES, scales)):
            if entry.dtype != "U8":
                raise FormatError(directory.path, tensor, f"has type {entry.dtype}, and MXFP4 is U8")
        if len(scales.shape) not in (2, 3) or tuple(blocks.shape) != (*scales.shape, BLOCK // 2):
            raise FormatError(
                directory.path, codes, f"has shape {tuple(blocks.shape)}, {name}{_SCALES} {tuple(scales.shape)}: must "
                f"be that and {BLOCK // 2} bytes a block"
            )  # fmt: skip
        found[name] = (*scales.shape[:-1], scales.shape[-1] * BLOCK)
    return found


def mxfp4_weight(directory: Directory, name: str) -> Mxfp4:
    """One of `mxfp4_shapes`, mapped."""
    return Mxfp4(directory.tensor(name + _BLOCKS), directory.tensor(name + _SCALES))


def tensors_of(name: str) -> tuple[str, str]:
    """The names of the tensors that a weight lies in."""
    return name + _BLOCKS, name + _SCALES
