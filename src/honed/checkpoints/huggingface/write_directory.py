"""Writes a model with its weights in float32 as a directory that transformers loads, and that is read here like any
other.

Tensors lie as files of the family hold them: under the names of a model with its head, and several weights in one
tensor where `models/stored.py` says so. The directory appears whole, once it was read back and every weight found in
it. Not here: artifacts, whose weights are encoded and which have a manifest (`artifact/writer.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.checkpoints.artifact.staging import staged_directory
from honed.checkpoints.huggingface.checkpoint import HuggingFaceCheckpoint
from honed.checkpoints.huggingface.directory import CONFIG, SINGLE, Directory
from honed.checkpoints.safetensors.spec import TensorSpec
from honed.checkpoints.safetensors.writer import SafetensorsWriter, file_size
from honed.checkpoints.stored_forms import forms_of
from honed.errors import HonedError
from honed.lazy_imports import numpy as np
from honed.models.encoder_layers import POOLER_FIELD
from honed.models.family import Family
from honed.models.registry import family_of, is_encoder, read_any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tensors = dict[str, NDArray[np.float32]]

_OWN_FIELDS = (POOLER_FIELD, "quantization_config", "auto_map", "torch_dtype")
"""Of a config here that files do not have, or that say something of other weights."""
_METADATA = {"format": "pt"}


def write_directory(
    target: Path,
    config: Mapping[str, Any],
    weights: Mapping[str, NDArray[np.float32]],
    side_files: Mapping[str, bytes],
    *,
    notes: Callable[[str], None] = lambda note: None,
) -> None:
    """A new directory. weights: all that the model of the config names. side_files: what lies beside them, by name.

    Errors: ArtifactError where it is there already or cannot be written, MachineError where the disk is full,
    HonedError where what was written does not come back as it was.
    """
    written = {name: value for name, value in config.items() if name not in _OWN_FIELDS} | {"dtype": "float32"}
    tensors = stored_tensors(config, weights)
    specs = [TensorSpec(name, "F32", values.shape) for name, values in tensors.items()]
    text = (json.dumps(written, indent=2, ensure_ascii=False) + "\n").encode()
    needed = file_size(specs, _METADATA) + len(text) + sum(map(len, side_files.values()))
    with staged_directory(target, needed=needed, notes=notes) as folder:
        with SafetensorsWriter(folder / SINGLE, specs, _METADATA) as file:
            for name, values in tensors.items():
                file.write(name, values)
        for name, data in {CONFIG: text, **side_files}.items():
            (folder / name).write_bytes(data)
        _check(folder, weights)


def stored_tensors(config: Mapping[str, Any], weights: Mapping[str, NDArray[np.float32]]) -> Tensors:
    """What files hold of the weights of a model, by their names there."""
    family = family_of(config)
    forms, found = forms_of(config, Path("config")), dict[str, "NDArray[np.float32]"]()
    headless = _headless(config, family)
    for name, values in weights.items():
        form = forms.get(name)
        spelled = _spelled(name if form is None else form.tensor.name, family, headless)
        if form is None:
            found[spelled] = np.ascontiguousarray(values, np.float32)
            continue
        whole = found.setdefault(spelled, np.zeros(form.tensor.shape, np.float32))
        place = whole if form.matrix is None else whole[form.matrix]
        place = place.T if form.transposed else place
        place[slice(None) if form.rows is None else form.rows.numbers()] = values - np.float32(form.added)
    return found


def _headless(config: Mapping[str, Any], family: Family) -> frozenset[str] | None:
    """The weights of an encoder that its files have behind the name of their base; None where all names are whole."""
    if not is_encoder(config) or family.table.startswith(family.base):
        return None
    base = read_any({**config, "architectures": [family.class_name], POOLER_FIELD: True})
    return frozenset(base.weights())


def _spelled(name: str, family: Family, headless: frozenset[str] | None) -> str:
    for there, here in family.renamed.items():
        if name.startswith(here):
            return there + name.removeprefix(here)
    return family.base + name if headless is not None and name in headless else name


def _check(folder: Path, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """HonedError where a weight does not come back to the bit, but for a sum that its form makes of it."""
    checkpoint = HuggingFaceCheckpoint(Directory(folder))
    there = read_any(checkpoint.config, folder).weights()
    if there.keys() != weights.keys():
        strange = sorted(there.keys() ^ weights.keys())[0]
        raise HonedError(f"{folder}: {strange} was written, or is read, and not both: the directory is not kept")
    for name, values in weights.items():
        if not np.allclose(checkpoint.weight(name).decode(), values, rtol=1e-6, atol=1e-7):
            raise HonedError(f"{folder}: {name} does not come back as it was written: the directory is not kept")
