"""A directory as Hugging Face writes it, its tensors as dense weights.

Not here: the files of such a directory (`directory.py`), compressed weights (`compressed_tensors/`), manifests
(`artifact/`), the tokenizer (`tokenizer.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from honed.checkpoints.base import Kind
from honed.checkpoints.config_against_weights import check_consistency, refuse_remote_code
from honed.checkpoints.huggingface.directory import Directory
from honed.checkpoints.huggingface.mxfp4 import is_mxfp4, mxfp4_shapes, mxfp4_weight, tensors_of
from honed.checkpoints.stored_forms import forms_of, names_in_model, weight_of
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, DenseType, MappedDense
from honed.errors import UnsupportedError, quoted
from honed.models.encoder_heads import head_kind
from honed.models.encoder_layers import POOLER, POOLER_FIELD, TABLE
from honed.models.layers import HEAD
from honed.models.registry import FAMILIES, family_of, is_encoder
from honed.models.stored import Forms
from honed.text.tokenizer import Tokenizer

_DENSE: dict[str, DenseType] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class HuggingFaceCheckpoint:
    """A directory of float32, float16 or bfloat16 weights, some of which may be MXFP4."""

    def __init__(self, directory: Directory) -> None:
        """Errors: as `Directory`, and FormatError where config and weights disagree."""
        self._directory = directory
        quantization = directory.config.get("quantization_config")
        packed = is_mxfp4(directory.config)
        if quantization is not None and not packed:
            method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization
            raise UnsupportedError(
                f"{directory.config_path}: quantization_config: quant_method {quoted(method)} is not read here; "
                "use the unquantized checkpoint"
            )
        shapes = {name: directory.entry(name).shape for name in directory.names}
        self._packed = mxfp4_shapes(directory) if packed else {}
        for name in self._packed:
            for tensor in tensors_of(name):
                del shapes[tensor]
        config, self._forms = check_directory(directory, {**shapes, **self._packed})
        # Who takes weights of this, takes them out of their blocks, and none of what the config says of those is left.
        self._config = {k: v for k, v in config.items() if k != "quantization_config"} if packed else config

    @property
    def kind(self) -> Kind:
        return "huggingface"

    @property
    def path(self) -> Path:
        return self._directory.path

    @property
    def config(self) -> Mapping[str, Any]:
        """That of config.json, untied where the file has a head of its own."""
        return self._config

    @property
    def files(self) -> tuple[Path, ...]:
        return self._directory.files

    @property
    def names(self) -> tuple[str, ...]:
        """Without tensors that are no numbers with a point, such as ids of positions, which are no weights."""
        directory = self._directory
        tensors = [name for name in directory.names if directory.entry(name).dtype in _DENSE]
        return names_in_model((*tensors, *self._packed), self._forms)

    def weight(self, name: str) -> Encoded:
        return weight_of(name, self._forms, self._tensor)

    def _tensor(self, name: str) -> Encoded:
        return mxfp4_weight(self._directory, name) if name in self._packed else dense_weight(self._directory, name)

    def give_back(self) -> None:
        self._directory.give_back()

    def tokenizer(self) -> Tokenizer:
        from honed.checkpoints.huggingface.tokenizer import read_tokenizer

        return read_tokenizer(self._directory)


def check_directory(directory: Directory, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Mapping[str, Any], Forms]:
    """Checks the tensors of a directory, by their names in transformers, against its config; returns the config, which
    is untied where the file has a head of its own, and says of an encoder whether it has a pooler and which head, and
    which weights lie otherwise.

    Errors: FormatError, UnsupportedError.
    """
    config: Mapping[str, Any] = directory.config
    refuse_remote_code(config, directory.config_path)
    # What most directories do not need is not imported for them.
    if HEAD in shapes and _ties(config):
        from honed.checkpoints.huggingface.own_head import config_with_own_head

        config = config_with_own_head(directory, family_of(config, directory.config_path).table)
    if TABLE in shapes:
        config = {**config, POOLER_FIELD: f"{POOLER}.weight" in shapes}
    copies: Set[str] = frozenset()
    if is_encoder(config) and (kind := head_kind(config)) is not None:
        from honed.checkpoints.huggingface.encoder_head import config_with_head

        config, copies = config_with_head(config, kind, directory, shapes)
    forms = forms_of(config, directory.config_path)
    used = check_consistency(config, directory.config_path, shapes, directory.path, forms)
    left = shapes.keys() - used - copies
    if left:
        from honed.checkpoints.huggingface.leftovers import check_leftovers

        check_leftovers(left, directory)
    return config, forms


def _ties(config: Mapping[str, Any]) -> bool:
    family = FAMILIES.get(str(config.get("model_type")))
    return config.get("tie_word_embeddings", family is not None and family.ties) is True


def dense_weight(directory: Directory, name: str) -> Dense:
    """A float tensor as it lies. Unknown name: KeyError. Another type: UnsupportedError."""
    entry = directory.entry(name)
    if entry.dtype not in _DENSE:
        raise UnsupportedError(
            f"{directory.path}: tensor {name}: type {entry.dtype} is not a weight; supported are {', '.join(_DENSE)}"
        )
    return MappedDense(directory.stored(name), _DENSE[entry.dtype], entry.shape)
