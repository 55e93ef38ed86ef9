"""The `quantization_config` of GPTQ and AWQ checkpoints: which of the two layouts words have, and their bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from honed.errors import FormatError, UnsupportedError, quoted

Method = Literal["gptq", "awq"]
METHODS: tuple[Method, ...] = ("gptq", "awq")
_BITS: dict[Method, tuple[int, ...]] = {"gptq": (2, 4, 8), "awq": (4,)}
_GPTQ_FORMATS = {"gptq": 1, "gptq_v2": 0}
"""By checkpoint_format: what is added to a stored zero point. The first wrote each less one."""
_AWQ_VERSIONS = ("gemm",)
_MOST = 1 << 20


@dataclass(frozen=True)
class WordConfig:
    """bits: of a code. group: inputs that share a scale, None for all. zero_shift: is added to stored zero points.

    A file whose modules differ (`dynamic` of GPTQModel) says so by the shapes of its tensors: see `checkpoint.py`.
    """

    method: Method
    bits: int
    group: int | None
    zero_shift: int


def method_of(config: Mapping[str, Any]) -> Method | None:
    """Which of the two a config.json names, None for others."""
    quantization = config.get("quantization_config")
    named = quantization.get("quant_method") if isinstance(quantization, Mapping) else None
    return named if named in METHODS else None


def read_word_config(config: Mapping[str, Any], path: Path) -> WordConfig:
    """Errors: FormatError for what has no meaning, UnsupportedError for layouts and bits that are not read here."""
    method, quantization = method_of(config), config["quantization_config"]
    assert method is not None  # whoever calls has asked
    where = "quantization_config"
    bits = quantization.get("bits", quantization.get("w_bit"))
    if bits not in _BITS[method]:
        read = ", ".join(map(str, _BITS[method]))
        raise UnsupportedError(f"{path}: {where}.bits: {quoted(bits)} is not read of {method}; read are {read}")
    group = quantization.get("group_size", quantization.get("q_group_size", -1))
    if type(group) is not int or not (group == -1 or 0 < group <= _MOST):
        raise FormatError(path, f"{where}.group_size", f"is {quoted(group)}, must be -1 or a number of inputs")
    if any(quantization.get("dynamic") or ()):
        _refuse_other_bits(quantization["dynamic"], bits, path)
    if method == "awq":
        version = str(quantization.get("version", "gemm")).lower()
        if version not in _AWQ_VERSIONS:
            raise UnsupportedError(
                f"{path}: {where}.version: {quoted(version)} is not read; read is {', '.join(_AWQ_VERSIONS)}, which "
                "hubs hold"
            )
        return WordConfig(method, bits, None if group == -1 else group, 0)
    form = quantization.get("checkpoint_format", "gptq")
    if form not in _GPTQ_FORMATS:
        raise UnsupportedError(
            f"{path}: {where}.checkpoint_format: {quoted(form)} is not read; read are {', '.join(_GPTQ_FORMATS)}"
        )
    return WordConfig(method, bits, None if group == -1 else group, _GPTQ_FORMATS[form])


def _refuse_other_bits(dynamic: object, bits: int, path: Path) -> None:
    """Patterns that give modules other settings: groups show in the tensors, bits do not."""
    values = dynamic.values() if isinstance(dynamic, Mapping) else ()
    for setting in values:
        if isinstance(setting, Mapping) and setting.get("bits", bits) != bits:
            raise UnsupportedError(
                f"{path}: quantization_config.dynamic: modules of {quoted(setting['bits'])} bits among those of {bits} "
                "are not read"
            )
