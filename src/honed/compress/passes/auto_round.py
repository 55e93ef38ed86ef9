"""AutoRound (Cheng et al. 2023): every linear layer to int8, int4 or a codebook, whether up or down learned from what
its block gives.

What a weight becomes is chosen as for `round_to_nearest`, and its scales as for one that counts errors by the mean
square of what enters; from there rounding and ranges are moved by signed gradients, block by block. How is in
`learned_rounding.py`, which needs torch. The head, which is a block without an output that a later one reads, and
layers that few rows of a text go through stay at the nearest codes. Embeddings, norms and biases stay dense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from honed.compress.base import ModelState, Weights
from honed.compress.block_rows import BlockRows
from honed.compress.layer_schemes import LayerSchemes, choose_schemes
from honed.compress.layer_settings import EncodingSettings
from honed.compress.linears import HEAD, find_linears
from honed.compress.needs import Needs, Observed
from honed.compress.shared_tables import SharedTables
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.encodings.column_grid import Gridded
from honed.encodings.encode import encode
from honed.errors import UnsupportedError


class AutoRoundSettings(EncodingSettings):
    """Settings of the pass `auto_round`.

    iterations: steps for each block, of `batch` windows each, drawn by `seed`. step: how far an offset, in steps of the
    grid, and a range, in its own size, move in the first one, falling to zero at the last; null is 1 / iterations, with
    which an offset can just reach half a step. inputs: what enters a block comes from the blocks before as rounded
    (`changed`), or as they were (`source`). precision: of products while learning; bfloat16 is several times as fast
    where a processor has it, and slower where not.
    """

    kind: Annotated[Literal["auto_round"], Field(alias="pass")]
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 200
    batch: Annotated[int, Field(ge=1, le=256)] = 4
    step: Annotated[float, Field(gt=0, le=0.5)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    inputs: Literal["changed", "source"] = "changed"
    precision: Literal["float32", "bfloat16"] = "bfloat16"


@dataclass(frozen=True)
class AutoRound:
    """See `compress.base.Pass`. UnsupportedError where torch is not installed."""

    settings: AutoRoundSettings
    needs: ClassVar[Needs] = Needs(frozenset({"block_rows", "mean_square"}), "blocks")

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        if find_spec("torch") is None:
            raise UnsupportedError("the pass auto_round learns with torch, which is not installed: honed[torch]")
        linears = find_linears(state.model)
        measured = {HEAD: linears.embedding.name} if linears.tied else {}
        own = {name for name in state.weights if measured.get(name, name) in observed.linears}
        chosen = choose_schemes(state.model, state.weights, self.settings, own)
        assert observed.rows is not None  # it is asked for
        tables = SharedTables(state.model, state.weights, chosen.schemes)
        learning = _Learning(state.weights, chosen, tables, observed, observed.rows, measured, self.settings, threads)
        return replace(
            state,
            weights=ChangedWeights(state.weights, learning.weight, frozenset(chosen.schemes)),
            schemes={**state.schemes, **chosen.schemes},
            inputs=None,
            notes=(*state.notes, *chosen.notes),
        )


@dataclass(frozen=True)
class _Learning:
    """What one block comes to, once a weight of it is asked for. measured: by which names weights go in what is
    observed, where by others than their own."""

    weights: Weights
    chosen: LayerSchemes
    tables: SharedTables
    observed: Observed
    rows: Callable[[], BlockRows]
    measured: Mapping[str, str]
    settings: AutoRoundSettings
    threads: int

    def weight(self, name: str) -> Encoded:
        return self._all[name]

    @cached_property
    def _all(self) -> dict[str, Gridded]:
        nearest = {name: self._nearest(name) for name in self.chosen.schemes}
        rows = self.rows()
        multiplied = {weight.name for statement in rows.graph for weight in statement.operation.multiplied}
        start = {name: found for name, found in nearest.items() if name in multiplied}
        if not start:
            return nearest
        from honed.compress.learned_rounding import Schedule, learn

        step = self.settings.step or 1 / self.settings.iterations
        schedule = Schedule(
            iterations=self.settings.iterations,
            batch=self.settings.batch,
            step=step,
            step_of_range=step,
            seed=self.settings.seed,
            bfloat16=self.settings.precision == "bfloat16",
            from_changed=self.settings.inputs == "changed",
        )
        full = {name: self.weights[name].decode() for name in rows.graph.weights()}
        return nearest | learn(rows, full, start, schedule, self.threads)

    def _nearest(self, name: str) -> Gridded:
        counts = self.observed.inputs().mean_square[self.measured.get(name, name)]
        found = encode(
            self.weights[name],
            self.tables.scheme(name, counts),
            name=name,
            search=self.chosen.settings[name].weights.search,
            importance=counts,
            threads=self.threads,
        )
        assert isinstance(found, Gridded)  # what `choose_schemes` gives
        return found
