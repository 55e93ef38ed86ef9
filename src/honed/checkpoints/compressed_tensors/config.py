"""The compressed-tensors `quantization_config`: which layers are quantized, and how. Reading only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.encodings.int8 import GROUPS
from honed.errors import FormatError, UnsupportedError

FORMATS = ("pack-quantized", "int-quantized", "naive-quantized")
_MIXED = "mixed-precision"
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_REPETITION = re.compile(r"[*+{]")
_MOST_REPETITIONS = 4


@dataclass(frozen=True)
class LayerConfig:
    """How a layer's weight is coded; `group` None is one scale a channel. Codes are integers of `bits` bits."""

    bits: int
    group: int | None
    symmetric: bool
    quantizes_activations: bool
    activation_group: int | None


@dataclass(frozen=True)
class Layers:
    """Targets in order, each with its config; exact names win over patterns, those over the class Linear."""

    targets: tuple[tuple[str, LayerConfig], ...]
    ignored: tuple[str, ...]

    def of(self, module: str) -> LayerConfig | None:
        """The config of a linear module, None where it is not quantized."""
        if any(_matches(target, module) for target in self.ignored):
            return None
        ranked = sorted(self.targets, key=lambda entry: (entry[0] == "Linear", entry[0].startswith("re:")))
        return next((layer for target, layer in ranked if target == "Linear" or _matches(target, module)), None)


def read_layers(config: Mapping[str, Any], path: Path) -> Layers:
    """Reads `quantization_config` of a config.json.

    Errors: FormatError for what has no meaning, UnsupportedError for formats, types and strategies not read here.
    """
    quantization = config.get("quantization_config")
    if not isinstance(quantization, Mapping):
        raise FormatError(path, "quantization_config", "must be an object")
    groups = quantization.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        raise FormatError(path, "quantization_config.config_groups", "must be an object with at least one group")
    targets: list[tuple[str, LayerConfig]] = []
    for name, group in groups.items():
        where = f"quantization_config.config_groups.{name}"
        if not isinstance(group, Mapping):
            raise FormatError(path, where, "must be an object; presets by name are not read")
        layer = _layer(group, quantization.get("format"), path, where)
        targets += [(target, layer) for target in _texts(group.get("targets"), path, f"{where}.targets")]
    return Layers(tuple(targets), _texts(quantization.get("ignore") or [], path, "quantization_config.ignore"))


def _layer(group: Mapping[str, Any], default_format: object, path: Path, where: str) -> LayerConfig:
    form = group.get("format") or default_format
    if form not in FORMATS:
        also = "" if form != _MIXED else " (each group must name its own)"
        raise UnsupportedError(
            f"{path}: {where}.format: {form!r:.60} is not supported{also}; read are {', '.join(FORMATS)}"
        )
    weights, activations = group.get("weights"), group.get("input_activations")
    if not isinstance(weights, Mapping):
        raise FormatError(path, f"{where}.weights", "must be an object")
    bits, size, strategy = weights.get("num_bits"), weights.get("group_size"), weights.get("strategy")
    if bits not in (4, 8) or weights.get("type", "int") != "int":
        raise UnsupportedError(f"{path}: {where}.weights: only integers of 4 and 8 bits are read")
    if weights.get("actorder") == "group":
        raise UnsupportedError(f"{path}: {where}.weights.actorder: reordered columns are not read")
    if strategy not in ("channel", "group") or (strategy == "group" and size not in GROUPS):
        raise UnsupportedError(
            f"{path}: {where}.weights: strategy {strategy!r:.40} with group_size {size!r:.40}; read are channel, and "
            "group of 32, 64 or 128"
        )
    activation_group = activations.get("group_size") if isinstance(activations, Mapping) else None
    return LayerConfig(
        bits=bits,
        group=size if strategy == "group" else None,
        symmetric=weights.get("symmetric", True) is True,
        quantizes_activations=isinstance(activations, Mapping) and _is_ours(activations),
        activation_group=activation_group if activation_group in GROUPS else None,
    )


def _is_ours(activations: Mapping[str, Any]) -> bool:
    """Whether activations are quantized as this engine does it: int8, symmetric, dynamic, per token or group."""
    expected = {"num_bits": 8, "type": "int", "symmetric": True, "dynamic": True}
    if any(activations.get(key) != value for key, value in expected.items()):
        return False
    strategy = activations.get("strategy")
    return strategy == "token" or (strategy == "group" and activations.get("group_size") in GROUPS)


def _matches(target: str, module: str) -> bool:
    if not target.startswith("re:"):
        return target == module
    return re.match(target.removeprefix("re:"), module) is not None


def _texts(value: object, path: Path, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise FormatError(path, where, "must be a list of names")
    for text in value:
        if text.startswith("re:"):
            _check_pattern(text.removeprefix("re:"), path, where)
    return tuple(value)


def _check_pattern(pattern: str, path: Path, where: str) -> None:
    """Refuses what could take long: repeated groups, and more repetitions than any name of a layer needs."""
    if len(pattern) > 400 or _REPEATED_GROUP.search(pattern) or len(_REPETITION.findall(pattern)) > _MOST_REPETITIONS:
        raise UnsupportedError(f"{path}: {where}: the pattern {pattern!r:.80} repeats too much to be matched safely")
    try:
        re.compile(pattern)
    except re.error as error:
        raise FormatError(path, where, f"{pattern!r:.80} is not a pattern: {error}") from None
