"""A tiny model as a GGUF file, its weights as the files of its family hold them: what `honed families` reads back.

In float32, with the keys that every converter writes and those that the family names for its first sample. Not here:
files for other tools, which `bench/peers/gguf_model.py` writes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.checkpoints.base import Checkpoint
from honed.checkpoints.gguf.names import split_halves
from honed.lazy_imports import numpy as np
from honed.models.base import Model
from honed.models.family import Family, GgufNames
from honed.models.recorded import main_graph
from honed.models.stored import Stored
from honed.ops.table import Rope

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.float32]]

_ALIGNMENT = 32
_UINT32, _FLOAT32, _BOOL, _STRING = 4, 6, 7, 8
_KEYS: dict[str, tuple[str, ...]] = {
    "context_length": ("max_position_embeddings", "n_positions"),
    "embedding_length": ("hidden_size", "n_embd"),
    "block_count": ("num_hidden_layers", "n_layer"),
    "feed_forward_length": ("intermediate_size", "n_inner"),
    "attention.head_count": ("num_attention_heads", "n_head"),
    "attention.head_count_kv": ("num_key_value_heads",),
    "attention.key_length": ("head_dim",),
    "attention.value_length": ("head_dim",),
    "attention.sliding_window": ("sliding_window",),
    "rope.scaling.original_context_length": ("original_max_position_embeddings",),
    "expert_used_count": ("num_experts_per_tok",),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
}
"""Keys of an architecture, and the fields that say the same in a config."""
_EXPERTS = ("num_experts", "num_local_experts")


def write_sample_file(path: Path, family: Family, checkpoint: Checkpoint) -> Path:
    """The weights of a checkpoint of the family, which has names in GGUF files."""
    names = family.gguf
    if names is None:
        raise ValueError(f"{family.model_type} has no names in GGUF files")
    model = family.read(checkpoint.config, checkpoint.path)
    return write_file(path, _keys(family, names, checkpoint.config, model), _tensors(names, family, checkpoint, model))


def write_file(path: Path, keys: Mapping[str, int | float | bool | str], tensors: Arrays) -> Path:
    """A GGUF file of version 3 with tensors of float32."""
    header = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(keys))]
    for key, value in keys.items():
        header += [_text(key), _value(value)]
    position, data = 0, []
    for name, values in tensors.items():
        shape = values.shape[::-1]
        header += [_text(name), struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, position)]
        stored = np.ascontiguousarray(values, "<f4").tobytes()
        data.append(stored + bytes(-len(stored) % _ALIGNMENT))
        position += len(data[-1])
    begin = b"".join(header)
    path.write_bytes(begin + bytes(-len(begin) % _ALIGNMENT) + b"".join(data))
    return path


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _value(value: int | float | bool | str) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    return struct.pack("<I", _STRING) + _text(value)


def _keys(
    family: Family, names: GgufNames, config: Mapping[str, Any], model: Model
) -> dict[str, int | float | bool | str]:
    own: dict[str, int | float | bool | str] = {}
    for key, fields in _KEYS.items():
        found = [config[field] for field in fields if config.get(field) is not None]
        if found:
            own[key] = found[0]
    experts = [config[field] for field in _EXPERTS if config.get(field) is not None]
    if experts:
        own["expert_count"] = experts[0]
    if "feed_forward_length" not in own:
        own["feed_forward_length"] = 4 * own["embedding_length"]  # what a GPT-2 has that does not say it
    settings: Any = model
    kind = "layer_norm_epsilon" if names.layer_norms else "layer_norm_rms_epsilon"
    own[f"attention.{kind}"] = float(settings.config.eps)
    rotations = list(main_graph(model).operations(Rope))
    if rotations:
        own["rope.dimension_count"] = 2 * len(rotations[0].rotary.inverse_frequencies)
        own["rope.freq_base"] = float(config.get("rope_theta", 10000.0))
    own |= family.sample_keys
    prefixed = {f"{names.architecture}.{key}": value for key, value in own.items()}
    return {"general.architecture": names.architecture, **prefixed}


def _tensors(names: GgufNames, family: Family, checkpoint: Checkpoint, model: Model) -> Arrays:
    forms = {} if names.stored is None else names.stored(model)
    found: Arrays = {}
    for name, weight in model.weights().items():
        form = forms.get(name, Stored(weight))
        whole = found.setdefault(form.tensor.name, np.zeros(form.tensor.shape, np.float32))
        matrix = whole if form.matrix is None else whole[form.matrix]
        lying = matrix.T if form.transposed else matrix
        values = checkpoint.weight(name).decode() - np.float32(form.added)
        lying[slice(None) if form.rows is None else form.rows.numbers()] = values
    return {spelled: _ordered(spelled, values, names, checkpoint.config) for spelled, values in _spelled(found, family)}


def _spelled(tensors: Arrays, family: Family) -> list[tuple[str, NDArray[np.float32]]]:
    """Tensors by their names in the file. KeyError for one that no file has."""
    assert family.gguf is not None
    outside = {name: spelled for spelled, name in family.gguf.tensors.items()}
    parts = {module: part for part, module in family.gguf.layer_tensors.items()}
    pairs = []
    for name, values in tensors.items():
        if not name.startswith(family.layer_prefix):
            pairs.append((outside[name], values))
            continue
        number, _, rest = name.removeprefix(family.layer_prefix).partition(".")
        module, _, kind = rest.rpartition(".")
        pairs.append((f"blk.{number}.{parts[module]}.{kind}", values))
    return pairs


def _ordered(
    spelled: str, values: NDArray[np.float32], names: GgufNames, config: Mapping[str, Any]
) -> NDArray[np.float32]:
    """With the halves of a rotated pair next to each other, where files of the architecture have them so."""
    field = names.interleaved.get(spelled.split(".")[2]) if spelled.startswith("blk.") else None
    if field is None:
        return values
    stored = np.empty_like(values)
    stored[split_halves(len(values), int(config[field]))] = values
    return stored
