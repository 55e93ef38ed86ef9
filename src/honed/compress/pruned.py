"""How passes that prune single weights apply themselves: which weights, made one at a time, and checked when made.

What a pass gives is kept small where blocks are kept: a mask beside the source, or the values that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from honed.compress.base import ModelState, Weights
from honed.compress.linears import HEAD, find_linears
from honed.compress.masks import Mask
from honed.compress.needs import Observed
from honed.compress.pruning_settings import PruningSettings
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.encodings.bitmask import pack_bits, row_starts, spread, unpack_bits
from honed.errors import HonedError, ParameterError, UnsupportedError
from honed.models.base import Model

Choose = Callable[[str, NDArray[np.float32], float], "Mask | Remaining"]
"""Of a weight by its name in what is observed, its values [out, in] and the share that is to be zero: which become so,
or what is left of it where others change along."""


def shares(model: Model, weights: Weights, settings: PruningSettings, observed: Observed) -> dict[str, float]:
    """The linear layers that are to be pruned, among those observed, and the share of each. Of weights it looks at
    names, and of a pattern at widths.

    ParameterError for rows that are no whole runs of the pattern, and where a tied head is to be pruned that is not
    apart from its table.
    """
    linears = find_linears(model)
    found: dict[str, float] = {}
    for weight in linears.layers:
        share = settings.share_of(weight.name.removesuffix(".weight"), head=False)
        if share and weight.name in observed.linears and weight.name in weights:
            found[weight.name] = share
            _check_width(weight.name, weight.shape[1], settings)
    if linears.head is None or linears.head_name is None:
        return found
    share = settings.share_of(linears.head_name.removesuffix(".weight"), head=True)
    if share and linears.head.name in observed.linears:
        if linears.head_name not in weights:
            problem = "must be 0: the head is the embedding table of this model, and no pass encodes it apart from that"
            raise ParameterError(f"share of {HEAD.removesuffix('.weight')}", share, problem)
        found[linears.head_name] = share
        _check_width(linears.head_name, linears.head.shape[1], settings)
    return found


def prune(
    state: ModelState,
    settings: PruningSettings,
    observed: Observed,
    choose: Choose,
    share_of: Callable[[str], float] | None = None,
) -> ModelState:
    """The state with its linear layers pruned as `choose` says, each by the share of the settings, or by what
    `share_of` gives then. Each is made when it is decoded, and checked to be finite and as sparse as asked; HonedError
    where it is not."""
    asked = shares(state.model, state.weights, settings, observed)
    measured = measured_names(state.model)

    def pruned(name: str) -> Masked | Remaining:
        source = state.weights[name]
        share = asked[name] if share_of is None else share_of(name)
        chosen = choose(measured.get(name, name), finite_matrix(source, name), share)
        found = chosen if isinstance(chosen, Remaining) else Masked.without(source, chosen)
        check(name, found, share, settings)
        return found

    weights = ChangedWeights.deferred(state.weights, pruned, frozenset(asked))
    return replace(state, weights=weights, inputs=None)


def measured_names(model: Model) -> Mapping[str, str]:
    """By which names weights go in what is observed, where by others than their own."""
    linears = find_linears(model)
    return {HEAD: linears.embedding.name} if linears.tied else {}


def finite_matrix(weight: Encoded, name: str) -> NDArray[np.float32]:
    """Its values. UnsupportedError, which names it, where one is not finite."""
    values = weight.decode()
    if not np.isfinite(values).all():
        raise UnsupportedError(f"{name}: holds NaN or infinity, and cannot be pruned")
    return values


def check(name: str, pruned: Encoded, share: float, settings: PruningSettings) -> None:
    """HonedError unless the values are finite and as many of them zero as asked, but for half a weight a row by which
    a share of a row is rounded."""
    values = pruned.decode()
    if not np.isfinite(values).all():
        raise HonedError(f"{name}: {settings.kind} made values that are not finite")
    zeros, asked = int(np.count_nonzero(values == 0)), share * values.size - values.shape[0] / 2
    if zeros < asked:
        raise HonedError(f"{name}: {settings.kind} made {zeros / values.size:.4f} of it zero instead of {share:g}")
    if settings.run is not None:
        left, of = settings.run
        most = int(np.count_nonzero(values.reshape(-1, of), axis=1).max())
        if most > left:
            raise HonedError(f"{name}: {settings.kind} left {most} of {of} inputs instead of {left}")


def _check_width(name: str, width: int, settings: PruningSettings) -> None:
    if settings.run is not None and width % settings.run[1]:
        problem = f"{name} has {width} inputs, no multiple of {settings.run[1]}: leave it alone by an override of 0"
        raise ParameterError("pattern", settings.pattern, problem)


@dataclass(frozen=True)
class Masked:
    """A weight of which some values are zero: `bits` of those that are kept, as `bitmask.pack_bits` has them."""

    source: Encoded
    bits: NDArray[np.uint8]

    @classmethod
    def without(cls, source: Encoded, pruned: Mask) -> Masked:
        return cls(source, pack_bits(~pruned))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def nbytes(self) -> int:
        return self.source.nbytes

    @property
    def kind(self) -> str:
        return "masked"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        kept = unpack_bits(self.bits[rows], self.shape[1])
        return np.where(kept, self.source.decode(rows), np.float32(0))


@dataclass(frozen=True)
class Remaining:
    """The values float32 [kept] that are left of a matrix, and where they stand."""

    bits: NDArray[np.uint8]
    values: NDArray[np.float32]
    width: int

    @classmethod
    def of(cls, values: NDArray[np.float32], pruned: Mask) -> Remaining:
        return cls(pack_bits(~pruned), values[~pruned], values.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.bits), self.width

    @property
    def nbytes(self) -> int:
        return 4 * len(self.bits) * self.width

    @property
    def kind(self) -> str:
        return "remaining"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        first, stop, _ = rows.indices(len(self.bits))
        starts = row_starts(self.bits, self.width)
        return spread(self.bits[first:stop], self.values[starts[first] : starts[max(first, stop)]], self.width)
