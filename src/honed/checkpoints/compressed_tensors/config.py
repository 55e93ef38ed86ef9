"""The compressed-tensors `quantization_config`: which layers are quantized, and how. Reading only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.checkpoints.compressed_tensors.patterns import Pattern, PatternError, Work
from honed.encodings.groups import GROUPS
from honed.errors import FormatError, UnsupportedError, quoted

FORMATS = ("pack-quantized", "int-quantized", "naive-quantized")
_MIXED = "mixed-precision"
MAX_PATTERNS = 64
LINEAR = "Linear"


@dataclass(frozen=True)
class LayerConfig:
    """How a layer's weight is coded; `group` None is one scale a channel. Codes are integers of `bits` bits.

    quantizes_activations: as this engine does it. weight_only: not at all.
    """

    bits: int
    group: int | None
    symmetric: bool
    quantizes_activations: bool
    weight_only: bool
    activation_group: int | None


class Targets:
    """Names of modules, and patterns that begin with `re:`, each with what it stands for."""

    def __init__(self, path: Path, work: Work) -> None:
        self._path, self._work = path, work
        self._exact: dict[str, LayerConfig | None] = {}
        self._patterns: list[tuple[str, Pattern, LayerConfig | None]] = []

    def add(self, value: object, where: str, layer: LayerConfig | None) -> None:
        """Adds a list of names. Errors: FormatError, UnsupportedError for a pattern that is not read."""
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise FormatError(self._path, where, "must be a list of names")
        for text in value:
            if not text.startswith("re:"):
                self._exact.setdefault(text, layer)
            elif len(self._patterns) == MAX_PATTERNS:
                raise UnsupportedError(f"{self._path}: {where}: there are over {MAX_PATTERNS} patterns")
            else:
                self._patterns.append((text, self._compiled(text, where), layer))

    def find(self, module: str) -> tuple[bool, LayerConfig | None]:
        """Whether a module is named, and what by the first that names it: a name before a pattern."""
        if module in self._exact:
            return True, self._exact[module]
        for text, pattern, layer in self._patterns:
            try:
                if pattern.matches(module):
                    return True, layer
            except PatternError as error:
                raise UnsupportedError(f"{self._path}: quantization_config: {quoted(text)} {error}") from None
        return False, None

    def linear(self) -> LayerConfig | None:
        """What the class Linear stands for."""
        return self._exact.get(LINEAR)

    def _compiled(self, text: str, where: str) -> Pattern:
        try:
            return Pattern(text.removeprefix("re:"), self._work)
        except PatternError as error:
            raise UnsupportedError(f"{self._path}: {where}: the pattern {quoted(text)} {error}") from None


@dataclass(frozen=True)
class Layers:
    """Targets with their configs; exact names win over patterns, those over the class Linear."""

    targets: Targets
    ignored: Targets

    def of(self, module: str) -> LayerConfig | None:
        """The config of a linear module, None where it is not quantized."""
        if self.ignored.find(module)[0]:
            return None
        named, layer = self.targets.find(module)
        return layer if named else self.targets.linear()


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
    work = Work()
    targets, ignored = Targets(path, work), Targets(path, work)
    for name, group in groups.items():
        where = f"quantization_config.config_groups.{name}"
        if not isinstance(group, Mapping):
            raise FormatError(path, where, "must be an object; presets by name are not read")
        layer = _layer(group, quantization.get("format"), path, where)
        targets.add(group.get("targets"), f"{where}.targets", layer)
    ignored.add(quantization.get("ignore") or [], "quantization_config.ignore", None)
    return Layers(targets, ignored)


def _layer(group: Mapping[str, Any], default_format: object, path: Path, where: str) -> LayerConfig:
    form = group.get("format") or default_format
    if form not in FORMATS:
        also = "" if form != _MIXED else " (each group must name its own)"
        raise UnsupportedError(
            f"{path}: {where}.format: {quoted(form)} is not supported{also}; read are {', '.join(FORMATS)}"
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
            f"{path}: {where}.weights: strategy {quoted(strategy)} with group_size {quoted(size)}; read are channel, "
            "and group of 32, 64 or 128"
        )
    activation_group = activations.get("group_size") if isinstance(activations, Mapping) else None
    return LayerConfig(
        bits=bits,
        group=size if strategy == "group" else None,
        symmetric=weights.get("symmetric", True) is True,
        weight_only=activations is None,
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
