"""What a token costs a system that holds the matrices of a dense copy at other widths. Read from headers and config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from honed.bench.peers.base import Arithmetic, Footprint


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
        from honed.models.recorded import recorded
        from honed.models.registry import read_model
        from honed.ops.table import Linear

        checkpoint = open_checkpoint(str(directory))
        model = read_model(checkpoint.config, checkpoint.path)
        layers: dict[str, tuple[int, ...]] = {}
        heads: list[tuple[int, ...]] = []
        for statement in recorded(model):
            operation = statement.operation
            if isinstance(operation, Linear) and statement.value.rows == "tokens":
                layers[operation.weight.name] = operation.weight.shape
            elif isinstance(operation, Linear):
                heads.append(operation.weight.shape)
        size = model.dimensions
        (head,) = heads
        return cls(
            layer_elements=sum(rows * columns for rows, columns in layers.values()),
            head_elements=head[0] * head[1],
            kv_elements=2 * size.layers * size.kv_heads * size.head_dim,
            in_features=frozenset({head[1], *(columns for _, columns in layers.values())}),
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
