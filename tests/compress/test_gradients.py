"""Against torch through the whole model at once, against differences, and where a head is tied to its table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from honed.compress.gradients import weight_gradients
from honed.compress.linears import all_linears
from honed.errors import ParameterError
from honed.models.recorded import main_graph
from honed.ops.reference import GrowingStore, Rows, Step, run
from sparse_models import TABLE, WINDOWS, Source, decoder
from tiny_encoder import TinyEncoder

FEW = WINDOWS[:3]


def loss(model: Any, tensors: dict[str, torch.Tensor], window: list[int], tables: dict[str, torch.Tensor]) -> Any:
    tokens = torch.tensor(window)
    logits = run(main_graph(model), Step(tensors, Rows.single(tokens), GrowingStore(), tables))["logits"]
    return torch.nn.functional.cross_entropy(logits[:-1], tokens[1:])


def tensors_of(source: Source) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(weight.decode().copy()) for name, weight in source.weights.items()}


@pytest.mark.parametrize("tied", [True, False])
def test_as_through_the_whole_model_at_once(tied: bool) -> None:
    model = decoder(tied=tied)
    source, names = Source(model), all_linears(model)
    tensors = tensors_of(source)
    tables = {TABLE: tensors[TABLE].clone()} if tied else {}
    expected: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for window in FEW:
        own = {name: tensor.clone().requires_grad_(name in names) for name, tensor in tensors.items()}
        loss(model, own, window, tables).backward()
        for name in names:
            gradient = own[name].grad
            assert gradient is not None
            expected[name].append(gradient)
    plain = weight_gradients(model, source.weights, FEW, names, "plain", threads=1)
    rms = weight_gradients(model, source.weights, FEW, names, "rms", threads=1)
    assert plain.keys() == rms.keys() == names
    for name in names:
        all_of_them = torch.stack(expected[name])
        close = 1e-6 * float(all_of_them.abs().max())
        np.testing.assert_allclose(plain[name], all_of_them.mean(0).numpy(), rtol=1e-4, atol=close)
        np.testing.assert_allclose(rms[name], all_of_them.square().mean(0).sqrt().numpy(), rtol=1e-4, atol=close)


def test_the_loss_changes_by_as_much() -> None:
    model = decoder()
    source, name = Source(model), "model.layers.1.mlp.down_proj.weight"
    found = weight_gradients(model, source.weights, FEW[:1], {name}, "plain", threads=1)
    assert list(found) == [name]
    place = np.unravel_index(np.abs(found[name]).argmax(), found[name].shape)
    sides = []
    for step in (0.01, -0.01):
        tensors = tensors_of(source)
        tensors[name][place] += step
        sides.append(float(loss(model, tensors, FEW[0], {})))
    assert (sides[0] - sides[1]) / 0.02 == pytest.approx(float(found[name][place]), rel=0.02)


def test_what_predicts_no_tokens_has_no_loss() -> None:
    model = TinyEncoder()
    with pytest.raises(ParameterError, match="need a model that predicts tokens"):
        weight_gradients(model, {}, FEW, frozenset(), "rms", threads=1)
    with pytest.raises(ParameterError, match="of two tokens or more"):
        weight_gradients(decoder(), Source(decoder()).weights, [[1]], frozenset(), "rms", threads=1)
