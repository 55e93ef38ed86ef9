"""How a GGUF file says that a rotation is stretched, as the `rope_scaling` of a Hugging Face config.

The meaning of the keys is that of llama.cpp. Not here: what the scaling does (`models/rope_scaling.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.gguf.keys import Keys
from honed.checkpoints.gguf.names import LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS
from honed.errors import FormatError, UnsupportedError, quoted

_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""Of every Llama 3.1, 3.2 and 3.3 release; only the factor differs."""
_UNNAMED_LONGROPE = ("phi3",)
"""Their converter leaves out the name of the scaling: the tensors with its divisors say it."""
_KINDS = ("none", "linear", "yarn", "longrope")


def rope_scaling(keys: Keys, head_dim: int, theta: float, factors: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """The fields of a config that say how the rotation is stretched, none where it is not.

    Errors: FormatError for factors that do not fit, UnsupportedError for kinds that are not known here.
    """
    path = keys.metadata.path
    _refuse_sections(keys, theta)
    for name, values in factors.items():
        if values.shape != (head_dim // 2,) or not np.all(np.isfinite(values) & (values > 0)):
            raise FormatError(path, name, f"must be {head_dim // 2} positive numbers")
    named = keys.metadata.text(keys.name("rope.scaling.type"))
    if named is None and keys.architecture in _UNNAMED_LONGROPE and SHORT_FACTORS in factors:
        named = "longrope"
    kind = named or "linear"  # llama.cpp's default, of factor 1
    if kind not in _KINDS:
        raise UnsupportedError(
            f"{path}: {keys.name('rope.scaling.type')} {quoted(kind)} is not supported; "
            f"supported are {', '.join(_KINDS)}"
        )
    scaling = _scaling(keys, kind, factors)
    divisors = factors.get(ROPE_FACTORS)
    if divisors is None:
        return {"rope_scaling": scaling} if scaling else {}
    if not scaling and (llama3 := _as_llama3(divisors, head_dim, theta)):
        return {"rope_scaling": llama3}
    found: dict[str, Any] = {"rope_frequency_factors": tuple(float(value) for value in divisors)}
    return found | ({"rope_scaling": scaling} if scaling else {})


def _refuse_sections(keys: Keys, theta: float) -> None:
    path, sections = keys.metadata.path, keys.name("rope.dimension_sections")
    if keys.metadata.is_array(sections):
        found = keys.metadata.integers(sections)
        if found is not None and np.count_nonzero(found) > 1:
            raise UnsupportedError(f"{path}: {sections}: rotations by several positions are not supported")
    other = keys.number("rope.freq_base_swa")
    if other is not None and other != theta and keys.architecture != "gemma3":
        raise UnsupportedError(
            f"{path}: {keys.name('rope.freq_base_swa')}: is {other:g}, and a base other than rope.freq_base {theta:g} "
            "is not supported"
        )


def _scaling(keys: Keys, kind: str, factors: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    factor = keys.number("rope.scaling.factor") or keys.number("rope.scale_linear")
    attention = keys.number("rope.scaling.attn_factor")
    if kind != "longrope" and (LONG_FACTORS in factors or SHORT_FACTORS in factors):
        raise UnsupportedError(
            f"{keys.metadata.path}: {keys.name('rope.scaling.type')}: is {kind}, and the file has {LONG_FACTORS}, "
            "which only longrope uses"
        )
    if kind == "longrope":
        return _longrope(keys, attention, factors)
    if kind == "yarn":
        return _yarn(keys, factor, attention)
    if attention not in (None, 1.0):
        raise UnsupportedError(
            f"{keys.metadata.path}: {keys.name('rope.scaling.attn_factor')}: is {attention:g}, "
            f"which is not supported with scaling of type {kind}"
        )
    if kind == "none" or factor in (None, 1.0):
        return {}
    return {"rope_type": "linear", "factor": factor}


def _yarn(keys: Keys, factor: float | None, attention: float | None) -> dict[str, Any]:
    if factor in (None, 1.0) and attention in (None, 1.0):
        return {}
    scaling: dict[str, Any] = {"rope_type": "yarn", "factor": 1.0 if factor is None else factor}
    optional = {
        "original_max_position_embeddings": keys.integer("rope.scaling.original_context_length") or None,
        "beta_fast": keys.number("rope.scaling.yarn_beta_fast"),
        "beta_slow": keys.number("rope.scaling.yarn_beta_slow"),
    }
    scaling |= {name: value for name, value in optional.items() if value is not None}
    weight = keys.number("rope.scaling.yarn_log_multiplier") or 0.0
    if attention in (None, 1.0):
        return scaling | ({"mscale": 1.0, "mscale_all_dim": weight} if weight else {})
    own = _grown(scaling["factor"], 1.0) / (_grown(scaling["factor"], weight) if weight else 1.0)
    return scaling | {"attention_factor": attention * own}


def _grown(factor: float, weight: float) -> float:
    """What YaRN multiplies cos and sin by."""
    return 1.0 if not factor > 1 else 0.1 * weight * math.log(factor) + 1.0


def _longrope(keys: Keys, attention: float | None, factors: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    for name in (SHORT_FACTORS, LONG_FACTORS):
        if name not in factors:
            raise FormatError(
                keys.metadata.path, name, f"the tensor is missing, which {keys.architecture} with longrope needs"
            )
    return {
        "rope_type": "longrope",
        "short_factor": [float(value) for value in factors[SHORT_FACTORS]],
        "long_factor": [float(value) for value in factors[LONG_FACTORS]],
        "attention_factor": 1.0 if attention is None else attention,
        "original_max_position_embeddings": keys.required("rope.scaling.original_context_length"),
    }


def _as_llama3(factors: NDArray[np.float32], head_dim: int, theta: float) -> dict[str, Any] | None:
    """The parameters that made the factors where these can be told, so that other tools can read the config."""
    factor = float(factors.max())
    low, high = _LLAMA3["low_freq_factor"], _LLAMA3["high_freq_factor"]
    with np.errstate(all="ignore"):  # the base is checked where the config is read, not here
        wavelengths = 2 * np.pi * np.float64(theta) ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
        turns = _LLAMA3["original_max_position_embeddings"] / wavelengths
        smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
        expected = 1.0 / ((1 - smooth) / factor + smooth)
    if np.allclose(factors, expected, rtol=1e-5, atol=0.0):
        return {"rope_type": "llama3", "factor": factor, **_LLAMA3}
    return None
