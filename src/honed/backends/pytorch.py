"""The torch reference as a backend: float32 whatever the encoding, pages of a cache, no speed to speak of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.backends.base import PAGE_TOKENS, Batch
from honed.backends.capacity import check_step_tokens, kv_pages
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.finite import check_finite
from honed.encodings.base import Encoded
from honed.models.base import DecoderModel
from honed.models.registry import read_model
from honed.ops.reference import Reference, Rows
from honed.plan.record import record
from honed.plan.source import PlanSource


@dataclass(frozen=True)
class PyTorchConfig:
    """`kv_tokens`: capacity of the cache in tokens, None for the context up to 16384."""

    kv_tokens: int | None = None
    step_tokens: int = 512

    def __post_init__(self) -> None:
        check_step_tokens(self.step_tokens)


class PyTorchBackend:
    """Implements `honed.backends.base.Backend`. Make one with `load`."""

    def __init__(
        self,
        model: DecoderModel,
        weights: dict[str, Tensor],
        tables: dict[str, Tensor],
        pages: int,
        step_tokens: int,
    ) -> None:
        self._model = model
        self._weights = weights
        self._tables = tables
        self._pages = pages
        self._step_tokens = step_tokens
        size = model.dimensions
        shape = (size.layers, pages * PAGE_TOKENS, size.kv_heads, size.head_dim)
        self._keys = torch.zeros(shape)
        self._values = torch.zeros(shape)

    @staticmethod
    def load(checkpoint: Checkpoint, config: PyTorchConfig) -> PyTorchBackend:
        """Decodes every weight to float32. FormatError for NaN or Inf, naming the weight."""
        model = read_model(checkpoint.config, checkpoint.path)
        source = PlanSource(checkpoint, record(model))
        matrices = set(source.matrices)

        def decoded(name: str, encoded: Encoded) -> Tensor:
            check_finite(checkpoint.path, name, encoded)
            return torch.from_numpy(np.array(encoded.decode(), dtype=np.float32))

        weights = {
            name: decoded(name, source.matrix(name) if name in matrices else source.weight(name))
            for name in model.weights()
        }
        # A tied head may be encoded apart from the table that is looked up in.
        tables = {name: decoded(name, source.weight(name)) for name in source.separate_tables}
        pages = kv_pages(config.kv_tokens, model.dimensions.context)
        return PyTorchBackend(model, weights, tables, pages, config.step_tokens)

    @property
    def name(self) -> str:
        return "pytorch"

    @property
    def vocabulary(self) -> int:
        return self._model.dimensions.vocabulary

    @property
    def context(self) -> int:
        return self._model.dimensions.context

    @property
    def pages(self) -> int:
        return self._pages

    @property
    def step_tokens(self) -> int:
        return self._step_tokens

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        rows = Rows(
            tokens=torch.from_numpy(batch.tokens).long(),
            positions=torch.from_numpy(batch.positions).long(),
            sequences=torch.from_numpy(batch.sequences).long(),
            selected=torch.from_numpy(batch.selected).long(),
        )
        store = _PagedStore(self._keys, self._values, torch.from_numpy(batch.page_tables).long())
        with torch.inference_mode():
            logits: NDArray[np.float32] = self._model.forward(
                Reference(self._weights, rows, store, self._tables)
            ).numpy()
        return logits


class _PagedStore:
    """`honed.ops.reference.KvStore` over pages: keys and values are [layers, pages * 32, kv_heads, head_dim]."""

    def __init__(self, keys: Tensor, values: Tensor, page_tables: Tensor) -> None:
        self._keys = keys
        self._values = values
        self._page_tables = page_tables

    def extend(self, layer: int, sequence: int, positions: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        all_positions = torch.arange(int(positions[-1]) + 1)
        pages = self._page_tables[sequence, all_positions // PAGE_TOKENS]
        cells = pages * PAGE_TOKENS + all_positions % PAGE_TOKENS
        self._keys[layer, cells[positions]] = k
        self._values[layer, cells[positions]] = v
        return self._keys[layer, cells], self._values[layer, cells]
