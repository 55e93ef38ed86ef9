"""Integer codes whose makers measured them with activations in full precision: GPTQ, AWQ and the like.

Such a weight is multiplied as what it decodes to, since int8 in front of it would make another model than was
published. Whoever compresses it says what is in front of it, and then the codes can be kept as they are: `kept`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales
from honed.encodings.descriptor import Scheme, Storable
from honed.encodings.groups import count_groups
from honed.encodings.int4 import Int4, Int4Scheme, Offset
from honed.encodings.int8 import Int8, Int8Scheme


@dataclass(frozen=True, eq=False)
class WeightOnly:
    """`stored`: the weight as integers, whose activation scales say nothing here."""

    stored: Int4 | Int8

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    @property
    def nbytes(self) -> int:
        return self.stored.nbytes

    @property
    def kind(self) -> str:
        return self.stored.kind

    @property
    def int4_offset(self) -> Offset:
        """The offset with which int4 groups come nearest to the grid that these values already lie on."""
        return self.stored.offset if isinstance(self.stored, Int4) else "zero_point"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return self.stored.decode(rows)

    def floats(self) -> Mapping[str, NDArray[Any]]:
        return self.stored.floats()

    def kept(self, scheme: Scheme) -> Storable | None:
        """The same codes in a scheme, None where it cannot hold them. Groups may become smaller ones, which repeat
        their scales, and a symmetric grid may have its zero point written out: no value changes."""
        if isinstance(scheme, Int4Scheme) and isinstance(self.stored, Int4):
            return _kept_int4(self.stored, scheme)
        if isinstance(scheme, Int8Scheme) and isinstance(self.stored, Int8):
            return _kept_int8(self.stored, scheme)
        return None


def _kept_int4(stored: Int4, scheme: Int4Scheme) -> Int4 | None:
    if stored.group % scheme.group:
        return None
    offsets: NDArray[Any] | None = stored.offsets
    if stored.offset == "symmetric" and scheme.offset == "zero_point":
        offsets = np.full(stored.scales.shape, 8, np.uint8)
    elif stored.offset != scheme.offset:
        return None
    repeats, groups = stored.group // scheme.group, count_groups(stored.shape[1], scheme.group)
    return Int4(
        stored.codes,
        _repeated(stored.scales, repeats, groups),
        None if offsets is None else _repeated(offsets, repeats, groups),
        scheme.group,
        ActivationScales(scheme.activation_group),
    )


def _kept_int8(stored: Int8, scheme: Int8Scheme) -> Int8 | None:
    activation = ActivationScales(scheme.activation_group)
    if stored.group is None or scheme.group is None:
        return replace(stored, activation=activation) if stored.group == scheme.group else None
    if stored.group % scheme.group:
        return None
    groups = count_groups(stored.shape[1], scheme.group)
    scales: NDArray[Any] = _repeated(stored.scales, stored.group // scheme.group, groups)
    return Int8(stored.codes, scales, scheme.group, activation)


def _repeated(values: NDArray[Any], times: int, groups: int) -> NDArray[Any]:
    return np.ascontiguousarray(np.repeat(values, times, axis=1)[:, :groups])
