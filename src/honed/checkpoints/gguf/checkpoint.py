"""GGUF files as checkpoints: mapped, their weights named and ordered as in Hugging Face.

Not here: the header (`header.py`), models in several files (`parts.py`), names (`names.py`), config (`config.py`),
tokenizer (`tokenizer.py`), block formats (`encodings/gguf_formats.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.base import Kind
from honed.checkpoints.config_against_weights import check_consistency
from honed.checkpoints.gguf.config import architecture_of, read_config
from honed.checkpoints.gguf.decoded import note_decoded
from honed.checkpoints.gguf.header import Header, TensorEntry
from honed.checkpoints.gguf.names import FACTORS, heads_to_reorder, huggingface_name, split_halves
from honed.checkpoints.gguf.parts import open_parts, tensors_of
from honed.checkpoints.mapping import give_back
from honed.checkpoints.stored_forms import names_in_model, weight_of
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, DenseType
from honed.encodings.gguf_blocks import GgufBlocks
from honed.errors import FormatError, UnsupportedError, quoted
from honed.models.registry import FAMILIES
from honed.models.stored import Forms
from honed.ops.values import Weight
from honed.text.tokenizer import Tokenizer

_DENSE: dict[str, tuple[DenseType, str]] = {
    "F32": ("float32", "<f4"),
    "F16": ("float16", "<f2"),
    "BF16": ("bfloat16", "<u2"),
}


class GgufCheckpoint:
    """One GGUF file, or all parts of a model in several. Opening it reads the headers and checks them against the
    config; weights are mapped.

    Errors: FormatError for a malformed file or one whose tensors do not fit its metadata, SourceError for a part that
    is missing, UnsupportedError for an architecture, tensor type or variant that is not read here.
    """

    def __init__(self, path: Path, buffer: memoryview | None = None) -> None:
        """`path` may be any part. `buffer` stands in for the file's bytes."""
        self._parts = open_parts(path, buffer)
        self.path = self._parts[0].path
        self.header: Header = self._parts[0].header
        self._tensors = tensors_of(self._parts)
        self._architecture = architecture_of(self.header.metadata)
        entries = {name: entry for name, (entry, _) in self._tensors.items()}
        self._config = read_config(
            self.header.metadata, entries, {name: self._factors(name) for name in FACTORS if name in entries}
        )
        self._family = FAMILIES[self._config["model_type"]]
        self._entries = self._named()
        self._forms = self._stored_forms()
        shapes = {name: entry.shape for name, entry in self._entries.items()}
        used = check_consistency(self._config, self.path, shapes, self.path, self._forms)
        self._check_vocabulary()
        for name in sorted(shapes.keys() - used):
            raise UnsupportedError(
                f"{self.path}: tensor {self._entries[name].name}: the model as known here has no such weight"
            )
        note_decoded(self.path, entries["token_embd.weight"])

    @property
    def kind(self) -> Kind:
        return "gguf"

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(part.path for part in self._parts)

    @property
    def names(self) -> tuple[str, ...]:
        return names_in_model(self._entries, self._forms)

    def weight(self, name: str) -> Encoded:
        """Dense where the file's values can be used as they lie, otherwise the blocks of the file."""
        return weight_of(name, self._forms, self._tensor)

    def _tensor(self, name: str) -> Encoded:
        entry = self._entries[name]
        data = self._bytes(entry)
        heads = heads_to_reorder(entry.name, self._family, self._config)
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
        for part in self._parts:
            give_back(part.buffer)

    def _bytes(self, entry: TensorEntry) -> NDArray[np.uint8]:
        part = self._tensors[entry.name][1]
        return np.frombuffer(part.buffer, dtype=np.uint8, count=entry.nbytes, offset=entry.start)

    def _factors(self, name: str) -> NDArray[np.float32]:
        entry = self._tensors[name][0]
        if entry.format.name != "F32" or len(entry.shape) != 1:
            raise UnsupportedError(f"{self.path}: tensor {name}: must be a vector of F32")
        return self._bytes(entry).view("<f4")

    def _named(self) -> dict[str, TensorEntry]:
        named: dict[str, TensorEntry] = {}
        for entry, _ in self._tensors.values():
            if entry.name in FACTORS:
                continue
            name = huggingface_name(entry.name, self._family)
            if name is None:
                raise UnsupportedError(
                    f"{self.path}: tensor {quoted(entry.name)}: not part of a {self._architecture} model as known here"
                )
            named[name] = entry
        return named

    def _stored_forms(self) -> Forms:
        names = self._family.gguf
        if names is None or names.stored is None:
            return {}
        model = self._family.read(self._config, self.path)
        self._unsqueeze(model.weights())
        forms = names.stored(model)
        # Older files hold each expert by itself, under the name that the model has for it.
        apart = {name for name in forms if name in self._entries and forms[name].tensor.name not in self._entries}
        return {name: form for name, form in forms.items() if name not in apart}

    def _unsqueeze(self, weights: Mapping[str, Weight]) -> None:
        """ggml knows no outer extents of 1: a matrix of one row lies as a vector."""
        for name, weight in weights.items():
            entry = self._entries.get(name)
            if entry is not None and weight.shape == (1, *entry.shape):
                self._entries[name] = replace(entry, shape=weight.shape)

    def _check_vocabulary(self) -> None:
        """A tokenizer that is larger than the embedding would make ids that have no row."""
        key = "tokenizer.ggml.tokens"
        size = self.header.metadata.length(key)
        if size is not None and size > self._config["vocab_size"]:
            raise FormatError(self.path, key, f"has {size} tokens, the embedding {self._config['vocab_size']} rows")
