"""Random states of the sample models of every family for tests of pruning, and what they give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from honed.compress.base import ModelState
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.models.recorded import main_graph
from honed.models.registry import FAMILIES, read_any
from honed.models.samples import sample_configs
from honed.ops.reference import GrowingStore, Rows, Step, run
from honed.ops.values import TOKEN_TYPES, TOKENS

WINDOWS = [
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 25],
    [12, 3, 3, 14, 15, 16, 17, 18, 19, 20],
    [30, 1, 2, 44, 5, 96, 7, 8, 60, 61],
]
CONFIGS: dict[str, dict[str, Any]] = {
    f"{kind}-{place}": config
    for kind, family in FAMILIES.items()
    for place, config in enumerate(sample_configs(family))
}
"""Of every family in its variations, by name."""


def random_state(config: dict[str, Any], seed: int = 1, *, head_apart: bool = False) -> ModelState:
    """A model with float32 weights; those of norms are near one."""
    model = read_any(config)
    random = np.random.default_rng(seed)
    weights: dict[str, Encoded] = {}
    for name, weight in model.weights().items():
        values = random.normal(size=weight.shape)
        values = values * 0.2 if len(weight.shape) == 2 else 1 + 0.3 * values if "norm" in name else 0.3 * values
        weights[name] = Dense(values.astype(np.float32), "float32")
    return ModelState(config, model, SourceWeights(model, weights.__getitem__, head_apart=head_apart))


def tensors_of(state: ModelState, weights: Mapping[str, Encoded] | None = None) -> dict[str, torch.Tensor]:
    """The weights of the state, or others, for torch."""
    own = state.weights if weights is None else weights
    return {name: torch.from_numpy(own[name].decode()) for name in own if name in state.model.weights()}


def rows_of_first() -> Rows:
    """The first window."""
    tokens = torch.tensor(WINDOWS[0])
    rows = Rows.single(tokens)
    given = {TOKENS: tokens, TOKEN_TYPES: torch.zeros_like(tokens)}
    return Rows(given, rows.positions, rows.sequences, rows.selected)


def results(state: ModelState, weights: Mapping[str, Encoded] | None = None) -> dict[str, torch.Tensor]:
    """All that the main program gives for the first window, with the weights of the state or with others."""
    return run(main_graph(state.model), Step(tensors_of(state, weights), rows_of_first(), GrowingStore()))


def assert_same(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """To 1e-6 of the spread of all: a head of two classes has hardly one, and the errors of what it reads."""
    assert found.keys() == expected.keys()
    spread = max(float(values.max() - values.min()) for values in expected.values())
    for name, values in expected.items():
        assert float((found[name] - values).abs().max()) <= 1e-6 * spread, name
