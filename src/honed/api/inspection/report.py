"""What a checkpoint is, whether it runs here, what it takes in memory, and if it does not run, all that is missing.

Whether it runs is decided by the readers and the planner that run it, and by nothing else; only where they refuse it is
it looked at further. Not here: how that is printed (`cli/inspect.py`).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from honed.api.inspection.faults import Fault, of_error
from honed.api.inspection.looked import Looked
from honed.api.inspection.needs import Needs, needs, needs_without_weights
from honed.api.inspection.tensors import Tensor, by_encoding, parameters
from honed.checkpoints.base import Checkpoint, Manifested
from honed.checkpoints.huggingface.directory import PICKLES
from honed.checkpoints.huggingface.labels import read_labels
from honed.checkpoints.open import open_checkpoint
from honed.checkpoints.source import resolve
from honed.encodings.base import Encoded
from honed.encodings.dense import DenseType
from honed.encodings.tied_table import TiedTable
from honed.errors import HonedError, MachineError
from honed.models.base import Model
from honed.models.registry import is_encoder, read_any

_DIMENSIONS = ("layers", "heads", "kv_heads", "head_dim", "vocabulary", "context")


def examine(name: str, revision: str | None = None) -> dict[str, Any]:
    """The report, of plain values. Reads headers only, but for the vocabulary of what runs.

    Errors: SourceError where the name leads to no checkpoint at all, FormatError where a GGUF file has no header that
    can be read.
    """
    try:
        checkpoint = open_checkpoint(name, revision)
        model = read_any(checkpoint.config, checkpoint.path)
        report = _of_opened(name, checkpoint, model)
        return {**report, **_runs(needs(model, checkpoint), checkpoint)}
    except MachineError:
        raise
    except HonedError as error:
        return _of_looked(name, *_look(name, revision, error))


def _of_opened(name: str, checkpoint: Checkpoint, model: Model) -> dict[str, Any]:
    tensors = []
    for weight_name in checkpoint.names:
        weight = checkpoint.weight(weight_name)
        tensors.append(Tensor(weight_name, weight.shape, weight.kind, weight.nbytes, describe(weight)))
    report = {
        **_head(name, checkpoint.path, checkpoint.kind, checkpoint.config),
        "parameters": sum(math.prod(tensor.shape) for tensor in tensors),
        "file_bytes": sum(path.stat().st_size for path in checkpoint.files),
        **{field: getattr(model.dimensions, field) for field in _DIMENSIONS},
        "encodings": by_encoding(tensors),
        "tensors": [tensor.as_json() for tensor in tensors],
    }
    return {**report, "manifest": checkpoint.manifest} if isinstance(checkpoint, Manifested) else report


def _runs(taken: Needs, checkpoint: Checkpoint) -> dict[str, Any]:
    """What is said of a checkpoint that runs. Without its tokenizer it does so from token ids."""
    problem = None
    try:
        checkpoint.tokenizer()
    except HonedError as error:
        problem = str(error)
    return {
        "runs": True,
        "runs_with": "honed embed" if is_encoder(checkpoint.config) else "honed generate",
        "head": _head_of(checkpoint),
        "tokenizer": problem is None,
        "tokenizer_problem": problem,
        "memory": taken.as_json(None),
        "faults": [],
        "nearest": None,
    }


def _head_of(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """What an encoder was trained to say of texts beside its rows."""
    labels = read_labels(checkpoint)
    if labels is None:
        return None
    return {"kind": labels.kind, "labels": list(labels.names), "problem": labels.problem}


def describe(weight: Encoded) -> str:
    """Encoding of a weight with its variant: `dense bfloat16`, `int8 group 32`, `gguf Q4_1`, `int8 group 32, tied`."""
    if isinstance(weight, TiedTable):
        return f"{describe(weight.head)}, tied"
    parts = [weight.kind]
    for attribute in ("dtype", "type_name"):
        value = getattr(weight, attribute, None)
        if isinstance(value, str):
            parts.append(value)
    group = getattr(weight, "group", None)
    if isinstance(group, int):
        parts.append(f"group {group}")
    return " ".join(parts)


def _head(name: str, path: Path, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    model_type = config.get("model_type")
    return {
        "model": name,
        "path": str(path),
        "kind": kind,
        "model_type": model_type if isinstance(model_type, str) else None,
        "quantization": method if isinstance(method, str) else None,
    }


def _look(name: str, revision: str | None, error: HonedError) -> tuple[Path, Looked]:
    """Looks at what readers refused with this error, which is raised again where nothing of a model is there."""
    path = _named_weights(name) or resolve(name, revision).path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what there was to note, readers have noted
        looked = _looked_at(path)
    if looked is None:
        raise error
    told = str(error)
    if not any(_tells(fault, told) for fault in looked.faults):
        looked = replace(looked, faults=[of_error(error), *looked.faults])
    return path, looked


def _named_weights(name: str) -> Path | None:
    """A file of weights that is named itself, which opening refuses."""
    path = Path(name)
    return path if path.suffix in (".safetensors", *PICKLES) and path.is_file() else None


def _looked_at(path: Path) -> Looked | None:
    if path.is_dir():
        from honed.api.inspection.directory import look_at_directory

        return look_at_directory(path)
    if _named_weights(str(path)) is not None:
        from honed.api.inspection.directory import look_at_weights

        return look_at_weights(path)
    from honed.api.inspection.gguf import look_at_file

    return look_at_file(path)


def _tells(fault: Fault, told: str) -> bool:
    """Whether a fault is what an error told of."""
    names = [name for name in (fault.name, *fault.examples) if name]
    by_name = any(all(part in told for part in re.split(r"[.](?=[a-z_]+$)", name)) for name in names)
    return by_name or fault.problem in told


def _of_looked(name: str, path: Path, looked: Looked) -> dict[str, Any]:
    model = looked.model
    sizes: dict[str, Any] = {field: looked.sizes.get(field) for field in _DIMENSIONS}
    if model is not None:
        sizes = {field: getattr(model.dimensions, field) for field in _DIMENSIONS}
    elif not looked.sizes:
        sizes = {field: _stated(looked.config, names) for field, names in _SPELLED.items()}
    count: int | None = parameters(looked.tensors, looked.bits)
    if not looked.tensors:
        count = None if model is None else sum(math.prod(weight.shape) for weight in model.weights().values())
    return {
        **_head(name, path, looked.kind, looked.config),
        "parameters": count,
        "file_bytes": sum(file.stat().st_size for file in looked.files),
        **sizes,
        "encodings": by_encoding(looked.tensors),
        "tensors": [tensor.as_json() for tensor in looked.tensors],
        "runs": False,
        "runs_with": None,
        "head": None,
        "tokenizer": None,
        "tokenizer_problem": None,
        "memory": _memory(looked),
        "faults": [fault.as_json() for fault in looked.faults],
        "nearest": None if looked.nearest is None else looked.nearest.as_json(),
    }


def _memory(looked: Looked) -> dict[str, Any] | None:
    """What it would take if it ran: with its weights as they lie in the file, or of the type that its config names."""
    if looked.model is None:
        return None
    dtype = _dense_type(looked)
    taken = needs_without_weights(looked.model, dtype)
    if taken is None:
        return None
    if looked.tensors and (looked.quantization is not None or looked.kind == "gguf"):
        taken = replace(taken, weights=sum(tensor.nbytes for tensor in looked.tensors))
        return taken.as_json("as they lie in the file")
    return taken.as_json(dtype)


def _dense_type(looked: Looked) -> DenseType:
    """Of its weights if they were read: that of most bytes, or without them that of the config. 16 bits run as
    bfloat16."""
    stated = looked.config.get("dtype", looked.config.get("torch_dtype"))
    if looked.tensors:
        sizes = {kind: entry["bytes"] for kind, entry in by_encoding(looked.tensors).items()}
        stated = max(sizes, key=lambda kind: sizes[kind]).removeprefix("dense ")
    return "float32" if stated == "float32" else "bfloat16"


_SPELLED = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "kv_heads": ("num_key_value_heads", "n_head_kv"),
    "head_dim": ("head_dim",),
    "vocabulary": ("vocab_size",),
    "context": ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "model_max_length"),
}
"""Of a config whose family is not known: how such fields are called."""


def _stated(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    inner = config.get("text_config")
    for values in (config, inner if isinstance(inner, dict) else {}):
        for name in names:
            value = values.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40:
                return value
    return None
