"""Which tensors a GGUF file of a model has, each in which type, and of which weights it is put together.

A type that is asked for holds for matrices; vectors, biases, routers and positions stay float32, as llama.cpp needs
them. `auto` keeps what each weight is stored as. Not here: their bytes (`tensor_bytes.py`), what codes become
(`encodings/gguf_kept.py`), what the keys say (`model_keys.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from honed.checkpoints.gguf.file_header import WrittenTensor
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.gguf_formats import BlockFormat
from honed.encodings.gguf_kept import kept_format
from honed.encodings.gguf_rounding import BY_NAME
from honed.encodings.tied_table import TiedTable
from honed.errors import UnsupportedError
from honed.lazy_imports import numpy as np
from honed.models.base import Model
from honed.models.family import Family
from honed.models.stored import Stored
from honed.records import dataclass

TensorType = Literal["auto", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "BF16", "F16", "F32"]
TYPES: tuple[TensorType, ...] = get_args(TensorType)
_DENSE = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_LARGEST_FLOAT16 = 65504.0
_CHUNK_VALUES = 1 << 22
_FLOAT32 = ("ffn_gate_inp", "position_embd")
"""Matrices that llama.cpp multiplies with, or adds, as float32 only."""


@dataclass(frozen=True)
class PlannedTensor:
    """pieces: the names of its weights, and how each lies in it. heads: over how many its rows are interleaved. kept:
    the codes of all of its weights go on as they are."""

    written: WrittenTensor
    pieces: tuple[tuple[str, Stored], ...]
    heads: int | None
    kept: bool


def plan_tensors(
    family: Family,
    config: Mapping[str, Any],
    model: Model,
    weight: Callable[[str], Encoded],
    asked: TensorType,
) -> tuple[PlannedTensor, ...]:
    """weight: one by its name in the model. UnsupportedError for a weight that has no name in files."""
    names = family.gguf
    assert names is not None
    forms = {} if names.stored is None else names.stored(model)
    pieces: dict[str, list[tuple[str, Stored]]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, own in model.weights().items():
        form = forms.get(name, Stored(own))
        spelled = _spelled(form.tensor.name, family)
        pieces.setdefault(spelled, []).append((name, form))
        shapes[spelled] = form.tensor.shape
    planned = []
    for spelled, parts in pieces.items():
        found, kept = _format(spelled, shapes[spelled], parts, weight, asked)
        field = names.interleaved.get(spelled.split(".")[2]) if spelled.startswith("blk.") else None
        heads = None if field is None else int(config.get(field) or model.dimensions.heads)
        planned.append(PlannedTensor(WrittenTensor(spelled, shapes[spelled], found), tuple(parts), heads, kept))
    return tuple(planned)


def _format(
    spelled: str,
    shape: tuple[int, ...],
    parts: list[tuple[str, Stored]],
    weight: Callable[[str], Encoded],
    asked: TensorType,
) -> tuple[BlockFormat, bool]:
    if len(shape) == 1 or spelled.endswith(".bias") or any(f".{name}." in f".{spelled}" for name in _FLOAT32):
        return BY_NAME["F32"], False
    weights = [weight(name) for name, _ in parts]
    as_it_lies = not any(form.transposed or form.added for _, form in parts)
    formats = {kept_format(one) for one in weights} if as_it_lies else {None}
    only = next(iter(formats)) if len(formats) == 1 else None
    if only is not None and asked in ("auto", only.name):
        return only, True
    if asked == "auto":
        dtypes = {_floats(one) for one in weights}
        return BY_NAME["F32" if "F32" in dtypes else next(iter(dtypes)) if len(dtypes) == 1 else "BF16"], False
    if asked == "Q4_K" and shape[-1] % BY_NAME[asked].values:
        asked = "Q4_1"  # a scale and a minimum of each 32 values too, of 16 bits
    if asked.startswith("Q") and shape[-1] % BY_NAME[asked].values:
        return BY_NAME["BF16"], False
    return BY_NAME[asked], False


def _floats(weight: Encoded) -> str:
    """The type of a weight that is decoded. Of a table that its head was smoothed apart from float16, if it fits: that
    has eight times the digits of bfloat16, and every token goes through it."""
    if isinstance(weight, Dense):
        return _DENSE[weight.dtype]
    if not isinstance(weight, TiedTable):
        return "BF16"
    step = max(1, _CHUNK_VALUES // weight.shape[1])
    parts = (weight.decode(slice(first, first + step)) for first in range(0, weight.shape[0], step))
    return "F16" if max(float(np.abs(part).max()) for part in parts) <= _LARGEST_FLOAT16 else "BF16"


def _spelled(name: str, family: Family) -> str:
    """The name in the file."""
    assert family.gguf is not None
    if name.startswith(family.layer_prefix):
        number, _, rest = name.removeprefix(family.layer_prefix).partition(".")
        module, _, kind = rest.rpartition(".")
        for part, ours in family.gguf.layer_tensors.items():
            if ours == module:
                return f"blk.{number}.{part}.{kind}"
    for spelled, ours in family.gguf.tensors.items():
        if ours == name:
            return spelled
    raise UnsupportedError(
        f"{name}: a GGUF file of {family.gguf.architecture} has no such tensor; it can be written as safetensors only"
    )
