"""All the schemes that there are: the one list that a new encoding is added to, and what goes by it.

What a scheme is, is in `descriptor.py`; each stands in the file of its encoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.encodings.base import Encoded
from honed.encodings.codebook import CodebookScheme
from honed.encodings.dense import DenseScheme
from honed.encodings.descriptor import Scheme, Storable
from honed.encodings.groups import Group
from honed.encodings.int4 import Int4Scheme
from honed.encodings.int8 import Int8Scheme
from honed.encodings.sparse import SparseScheme
from honed.errors import ParameterError

__all__ = [
    "SCHEMES",
    "CodebookScheme",
    "DenseScheme",
    "Group",
    "Int4Scheme",
    "Int8Scheme",
    "Scheme",
    "SparseScheme",
    "becomes",
    "from_json",
    "scheme_of",
    "storable",
    "to_json",
]

_ALL: tuple[type[Scheme], ...] = (DenseScheme, Int8Scheme, Int4Scheme, CodebookScheme, SparseScheme)
SCHEMES: Mapping[str, type[Scheme]] = {scheme.name: scheme for scheme in _ALL}
"""By the name of the encoding."""


def storable(weight: Encoded) -> Storable:
    """The weight, if an artifact may have it. TypeError for what only a source file has (gguf)."""
    if not isinstance(weight, Storable):
        raise TypeError(f"no scheme describes the encoding {weight.kind}")
    return weight


def scheme_of(weight: Encoded) -> Scheme:
    """The scheme of an encoded weight. TypeError as `storable`."""
    return storable(weight).scheme


def becomes(announced: Scheme, found: Scheme) -> bool:
    """Whether a weight that was announced with the one scheme may have the other. They are equal, but for the table of
    a codebook that was to be learned."""
    return found.is_announced_by(announced) if isinstance(found, CodebookScheme) else found == announced


def to_json(scheme: Scheme) -> dict[str, Any]:
    """Plain values, for a manifest."""
    return {"encoding": scheme.name, **scheme.as_json()}


def from_json(value: Mapping[str, Any]) -> Scheme:
    """The inverse of `to_json`. ParameterError names the field that is wrong."""
    encoding = value.get("encoding")
    if not isinstance(encoding, str) or encoding not in SCHEMES:
        *first, last = SCHEMES
        raise ParameterError("encoding", encoding, f"must be {', '.join(first)} or {last}")
    return SCHEMES[encoding].from_json(value)
