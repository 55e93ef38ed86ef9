"""The torch reference as a backend: float32 whatever the encoding, pages of a cache, no speed to speak of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.backends.base import PAGE_TOKENS, Batch, PageGroup
from honed.backends.capacity import (
    STEP_TOKENS,
    CacheGroups,
    cache_groups,
    check_step_tokens,
    kv_pages,
    made_for,
)
from honed.backends.options import RunOptions
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.finite_weights import check_finite
from honed.encodings.base import Encoded
from honed.models.base import Dimensions
from honed.models.programs import LOGITS
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.graph import Graph
from honed.ops.reference import Rows, Step, run
from honed.ops.table import Attention
from honed.ops.values import TOKENS
from honed.plan.source import PlanSource


@dataclass(frozen=True)
class PyTorchConfig:
    """`kv_tokens`: capacity of the cache in tokens, None for the context up to 16384. `sequences`: that it is made for,
    None where nobody said."""

    kv_tokens: int | None = None
    sequences: int | None = None
    step_tokens: int = STEP_TOKENS

    def __post_init__(self) -> None:
        check_step_tokens(self.step_tokens)


class PyTorchBackend:
    """Implements `honed.backends.base.Backend`. Make one with `load`."""

    def __init__(
        self,
        graph: Graph,
        size: Dimensions,
        *,
        weights: dict[str, Tensor],
        tables: dict[str, Tensor],
        groups: CacheGroups,
        step_tokens: int,
    ) -> None:
        self._graph = graph
        self._size = size
        self._weights = weights
        self._tables = tables
        self._groups = groups
        self._step_tokens = step_tokens
        self._caches = _caches(graph, groups)

    @staticmethod
    def configure(options: RunOptions, kv_tokens: int | None) -> PyTorchConfig:
        """What is asked for, as settings of this backend."""
        return PyTorchConfig(kv_tokens=kv_tokens, sequences=made_for(options))

    @staticmethod
    def load(
        checkpoint: Checkpoint, config: PyTorchConfig, meanwhile: Callable[[], None] | None = None
    ) -> PyTorchBackend:
        """Decodes every weight to float32. FormatError for NaN or Inf, naming the weight."""
        if meanwhile is not None:
            meanwhile()
        model = read_model(checkpoint.config, checkpoint.path)
        graph = recorded(model)
        source = PlanSource(checkpoint, graph)
        matrices = set(source.matrices)

        def decoded(name: str, encoded: Encoded) -> Tensor:
            check_finite(checkpoint.path, name, encoded)
            return torch.from_numpy(np.array(encoded.decode(), dtype=np.float32))

        weights = {
            name: decoded(name, source.matrix(name) if name in matrices else source.weight(name))
            for name in graph.weights()
        }
        # A tied head may be encoded apart from the table that is looked up in.
        tables = {name: decoded(name, source.weight(name)) for name in source.separate_tables}
        pages = kv_pages(config.kv_tokens, model.dimensions.context)
        groups = cache_groups(graph, pages, config.step_tokens, config.sequences)
        return PyTorchBackend(
            graph, model.dimensions, weights=weights, tables=tables, groups=groups, step_tokens=config.step_tokens
        )

    @property
    def name(self) -> str:
        return "pytorch"

    @property
    def vocabulary(self) -> int:
        return self._size.vocabulary

    @property
    def context(self) -> int:
        return self._size.context

    @property
    def pages(self) -> int:
        return self._groups.groups[0].pages

    @property
    def page_groups(self) -> tuple[PageGroup, ...]:
        return self._groups.groups

    @property
    def step_tokens(self) -> int:
        return self._step_tokens

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        rows = Rows(
            inputs={TOKENS: torch.from_numpy(batch.tokens).long()},
            positions=torch.from_numpy(batch.positions).long(),
            sequences=torch.from_numpy(batch.sequences).long(),
            selected=torch.from_numpy(batch.selected).long(),
        )
        store = _PagedStore(self._caches, torch.from_numpy(batch.page_tables).long(), self._groups.of_cache)
        with torch.inference_mode():
            results = run(self._graph, Step(self._weights, rows, store, self._tables))
            logits: NDArray[np.float32] = results[LOGITS].numpy()
        return logits


def _caches(graph: Graph, groups: CacheGroups) -> dict[int, tuple[Tensor, Tensor]]:
    """Keys and values of each cache, [positions, kv_heads, head_dim], as wide as its layer has them."""
    statements = graph.by_number()
    caches = {}
    for op in graph.operations(Attention):
        if op.cache is not None:
            size = op.spec.head_dim
            positions = groups.groups[groups.of_cache[op.cache]].pages * PAGE_TOKENS
            shape = (positions, statements[op.inputs[1]].value.width // size, size)
            caches[op.cache] = torch.zeros(shape), torch.zeros(shape)
    return caches


class _PagedStore:
    """`honed.ops.reference.KvStore` over pages of caches."""

    def __init__(
        self, caches: Mapping[int, tuple[Tensor, Tensor]], page_tables: Tensor, groups: tuple[int, ...]
    ) -> None:
        self._caches = caches
        self._groups = groups
        self._page_tables = page_tables

    def extend(self, cache: int, sequence: int, positions: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self._caches[cache]
        all_positions = torch.arange(int(positions[-1]) + 1)
        tables = self._page_tables
        table = (tables if tables.dim() == 2 else tables[self._groups[cache]])[sequence]
        pages = table[all_positions // PAGE_TOKENS]
        cells = pages * PAGE_TOKENS + all_positions % PAGE_TOKENS
        keys[cells[positions]] = k
        values[cells[positions]] = v
        return keys[cells], values[cells]
