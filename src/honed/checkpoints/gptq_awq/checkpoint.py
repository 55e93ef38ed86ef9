"""Reads directories that GPTQ (AutoGPTQ, GPTQModel) or AWQ (AutoAWQ) compressed, in the form in which hubs hold them.

A layer's codes are kept as integers where an encoding here can hold them (`WeightOnly`): they run as what they decode
to, and compressing to int4 keeps them as they are. What no encoding holds is decoded: inputs sorted by activation, two
bits, zero points of eight. Not here: how words are laid out (`layouts.py`), and the config (`config.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.base import Kind
from honed.checkpoints.gptq_awq.config import WordConfig, read_word_config
from honed.checkpoints.gptq_awq.layouts import awq_codes, awq_zeros, gptq_codes, gptq_zeros, in_stored_order
from honed.checkpoints.huggingface.checkpoint import check_directory, dense_weight
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.stored_forms import names_in_model, weight_of
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.groups import GROUPS
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.weight_only import WeightOnly
from honed.errors import FormatError
from honed.text.tokenizer import Tokenizer

_WORDS = ".qweight"
_PARTS = (".qzeros", ".scales", ".g_idx")


class GptqAwqCheckpoint:
    """A directory whose config.json has a `quantization_config` of quant_method gptq or awq.

    Errors: as `Directory`; UnsupportedError for other layouts, FormatError where config and tensors disagree.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._words = read_word_config(directory.config, directory.config_path)
        names = [name for name in directory.names if not name.endswith(_PARTS)]
        self._stored = tuple(name.removesuffix(_WORDS) + ".weight" if name.endswith(_WORDS) else name for name in names)
        self._packed = frozenset(name.removesuffix(_WORDS) for name in names if name.endswith(_WORDS))
        shapes = {name: self._shape(name) for name in self._stored}
        config, self._forms = check_directory(directory, shapes)
        # Who takes weights of this, takes them out of their words, and none of what the config says of those is left.
        self._config = {key: value for key, value in config.items() if key != "quantization_config"}

    @property
    def kind(self) -> Kind:
        return "huggingface"

    @property
    def path(self) -> Path:
        return self._directory.path

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def quantization(self) -> str:
        return self._words.method

    @property
    def files(self) -> tuple[Path, ...]:
        return self._directory.files

    @property
    def names(self) -> tuple[str, ...]:
        return names_in_model(self._stored, self._forms)

    def weight(self, name: str) -> Encoded:
        return weight_of(name, self._forms, self._tensor)

    def tokenizer(self) -> Tokenizer:
        from honed.checkpoints.huggingface.tokenizer import read_tokenizer

        return read_tokenizer(self._directory)

    def give_back(self) -> None:
        self._directory.give_back()

    def _shape(self, name: str) -> tuple[int, ...]:
        """Logical shape, [out, in] of words."""
        module = name.removesuffix(".weight")
        if module not in self._packed:
            return self._directory.entry(name).shape
        entry = self._directory.entry(f"{module}{_WORDS}")
        if entry.dtype != "I32" or len(entry.shape) != 2 or min(entry.shape) < 1:
            raise FormatError(
                self.path, f"{module}{_WORDS}", f"is {entry.dtype} {entry.shape}, must be a matrix of I32"
            )
        in_word = 32 // self._words.bits
        first, second = entry.shape
        return (second, first * in_word) if self._words.method == "gptq" else (second * in_word, first)

    def _tensor(self, name: str) -> Encoded:
        module = name.removesuffix(".weight")
        if module not in self._packed:
            return dense_weight(self._directory, name)
        rows, width = self._shape(name)
        scales = self._scales(module, rows)
        groups = scales.shape[1]
        words = self._directory.tensor(f"{module}{_WORDS}")
        if self._words.method == "awq":
            codes = awq_codes(words)
            zeros = awq_zeros(self._part(module, "qzeros", (groups, rows // 8)))
        else:
            codes = gptq_codes(words, self._words.bits)
            in_word = 32 // self._words.bits
            stored = self._part(module, "qzeros", (groups, rows // in_word))
            zeros = gptq_zeros(stored, self._words.bits, self._words.zero_shift)
        group_of = self._group_of(module, width, groups)
        return _kept(codes, scales, zeros, group_of, self._words) or _decoded(codes, scales, zeros, group_of)

    def _scales(self, module: str, rows: int) -> NDArray[np.float32]:
        """[out, groups]."""
        name = f"{module}.scales"
        self._check_there(name)
        values = dense_weight(self._directory, name).decode()
        if values.ndim != 2 or values.shape[1] != rows or len(values) < 1:
            raise FormatError(self.path, name, f"is {values.shape}, must be a row of {rows} for each group")
        return np.ascontiguousarray(values.T)

    def _part(self, module: str, part: str, shape: tuple[int, ...]) -> NDArray[np.int32]:
        name = f"{module}.{part}"
        self._check_there(name)
        entry = self._directory.entry(name)
        if entry.dtype != "I32" or entry.shape != shape:
            raise FormatError(self.path, name, f"is {entry.dtype} {entry.shape}, must be I32 {shape}")
        return np.asarray(self._directory.tensor(name), np.int32)

    def _check_there(self, name: str) -> None:
        if name not in self._directory.names:
            raise FormatError(self.path, name, "is missing beside the words of its layer")

    def _group_of(self, module: str, width: int, groups: int) -> NDArray[np.int32]:
        """The group of each input: as stored, else inputs in order, of the group size of the config."""
        if f"{module}.g_idx" in self._directory.names:
            found = self._part(module, "g_idx", (width,))
            if found.min() < 0 or found.max() >= groups:
                raise FormatError(
                    self.path, f"{module}.g_idx", f"names group {int(found.max())}; there are {groups} from 0 on"
                )
            return found
        group = width if groups == 1 else self._words.group or width
        if -(-width // group) != groups:
            raise FormatError(
                self.path, f"{module}.scales", f"has {groups} groups; {width} inputs in groups of {group} are others"
            )
        return np.arange(width, dtype=np.int32) // np.int32(group)


def _kept(
    codes: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zeros: NDArray[np.int16],
    group_of: NDArray[np.int32],
    words: WordConfig,
) -> Encoded | None:
    """The layer in an encoding of this project, if nothing is lost."""
    width, groups = codes.shape[1], scales.shape[1]
    group = next((size for size in GROUPS if -(-width // size) == groups and in_stored_order(group_of, size)), None)
    with np.errstate(over="ignore"):
        halves = scales.astype(np.float16)
    if (halves.astype(np.float32) != scales).any():
        return None
    if words.bits == 4 and group is not None:
        if (zeros == 8).all():
            return WeightOnly(Int4(codes, halves, None, group))
        return WeightOnly(Int4(codes, halves, zeros.astype(np.uint8), group)) if zeros.max() < 16 else None
    if words.bits == 8 and (zeros == 128).all() and codes.min() > 0:
        signed = (codes ^ np.uint8(0x80)).view(np.int8)
        if groups == 1:
            return WeightOnly(Int8(signed, scales[:, 0].copy(), None))
        return None if group is None else WeightOnly(Int8(signed, halves, group))
    return None


def _decoded(
    codes: NDArray[np.uint8], scales: NDArray[np.float32], zeros: NDArray[np.int16], group_of: NDArray[np.int32]
) -> Dense:
    values = codes.astype(np.float32)
    values -= zeros.astype(np.float32)[:, group_of]
    values *= scales[:, group_of]
    return Dense(values, "float32")
