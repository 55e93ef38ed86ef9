"""Whether who reads a GGUF file takes it for the model that it was made of.

Both are recorded, and their graphs compared op by op: so what no key says, and what a reader takes for granted, is
refused by name before any weight is written. Numbers may differ as float32 does, in which files hold them.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from honed.errors import UnsupportedError, quoted
from honed.models.base import Model
from honed.models.recorded import main_graph

_CLOSE = 2e-6
"""Relative: a few roundings to float32."""


def check_same(model: Model, read: Model, architecture: str) -> None:
    """UnsupportedError naming what differs first. model: the one to be written; read: as the file says it."""
    ours, theirs = main_graph(model).statements, main_graph(read).statements
    found = _difference("", model.dimensions, read.dimensions)
    for one, other in zip(ours, theirs, strict=False):
        if found is not None:
            break
        name = type(one.operation).__name__.lower()
        if type(one.operation) is not type(other.operation):
            found = "an op", name, type(other.operation).__name__.lower()
        else:
            found = _difference(name, one.operation, other.operation)
    if found is None and len(ours) != len(theirs):
        found = "ops", str(len(ours)), str(len(theirs))
    if found is not None:
        what, own, said = found
        raise UnsupportedError(
            f"{what.lstrip('.')}: is {own}, and readers of a GGUF file of {architecture} take it for {said}: the "
            "format has no key for this"
        )


def _difference(path: str, one: Any, other: Any) -> tuple[str, str, str] | None:
    """Where two values differ, and both as they are shown."""
    if isinstance(one, float) and isinstance(other, float):
        same = math.isclose(one, other, rel_tol=_CLOSE)
        return None if same else (path, f"{one:g}", f"{other:g}")
    if type(one) is not type(other):
        return path, quoted(one), quoted(other)
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        parts = [(f"{path}.{part.name}", getattr(one, part.name), getattr(other, part.name)) for part in _fields(one)]
    elif isinstance(one, tuple) and len(one) == len(other):
        parts = [(path, mine, said) for mine, said in zip(one, other, strict=True)]
    else:
        return None if one == other else (path, quoted(one), quoted(other))
    return next((found for found in (_difference(*part) for part in parts) if found is not None), None)


def _fields(value: Any) -> tuple[Any, ...]:
    return dataclasses.fields(value)
