"""What the files of a checkpoint hold by their headers alone, whether or not anything here reads it.

Here: tensors with their types and sizes, what they count for as parameters, and how they differ from those that a model
needs. Not here: which files there are (`directory.py`, `gguf.py`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from honed.api.inspection.faults import Fault, about_tensors
from honed.models.base import Model
from honed.models.stored import Forms

MOST_EXPERTS = 100_000
"""Experts of all layers together, of which a config alone may make weights: as many tensors may a file have."""
_DENSE = {"F32": "dense float32", "F16": "dense float16", "BF16": "dense bfloat16"}
_BESIDE = (
    *(".scales", ".qzeros", ".g_idx", ".weight_scale", ".weight_scale_inv", ".weight_zero_point", ".weight_shape"),
    *(".weight_g_idx", ".input_scale", ".absmax", ".nested_absmax", ".quant_map", ".nested_quant_map", "_scales"),
    *(".weight_global_scale", ".input_global_scale", ".SCB", ".weight_format"),
)
"""Ends of names of what says how to decode a weight, and is no parameter itself."""
_WORDS = (".qweight", ".weight_packed")
"""Ends of names of codes that several of share a word."""


@dataclass(frozen=True)
class Tensor:
    """One tensor as a header describes it. type: its name in that kind of file. encoding: as people read it."""

    name: str
    shape: tuple[int, ...]
    type: str
    nbytes: int
    encoding: str

    def as_json(self) -> dict[str, object]:
        return {"name": self.name, "shape": list(self.shape), "encoding": self.encoding, "bytes": self.nbytes}


def safetensors_tensor(name: str, shape: tuple[int, ...], dtype: str, nbytes: int) -> Tensor:
    """A tensor of a safetensors file."""
    return Tensor(name, shape, dtype, nbytes, _DENSE.get(dtype, dtype))


def is_float(tensor: Tensor) -> bool:
    """Whether a tensor of a safetensors file is of a type that weights are read in."""
    return tensor.type in _DENSE


def logical_shapes(tensors: Mapping[str, Tensor], *, quantized: bool) -> dict[str, tuple[int, ...] | None]:
    """The weights that tensors stand for, by name; None for one whose shape its codes do not say."""
    if not quantized:
        return {name: tensor.shape for name, tensor in tensors.items()}
    found: dict[str, tuple[int, ...] | None] = {}
    for name, tensor in tensors.items():
        words = next((end for end in _WORDS if name.endswith(end)), None)
        if words is not None:
            found[f"{name.removesuffix(words)}.weight"] = None
        elif not name.endswith(_BESIDE) and ".quant_state." not in name:
            found[name] = tensor.shape if is_float(tensor) or tensor.type.startswith("F8") else None
    return found


def parameters(tensors: Iterable[Tensor], bits: int = 4) -> int:
    """Weights that the tensors stand for. bits: of a code, where several share a word of 32."""
    total = 0
    for tensor in tensors:
        if tensor.name.endswith(_BESIDE) or ".quant_state." in tensor.name:
            continue
        count = math.prod(tensor.shape)
        if tensor.name.endswith(_WORDS) and tensor.type in ("I32", "U32"):
            count = count * 32 // bits
        elif tensor.type == "F4" or (tensor.type == "U8" and tensor.name.endswith(("_blocks", ".weight"))):
            count *= 1 if tensor.type == "F4" else 2  # two codes of four bits in a byte
        total += count
    return total


def by_encoding(tensors: Iterable[Tensor]) -> dict[str, dict[str, int]]:
    """How many tensors, and bytes, there are of each encoding."""
    found: dict[str, dict[str, int]] = {}
    for tensor in tensors:
        entry = found.setdefault(tensor.encoding, {"tensors": 0, "bytes": 0})
        entry["tensors"] += 1
        entry["bytes"] += tensor.nbytes
    return dict(sorted(found.items()))


def is_too_many(model: Model) -> bool:
    """Whether a config describes more weights than files can hold, so that they should not even be counted."""
    experts = getattr(getattr(model, "experts", None), "count", 1)
    return int(model.dimensions.layers) * int(experts) > MOST_EXPERTS


def needed_shapes(model: Model, forms: Forms) -> dict[str, tuple[int, ...]]:
    """The tensors that files of a model hold, by name."""
    weights = model.weights()
    tensors = [forms[name].tensor if name in forms else weight for name, weight in weights.items()]
    return {tensor.name: tensor.shape for tensor in tensors}


def compare(
    needed: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...] | None], spelled: Mapping[str, str]
) -> list[Fault]:
    """What is missing or has another shape. found: None where the shape cannot be told. spelled: what the file would
    call a tensor, where that is not its name in the model."""
    missing = [spelled.get(name, name) for name in needed if name not in found]
    faults = about_tensors("missing", missing, "the model needs it, and no file holds it")
    wrong: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for name, shape in needed.items():
        there = found.get(name)
        if there is not None and tuple(there) != tuple(shape):
            wrong.setdefault((tuple(there), tuple(shape)), []).append(spelled.get(name, name))
    for (there, shape), names in wrong.items():
        faults += about_tensors("shape", names, f"has shape {there}; the config describes {shape}")
    return faults


def superfluous(names: Collection[str], problem: str) -> list[Fault]:
    """Tensors that a model has no place for."""
    return about_tensors("superfluous", names, problem)
