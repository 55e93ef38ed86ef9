"""Rotary embeddings as configs describe them: base, and the scaling that stretches them to longer contexts.

Reads both forms that checkpoints carry: `rope_parameters` (transformers 5), and `rope_theta` with `rope_scaling`
(before). GGUF files may carry finished per-frequency divisors instead, `rope_frequency_factors`.
Not here: applying the rotation, which is an op.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence

from honed.errors import UnsupportedError
from honed.models.config import MAX_CONTEXT, Fields
from honed.ops.table import Rotary

Frequencies = Sequence[float]
"""Of each pair of a head."""


def read_rotary(fields: Fields, head_dim: int) -> Rotary:
    """The rotation over the whole of a head. Unknown kinds of scaling: UnsupportedError naming those that are known."""
    parameters = fields.nested("rope_parameters")
    scaling = parameters or fields.nested("rope_scaling") or Fields({}, fields.source)
    kind = scaling.text("rope_type", default=scaling.text("type", default="default"))
    if kind not in SCALINGS:
        raise UnsupportedError(
            f"{fields.source}: {scaling.prefix}rope_type {kind!r} is not supported; supported are {', '.join(SCALINGS)}"
        )
    for place in (fields, scaling):
        if place.number("partial_rotary_factor", 0.0, 1.0, default=1.0) != 1.0:
            raise UnsupportedError(
                f"{fields.source}: {place.prefix}partial_rotary_factor "
                f"{place.values['partial_rotary_factor']} is not supported; supported is 1"
            )
    theta_default = fields.number("rope_theta", 1e-3, 1e12, default=10000.0)
    theta = scaling.number("rope_theta", 1e-3, 1e12, default=theta_default)
    base = [theta ** (-feature / head_dim) for feature in range(0, head_dim, 2)]
    factors = _frequency_factors(fields, head_dim // 2)
    scaled = [value / factor for value, factor in zip(SCALINGS[kind](base, scaling), factors, strict=True)]
    return Rotary(tuple(array("f", scaled)))  # rounded to float32


def _default(base: Frequencies, scaling: Fields) -> Frequencies:
    return base


def _linear(base: Frequencies, scaling: Fields) -> Frequencies:
    """Position interpolation (Chen et al. 2023): every position is divided by the factor."""
    factor = scaling.number("factor", 1e-3, 1e6)
    return [value / factor for value in base]


def _llama3(base: Frequencies, scaling: Fields) -> Frequencies:
    """Llama 3.1: long wavelengths are divided by the factor, short ones kept, those between blended smoothly."""
    factor = scaling.number("factor", 1e-3, 1e6)
    low = scaling.number("low_freq_factor", 0.0, 1e6)
    high = scaling.number("high_freq_factor", 0.0, 1e6)
    if high <= low:
        raise scaling.wrong("high_freq_factor", f"must be over low_freq_factor {low:g}")
    original = scaling.integer("original_max_position_embeddings", 1, MAX_CONTEXT)

    def scaled(value: float) -> float:
        wavelength = 2 * math.pi / value
        smooth = min(max((original / wavelength - low) / (high - low), 0.0), 1.0)
        return (1 - smooth) * value / factor + smooth * value

    return [scaled(value) for value in base]


SCALINGS: dict[str, Callable[[Frequencies, Fields], Frequencies]] = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
}


def _frequency_factors(fields: Fields, count: int) -> Frequencies:
    given = fields.values.get("rope_frequency_factors")
    if given is None:
        return [1.0] * count
    expected = f"must be {count} positive numbers"
    if not isinstance(given, list | tuple) or len(given) != count:
        raise fields.wrong("rope_frequency_factors", expected)
    if not all(isinstance(value, int | float) and math.isfinite(value) and value > 0 for value in given):
        raise fields.wrong("rope_frequency_factors", expected)
    return [float(value) for value in given]
