"""Which family an unknown model is most like, by the names of its tensors, and in what it differs from that.

Names are compared by what they are in every layer. It is a hint to who wants to know what a model would need: nothing
says that a model with the same tensors computes the same. Not here: what is wrong with a model of a known family.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from honed.api.inspection.faults import patterns
from honed.api.inspection.tensors import needed_shapes
from honed.models.family import Family
from honed.models.layers import HEAD
from honed.models.registry import FAMILIES
from honed.models.samples import sample_configs

LEAST = 0.3
"""Of the names of both that are the same, at least, for a family to be worth naming."""
_SHOWN = 24
_OPTIONAL = frozenset({HEAD, "output.weight"})
_BLOCK = re.compile(r"blk\.[0-9]+\.(.+)\.(?:weight|bias)")


@dataclass(frozen=True)
class Nearest:
    """A family; the patterns of names that it has not, with how many tensors each, and those that only it has."""

    family: Family
    not_known: Mapping[str, int]
    lacking: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "model_type": self.family.model_type,
            "not_known": dict(list(self.not_known.items())[:_SHOWN]),
            "lacking": list(self.lacking[:_SHOWN]),
        }


def nearest(names: Iterable[str]) -> Nearest | None:
    """Of tensors of safetensors files. None where no family is much like it."""
    return _best(patterns(names), _of_transformers())


def nearest_gguf(names: Iterable[str]) -> Nearest | None:
    """Of tensors of a GGUF file."""
    found: dict[str, list[str]] = {}
    for name in names:
        match = _BLOCK.fullmatch(name)
        found.setdefault(match[1] if match else name, []).append(name)
    return _best(found, _of_gguf())


@dataclass(frozen=True)
class _Names:
    """The names of the tensors of each sample of a family."""

    samples: tuple[frozenset[str], ...]

    def alike(self, there: frozenset[str]) -> float:
        """Of the names that are in one or the other, the part that is in both, by the sample that is most like it. A
        head may be tied in any family."""
        found = there - _OPTIONAL
        return max(len(found & names) / len(found | (names - _OPTIONAL)) for names in self.samples)

    @property
    def required(self) -> frozenset[str]:
        return frozenset.intersection(*self.samples) - _OPTIONAL

    @property
    def possible(self) -> frozenset[str]:
        return frozenset.union(*self.samples) | _OPTIONAL


def _best(found: Mapping[str, list[str]], known: Mapping[str, _Names]) -> Nearest | None:
    there = frozenset(found)
    model_type, names = max(known.items(), key=lambda item: item[1].alike(there))
    if names.alike(there) < LEAST:
        return None
    more = {pattern: len(found[pattern]) for pattern in sorted(there - names.possible)}
    return Nearest(FAMILIES[model_type], more, tuple(sorted(names.required - there)))


@cache
def _of_transformers() -> dict[str, _Names]:
    found = {}
    for model_type, family in FAMILIES.items():
        each = []
        for config in sample_configs(family):
            model = family.read(config, "sample")
            forms = family.stored(model) if family.stored is not None else {}
            each.append(frozenset(patterns(needed_shapes(model, forms))))
        if each:
            found[model_type] = _Names(tuple(each))
    return found


@cache
def _of_gguf() -> dict[str, _Names]:
    return {
        model_type: _Names((frozenset({*family.gguf.tensors, *family.gguf.layer_tensors}),))
        for model_type, family in FAMILIES.items()
        if family.gguf is not None
    }
