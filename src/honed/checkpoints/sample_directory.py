"""Tiny random checkpoints of any family, as a directory: what `honed families` runs.

Tensors lie as the files of the family hold them; the tokenizer has a token a character. The same config and seed give
the same bytes. Not here: the configs (`models/samples.py`), the same weights as GGUF (`gguf/sample_file.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.checkpoints.huggingface.directory import CONFIG, SINGLE
from honed.checkpoints.safetensors.spec import TensorSpec
from honed.checkpoints.safetensors.writer import SafetensorsWriter
from honed.checkpoints.stored_forms import forms_of
from honed.lazy_imports import numpy as np
from honed.models.encoder_layers import POOLER_FIELD
from honed.models.family import Family

if TYPE_CHECKING:
    from numpy.typing import NDArray

MATRIX_SCALE = 0.1
VECTOR_SCALE = 0.3
"""Of what is drawn beside the 1 that a norm multiplies with; biases are drawn too, so that a forgotten one shows."""
SPECIAL = ("<unk>", "<s>", "</s>")
_CHARACTERS = "".join(map(chr, range(0x20, 0x7E)))


def write_sample(folder: Path, family: Family, config: Mapping[str, Any], seed: int = 0) -> Path:
    """A directory of a config of the family, with weights in float32. The folder is made, and must not be there."""
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(dict(config)))
    _write_tokenizer(folder)
    tensors = sample_tensors(family, config, seed)
    specs = [TensorSpec(name, "F32", values.shape) for name, values in tensors.items()]
    with SafetensorsWriter(folder / SINGLE, specs, {"format": "pt"}) as file:
        for name, values in tensors.items():
            file.write(name, values)
    return folder


def sample_tensors(family: Family, config: Mapping[str, Any], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """The tensors of such a directory, by their names in files."""
    whole = {**config, POOLER_FIELD: True}
    model = family.read(whole, "sample")
    forms = forms_of(whole, Path("sample"))
    generator = np.random.default_rng(seed)
    found: dict[str, NDArray[np.float32]] = {}
    for name, weight in sorted(model.weights().items()):
        form = forms.get(name)
        tensor = weight if form is None else form.tensor
        spelled = _spelled(tensor.name, family)
        if spelled in found:
            continue
        drawn = generator.standard_normal(tensor.shape, np.float32)
        is_norm = len(tensor.shape) == 1 and tensor.name.endswith("weight") and not (form is not None and form.added)
        scale = VECTOR_SCALE if len(tensor.shape) == 1 else MATRIX_SCALE
        found[spelled] = drawn * np.float32(scale) + np.float32(is_norm)
    return found


def _spelled(name: str, family: Family) -> str:
    for there, here in family.renamed.items():
        if name.startswith(here):
            return there + name.removeprefix(here)
    return name


def _write_tokenizer(folder: Path) -> None:
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *_CHARACTERS])}
    document: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": SPECIAL[0]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(document))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
