"""Rotary embeddings as configs describe them: base, and the scaling that stretches them to longer contexts.

Reads both forms that checkpoints carry: `rope_parameters` (transformers 5), and `rope_theta` with `rope_scaling`
(before). GGUF files may carry finished per-frequency divisors beside them, `rope_frequency_factors`.

`dynamic` and `longrope` rotate a sequence by how long it has become: transformers turns what comes from then on, and
keys that are cached keep the rotation that they had, so its answers depend on how a text was cut into calls. Here the
context ends where that would begin (`models/config.py`), and up to there both are as in transformers, to the bit. A
config whose longrope has the long divisors in place of the short ones too has nothing that would begin: its context is
the whole one, and every sequence is rotated as long ones are.
Not here: applying the rotation, which is an op.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence

from honed.errors import FormatError, UnsupportedError, quoted
from honed.models.config import MAX_CONTEXT, Fields, original_context, rope_fields, rope_kind
from honed.ops.values import Rotary
from honed.records import dataclass

Frequencies = Sequence[float]
"""Of each pair of a head."""
Scaled = tuple[Frequencies, float]
"""And what cos and sin are multiplied by."""


@dataclass(frozen=True)
class _Plain:
    """The rotation before it is scaled: theta ** (-2 i / head_dim) for pair i."""

    theta: float
    head_dim: int
    fields: Fields
    scaling: Fields

    @property
    def frequencies(self) -> Frequencies:
        return [self.theta ** (-feature / self.head_dim) for feature in range(0, self.head_dim, 2)]

    @property
    def context(self) -> int:
        return self.fields.integer("max_position_embeddings", 1, MAX_CONTEXT, default=2048)


def read_rotary(fields: Fields, head_dim: int, *, partial: float | None = None, interleaved: bool = False) -> Rotary:
    """The rotation of heads. Unknown kinds of scaling: UnsupportedError naming those that are known.

    `partial` is the part of a head that a family rotates where its config has no partial_rotary_factor; None says that
    it always rotates whole heads, and another factor is an UnsupportedError. `interleaved`: pairs are neighbours.
    """
    scaling = rope_fields(fields)
    kind = rope_kind(scaling)
    if kind not in SCALINGS:
        raise UnsupportedError(
            f"{fields.source}: {scaling.prefix}rope_type {quoted(kind)} is not supported; "
            f"supported are {', '.join(SCALINGS)}"
        )
    if kind != "proportional":
        head_dim = _rotated_width(fields, scaling, head_dim, partial)
    theta_default = fields.number("rope_theta", 1e-3, 1e12, default=10000.0)
    theta = scaling.number("rope_theta", 1e-3, 1e12, default=theta_default)
    _refuse_another_base(fields, theta)
    scaled, attention_factor = SCALINGS[kind](_Plain(theta, head_dim, fields, scaling))
    factors = _factors(fields, "rope_frequency_factors", head_dim // 2, required=False)
    divided = [value / factor for value, factor in zip(scaled, factors, strict=True)]
    return Rotary(tuple(array("f", divided)), attention_factor, interleaved)  # rounded to float32


def _rotated_width(fields: Fields, scaling: Fields, head_dim: int, partial: float | None) -> int:
    """Features of a head that are rotated: the first ones."""
    own = partial if partial is not None else 1.0
    factor = fields.number("partial_rotary_factor", 0.0, 1.0, default=own)
    factor = scaling.number("partial_rotary_factor", 0.0, 1.0, default=factor)
    if partial is None and factor != 1.0:
        place = scaling if scaling.values.get("partial_rotary_factor") is not None else fields
        raise UnsupportedError(
            f"{fields.source}: {place.prefix}partial_rotary_factor {factor} is not supported; supported is 1"
        )
    width = int(head_dim * factor)
    if width < 2 or width % 2:
        raise FormatError(
            fields.source, "partial_rotary_factor", f"gives {width} of head_dim {head_dim}: must be even and at least 2"
        )
    return width


def _refuse_another_base(fields: Fields, theta: float) -> None:
    """Where a config has both forms, the older one counts in transformers, and the base of the other is lost there."""
    older, newer = fields.nested("rope_scaling"), fields.nested("rope_parameters")
    if older is None or not older.values or newer is None:
        return
    if newer.number("rope_theta", 1e-3, 1e12, default=theta) != theta:
        raise newer.wrong(
            "rope_theta", f"rope_scaling stands beside it and counts, with a base of {theta:g}: leave one of them out"
        )


def _default(plain: _Plain) -> Scaled:
    return plain.frequencies, 1.0


def _linear(plain: _Plain) -> Scaled:
    """Position interpolation (Chen et al. 2023): every position is divided by the factor."""
    factor = plain.scaling.number("factor", 1e-3, 1e6)
    return [value / factor for value in plain.frequencies], 1.0


def _proportional(plain: _Plain) -> Scaled:
    """Whole heads, of whose pairs the last ones do not turn; the others turn as if all did."""
    part = plain.fields.number("partial_rotary_factor", 0.0, 1.0, default=1.0)
    part = plain.scaling.number("partial_rotary_factor", 0.0, 1.0, default=part)
    factor = plain.scaling.number("factor", 1e-3, 1e6, default=1.0)
    turning = int(part * plain.head_dim // 2)
    frequencies = plain.frequencies
    return [value / factor if pair < turning else 0.0 for pair, value in enumerate(frequencies)], 1.0


def _dynamic(plain: _Plain) -> Scaled:
    """Dynamic NTK: a base that grows with the sequence, from max_position_embeddings on, where the context ends."""
    plain.scaling.number("factor", 1e-3, 1e6)
    if plain.scaling.values.get("alpha") is not None:
        raise UnsupportedError(
            f"{plain.fields.source}: {plain.scaling.prefix}alpha {quoted(plain.scaling.values['alpha'])}: "
            "scaling by a fixed alpha is not supported; supported is dynamic scaling by factor"
        )
    return plain.frequencies, 1.0


def _llama3(plain: _Plain) -> Scaled:
    """Llama 3.1: long wavelengths are divided by the factor, short ones kept, those between blended smoothly."""
    scaling = plain.scaling
    factor = scaling.number("factor", 1e-3, 1e6)
    low = scaling.number("low_freq_factor", 0.0, 1e6)
    high = scaling.number("high_freq_factor", 0.0, 1e6)
    if high <= low:
        raise scaling.wrong("high_freq_factor", f"must be over low_freq_factor {low:g}")
    original = original_context(plain.fields, scaling)

    def scaled(value: float) -> float:
        wavelength = 2 * math.pi / value
        smooth = min(max((original / wavelength - low) / (high - low), 0.0), 1.0)
        return (1 - smooth) * value / factor + smooth * value

    return [scaled(value) for value in plain.frequencies], 1.0


def _yarn(plain: _Plain) -> Scaled:
    """YaRN (Peng et al. 2023): pairs that turn less than beta_slow times in the original context are divided by the
    factor, those that turn more than beta_fast times kept, those between blended; cos and sin grow a little."""
    scaling, dim = plain.scaling, plain.head_dim
    original = original_context(plain.fields, scaling)
    factor = scaling.number("factor", 1e-3, 1e6, default=plain.context / original)
    fast = _positive_or(scaling, "beta_fast", 32.0)
    slow = _positive_or(scaling, "beta_slow", 1.0)
    if plain.theta <= 1.0:
        raise scaling.wrong("rope_type", f"yarn needs a rope_theta over 1, and it is {plain.theta:g}")

    def pair_that_turns(turns: float) -> float:
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(plain.theta))

    low, high = pair_that_turns(fast), pair_that_turns(slow)
    if scaling.boolean("truncate", default=True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    width = high - low if high != low else 0.001

    def scaled(pair: int, value: float) -> float:
        interpolated = min(max((pair - low) / width, 0.0), 1.0)
        return value / factor * interpolated + value * (1 - interpolated)

    frequencies = [scaled(pair, value) for pair, value in enumerate(plain.frequencies)]
    return frequencies, _yarn_attention(scaling, factor)


def _yarn_attention(scaling: Fields, factor: float) -> float:
    if scaling.values.get("attention_factor") is not None:
        return scaling.number("attention_factor", 0.0, 1e6)
    own, all_pairs = _optional(scaling, "mscale"), _optional(scaling, "mscale_all_dim")
    if own and all_pairs:
        return _mscale(factor, own) / _mscale(factor, all_pairs)
    return _mscale(factor, 1.0)


def _mscale(factor: float, weight: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def _longrope(plain: _Plain) -> Scaled:
    """LongRoPE (Ding et al. 2024): a divisor for each pair. The context ends where the long ones would begin."""
    scaling = plain.scaling
    original = original_context(plain.fields, scaling)
    short = _factors(scaling, "short_factor", plain.head_dim // 2)
    _factors(scaling, "long_factor", plain.head_dim // 2)  # a config that lies is refused
    frequencies = [value / divisor for value, divisor in zip(plain.frequencies, short, strict=True)]
    if scaling.values.get("attention_factor") is not None:
        return frequencies, scaling.number("attention_factor", 0.0, 1e6)
    factor = scaling.number("factor", 1e-3, 1e6, default=plain.context / original)
    if factor <= 1.0:
        return frequencies, 1.0
    if original == 1:
        raise scaling.wrong("original_max_position_embeddings", "must be over 1 without an attention_factor")
    return frequencies, math.sqrt(1 + math.log(factor) / math.log(original))


SCALINGS: dict[str, Callable[[_Plain], Scaled]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
    "proportional": _proportional,
}


def _optional(scaling: Fields, name: str) -> float:
    """0 where it is missing, null or 0, which mean the same."""
    return scaling.number(name, 0.0, 1e6) if scaling.values.get(name) else 0.0


def _positive_or(scaling: Fields, name: str, otherwise: float) -> float:
    return scaling.number(name, 0.0, 1e6) if scaling.values.get(name) else otherwise


def _factors(fields: Fields, name: str, count: int, *, required: bool = True) -> Frequencies:
    given = fields.values.get(name)
    if given is None and not required:
        return [1.0] * count
    expected = f"must be {count} positive numbers"
    if not isinstance(given, list | tuple) or len(given) != count:
        raise fields.wrong(name, expected)
    for value in given:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value <= 1e30:
            raise fields.wrong(name, expected)
    return [float(value) for value in given]
