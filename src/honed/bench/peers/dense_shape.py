"""What a token costs a system that holds the matrices of a dense copy at other widths. Read from headers and config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.bench.peers.base import Arithmetic, Footprint

_TABLE = "embed_tokens.weight"
_HEAD = "lm_head.weight"


@dataclass(frozen=True)
class DenseShape:
    """Elements of the matrices of a dense directory: those of the layers, and the head (the tied table, if tied)."""

    layer_elements: int
    head_elements: int
    kv_elements: int
    """Elements of keys and values that one position of context holds, all layers."""
    in_features: frozenset[int]
    """Rows of all these matrices: what groups of weights must divide."""

    @classmethod
    def of(cls, directory: Path) -> DenseShape:
        """Reads headers only. FormatError or UnsupportedError where `directory` is no checkpoint that honed knows."""
        from honed.checkpoints.open import open_checkpoint

        checkpoint = open_checkpoint(str(directory))
        shapes = {name: checkpoint.weight(name).shape for name in checkpoint.names}
        matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2}
        table = next(shape for name, shape in matrices.items() if name.endswith(_TABLE))
        head = next((shape for name, shape in matrices.items() if name.endswith(_HEAD)), table)
        layers = [shape for name, shape in matrices.items() if not name.endswith((_TABLE, _HEAD))]
        config = checkpoint.config
        return cls(
            layer_elements=sum(rows * columns for rows, columns in layers),
            head_elements=head[0] * head[1],
            kv_elements=2 * config["num_hidden_layers"] * _kv_width(config),
            in_features=frozenset({head[1], *(columns for _, columns in layers)}),
        )

    def footprint(
        self, *, layer_bits: float, head_bits: float, kv_element_bytes: int, arithmetic: Arithmetic
    ) -> Footprint:
        """Bits are those of one weight with its share of scales and zero points."""
        return Footprint(
            weight_bytes=round((self.layer_elements * layer_bits + self.head_elements * head_bits) / 8),
            kv_bytes_per_position=self.kv_elements * kv_element_bytes,
            prompt_operations=2 * self.layer_elements,
            head_operations=2 * self.head_elements,
            arithmetic=arithmetic,
        )

    def group(self, sizes: tuple[int, ...]) -> int:
        """The first of `sizes` that divides every row, else the last: converters pad or skip what it does not fit."""
        return next((size for size in sizes if all(width % size == 0 for width in self.in_features)), sizes[-1])


def _kv_width(config: Any) -> int:
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    return int(kv_heads * head_dim)
