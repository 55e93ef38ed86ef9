"""GGUF files as checkpoints: mapped, their weights named and ordered as in Hugging Face.

Not here: the header (`header.py`), names (`names.py`), config (`config.py`), tokenizer
(`tokenizer.py`), block formats (`encodings/gguf_formats.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.base import Kind
from honed.checkpoints.consistency import check_consistency
from honed.checkpoints.gguf.config import architecture_of, read_config
from honed.checkpoints.gguf.header import Header, TensorEntry, parse_header
from honed.checkpoints.gguf.names import ROPE_FACTORS, heads_to_reorder, huggingface_name, split_halves
from honed.checkpoints.mapping import give_back, map_file
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, DenseType
from honed.encodings.gguf_blocks import GgufBlocks
from honed.errors import FormatError, UnsupportedError
from honed.text.tokenizer import Tokenizer

_DENSE: dict[str, tuple[DenseType, str]] = {
    "F32": ("float32", "<f4"),
    "F16": ("float16", "<f2"),
    "BF16": ("bfloat16", "<u2"),
}


class GgufCheckpoint:
    """One GGUF file. Opening it reads the header and checks it against the config; weights are mapped.

    Errors: FormatError for a malformed file or one whose tensors do not fit its metadata, UnsupportedError for an
    architecture, tensor type or variant that is not read here.
    """

    def __init__(self, path: Path, buffer: memoryview | None = None) -> None:
        """`buffer` stands in for the file's bytes."""
        self.path = path
        self._buffer = map_file(path) if buffer is None else buffer
        self.header: Header = parse_header(self._buffer, path)
        tensors = self.header.tensors
        self._architecture = architecture_of(self.header.metadata)
        self._config = read_config(self.header.metadata, tensors, self._rope_factors())
        self._entries = self._named()
        shapes = {name: entry.shape for name, entry in self._entries.items()}
        used = check_consistency(self._config, path, shapes, path)
        self._check_vocabulary()
        for name in sorted(shapes.keys() - used):
            raise UnsupportedError(
                f"{path}: tensor {self._entries[name].name}: the model as known here has no such weight"
            )

    @property
    def kind(self) -> Kind:
        return "gguf"

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def weight(self, name: str) -> Encoded:
        """Dense where the file's values can be used as they lie, otherwise the blocks of the file."""
        entry = self._entries[name]
        data = self._bytes(entry)
        heads = heads_to_reorder(
            entry.name, self._architecture, self._config["num_attention_heads"], self._config["num_key_value_heads"]
        )
        if heads is not None:
            return GgufBlocks(entry.format, data, entry.shape, split_halves(entry.shape[0], heads))
        if entry.format.name in _DENSE:
            dtype, storage = _DENSE[entry.format.name]
            return Dense(data.view(storage).reshape(entry.shape), dtype)
        return GgufBlocks(entry.format, data, entry.shape)

    def tokenizer(self) -> Tokenizer:
        from honed.checkpoints.gguf.tokenizer import read_tokenizer

        return read_tokenizer(self.header.metadata)

    def give_back(self) -> None:
        give_back(self._buffer)

    def _bytes(self, entry: TensorEntry) -> NDArray[np.uint8]:
        return np.frombuffer(self._buffer, dtype=np.uint8, count=entry.nbytes, offset=entry.start)

    def _rope_factors(self) -> NDArray[np.float32] | None:
        entry = self.header.tensors.get(ROPE_FACTORS)
        if entry is None:
            return None
        if entry.format.name != "F32" or len(entry.shape) != 1:
            raise UnsupportedError(f"{self.path}: tensor {ROPE_FACTORS}: must be a vector of F32")
        return self._bytes(entry).view("<f4")

    def _named(self) -> dict[str, TensorEntry]:
        named: dict[str, TensorEntry] = {}
        for entry in self.header.tensors.values():
            if entry.name == ROPE_FACTORS:
                continue
            name = huggingface_name(entry.name)
            if name is None:
                raise UnsupportedError(
                    f"{self.path}: tensor {entry.name!r}: not part of a {self._architecture} model as known here"
                )
            named[name] = entry
        return named

    def _check_vocabulary(self) -> None:
        """A tokenizer that is larger than the embedding would make ids that have no row."""
        key = "tokenizer.ggml.tokens"
        size = self.header.metadata.length(key)
        if size is not None and size > self._config["vocab_size"]:
            raise FormatError(self.path, key, f"has {size} tokens, the embedding {self._config['vocab_size']} rows")
