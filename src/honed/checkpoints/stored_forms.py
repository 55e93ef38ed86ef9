"""The weights of a model out of the tensors of files that hold them otherwise (`models/stored.py`).

For every reader of files that honed did not write. Not here: what lies where, which families say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from honed.encodings.base import Encoded
from honed.encodings.rearranged import AddedDense, matrix_of, rearranged
from honed.models.registry import family_of
from honed.models.stored import Forms


def forms_of(config: Mapping[str, Any], source: Path) -> Forms:
    """Of the weights that lie otherwise in the files of transformers. Errors: as `read_model`."""
    family = family_of(config, source)
    return {} if family.stored is None else family.stored(family.read(config, source))


def names_in_model(tensors: Iterable[str], forms: Forms) -> tuple[str, ...]:
    """The names of the weights that are in these tensors."""
    if not forms:
        return tuple(tensors)
    parts: dict[str, list[str]] = {}
    for name, form in forms.items():
        parts.setdefault(form.tensor.name, []).append(name)
    return tuple(name for tensor in tensors for name in parts.get(tensor, [tensor]))


def weight_of(name: str, forms: Forms, read: Callable[[str], Encoded]) -> Encoded:
    """A weight by its name in the model; `read` gives a tensor as it lies, by its own name. Unknown name: KeyError."""
    form = forms.get(name)
    if form is None:
        return read(name)
    weight = read(form.tensor.name)
    if form.matrix is not None:
        weight = matrix_of(weight, form.matrix)
    weight = rearranged(weight, form.rows, transposed=form.transposed)
    return AddedDense(weight, form.added) if form.added else weight
