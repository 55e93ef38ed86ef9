"""Tiny random models to be trained, as sources: a model with weights in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.compress.base import ModelState
from honed.compress.linears import find_linears
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.models.registry import read_model
from tiny_models import SIZES, golden


def tiny_state(family: str = "smollm2", *, head_apart: bool = False) -> ModelState:
    """As `golden` makes it."""
    checkpoint = golden(family).checkpoint
    model = read_model(checkpoint.config, checkpoint.path)
    return ModelState(checkpoint.config, model, SourceWeights(model, checkpoint.weight, head_apart=head_apart))


def wide_state(*, head_apart: bool = False) -> ModelState:
    """A Llama whose widths are whole groups, with a tied head."""
    sizes = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = {**SIZES, **sizes, "model_type": "llama", "tie_word_embeddings": True}
    model = read_model(config, "tests")
    random = np.random.default_rng(8)
    made = {name: Dense(_values(random, weight.shape), "float32") for name, weight in model.weights().items()}
    return ModelState(config, model, SourceWeights(model, made.__getitem__, head_apart=head_apart))


def _values(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    values = random.standard_normal(shape).astype(np.float32)
    return 1 + 0.2 * values if len(shape) == 1 else values * np.float32(1.5 / shape[1] ** 0.5)


def disturbed(state: ModelState, amount: float, seed: int = 0) -> ModelState:
    """The same model with noise on its matrices, `amount` times the size of each."""
    random = np.random.default_rng(seed)
    weights: dict[str, Encoded] = {}
    for name, weight in state.weights.items():
        values = weight.decode()
        noise = random.standard_normal(values.shape).astype(np.float32) * values.std() * np.float32(amount)
        weights[name] = Dense(values + noise if values.ndim == 2 else values, "float32")
    return replace(state, weights=weights)


def bent(state: ModelState, amount: float, rank: int = 2) -> ModelState:
    """The same model with noise of that rank on the matrices of its layers, `amount` times the size of each."""
    random, weights = np.random.default_rng(1), dict(state.weights)
    for weight in find_linears(state.model).layers:
        values = weights[weight.name].decode()
        rows, columns = values.shape
        noise = random.standard_normal((rows, rank)) @ random.standard_normal((rank, columns))
        noise *= amount * values.std() / noise.std()
        weights[weight.name] = Dense(values + noise.astype(np.float32), "float32")
    return replace(state, weights=weights)


def tensors(state: ModelState) -> dict[str, Tensor]:
    """The weights as leaves."""
    weights: Mapping[str, Encoded] = state.weights
    return {name: torch.tensor(weights[name].decode()).requires_grad_() for name in state.model.weights()}


def some_windows(count: int = 12, length: int = 16, vocabulary: int = 97, seed: int = 5) -> list[list[int]]:
    found: list[list[int]] = np.random.default_rng(seed).integers(0, vocabulary, (count, length)).tolist()
    return found


@dataclass(frozen=True)
class Distance:
    """KL of one model's next tokens from another's, mean over windows."""

    teacher: ModelState
    windows: list[list[int]]

    def of(self, state: ModelState) -> float:
        from honed.compress.training.runner import Runner

        tokens = torch.tensor(self.windows)
        found = []
        for one in (self.teacher, state):
            runner = Runner(one.model, torch.float32)
            weights = {name: weight.detach() for name, weight in tensors(one).items()}
            with torch.no_grad():
                found.append(runner.logits(weights, runner.rows(weights, tokens).rows).log_softmax(-1))
        aim, own = found
        return float((aim.exp() * (aim - own)).sum(-1).mean())
