"""Rounds a weight into a scheme: which encoder makes what, by the name of the encoding.

The encoders are in files of their own; they compute with numpy, and whoever only reads does without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.codebook import Codebook, CodebookScheme
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.codebook_fit import fit_table
from honed.encodings.descriptor import Scheme, Storable
from honed.encodings.grouping import Importance
from honed.encodings.int4 import Int4, Int4Scheme
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8 import Int8, Int8Scheme
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.sparse import Sparse, SparseScheme, leave_out
from honed.encodings.weight_only import WeightOnly


def encode(
    weight: Encoded,
    scheme: Scheme,
    *,
    name: str,
    search: bool = True,
    importance: Importance | None = None,
    threads: int = 1,
) -> Storable:
    """The weight in an encoding of integers; `search` for the scale of least error, where there is a choice. An error
    counts by the `importance` of its input. Codes of a source that the scheme can hold are kept as they are, and a
    codebook without a table gets the one that fits this weight best.

    Errors name the weight: UnsupportedError for NaN, infinity, magnitudes beyond the scales, for what is no matrix, and
    for too few zeros where they are left out. TypeError for a scheme that nothing is rounded into (dense).
    """
    if scheme.name not in _ENCODERS:
        raise TypeError(f"{name}: nothing is rounded to {scheme}")
    kept = weight.kept(scheme) if isinstance(weight, WeightOnly) else None
    if kept is not None:
        return kept
    return _ENCODERS[scheme.name](weight, scheme, name=name, search=search, importance=importance, threads=threads)


class _Encoder(Protocol):
    def __call__(
        self, weight: Encoded, scheme: Any, /, *, name: str, search: bool, importance: Importance | None, threads: int
    ) -> Storable: ...


def _int8(
    weight: Encoded, scheme: Int8Scheme, *, name: str, search: bool, importance: Importance | None, threads: int
) -> Int8:
    activation = ActivationScales(scheme.activation_group)
    return encode_int8(weight, name=name, group=scheme.group, activation=activation, threads=threads)


def _int4(
    weight: Encoded, scheme: Int4Scheme, *, name: str, search: bool, importance: Importance | None, threads: int
) -> Int4:
    return encode_int4(
        weight,
        name=name,
        group=scheme.group,
        offset=scheme.offset,
        search=search,
        importance=importance,
        activation=ActivationScales(scheme.activation_group),
        threads=threads,
    )


def _codebook(
    weight: Encoded, scheme: CodebookScheme, *, name: str, search: bool, importance: Importance | None, threads: int
) -> Codebook:
    table = scheme.table
    if table is None:
        table = fit_table([weight], scheme.group, name=name, importance=importance)
    return encode_codebook(
        weight,
        name=name,
        table=table,
        group=scheme.group,
        search=search,
        importance=importance,
        activation=ActivationScales(scheme.activation_group),
        threads=threads,
    )


def _sparse(
    weight: Encoded, scheme: SparseScheme, *, name: str, search: bool, importance: Importance | None, threads: int
) -> Sparse:
    activation = ActivationScales(scheme.activation_group)
    dense = encode_int8(weight, name=name, group=scheme.group, activation=activation, threads=threads)
    return leave_out(dense, scheme.share, name=name)


_ENCODERS: Mapping[str, _Encoder] = {
    Int8Scheme.name: _int8,
    Int4Scheme.name: _int4,
    CodebookScheme.name: _codebook,
    SparseScheme.name: _sparse,
}
