"""Layers in pairs, and the losses over them by hand."""

from __future__ import annotations

import pytest
import torch

from honed.compress.training.layer_losses import AttentionLoss, HiddenLoss, InnerLosses, pair_layers
from honed.compress.training.runner import Passed, Runner
from honed.compress.training.settings import LayerLoss, MapLoss
from honed.errors import ParameterError
from training_models import tiny_state

CPU = torch.device("cpu")


def runner(family: str = "smollm2") -> Runner:
    return Runner(tiny_state(family).model, torch.float32)


def test_layers_are_paired_by_depth() -> None:
    assert pair_layers(None, 2, 6, "hidden") == ((0, 2), (1, 5))
    assert pair_layers(None, 3, 3, "hidden") == ((0, 0), (1, 1), (2, 2))
    assert pair_layers(((0, 4),), 2, 6, "hidden") == ((0, 4),)
    with pytest.raises(ParameterError, match=r"hidden.layers.*\[2, 4\].*below 2 and 6"):
        pair_layers(((2, 4),), 2, 6, "hidden")


def test_distances_of_rows_by_hand() -> None:
    rows, aims = {0: torch.tensor([[1.0, 0.0]])}, {0: torch.tensor([[1.0, 2.0]])}
    relative = HiddenLoss(LayerLoss(weight=3.0, layers=((0, 0),)), runner(), runner(), CPU)
    assert float(relative.loss(rows, aims)) == pytest.approx(3.0 * 4 / 5)
    cosine = HiddenLoss(LayerLoss(weight=1.0, distance="cosine", layers=((0, 0),)), runner(), runner(), CPU)
    assert float(cosine.loss(rows, aims)) == pytest.approx(1 - 5**-0.5)
    assert relative.projections == {}


def test_widths_that_differ_get_a_projection_that_is_learned() -> None:
    student, teacher = runner("smollm2"), runner("llama2")  # 54 and 48 columns
    loss = HiddenLoss(LayerLoss(weight=1.0), student, teacher, CPU)
    (name, matrix), *_ = loss.projections.items()
    assert name == "0 to 0" and matrix.shape == (48, 54)
    rows = {layer: torch.randn(4, 54) for layer in range(2)}
    aims = {layer: rows[layer][:, :48].clone() for layer in range(2)}
    found = loss.loss(rows, aims)
    assert float(found.detach()) < 1e-12
    loss.loss(rows, {layer: 2 * x for layer, x in aims.items()}).backward()  # type: ignore[no-untyped-call]
    assert matrix.grad is not None and bool(matrix.grad.any())


def test_maps_are_compared_by_row() -> None:
    one, other = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]]), torch.tensor([[[1.0, 0.0], [0.25, 0.75]]])
    loss = AttentionLoss(MapLoss(weight=2.0, layers=((1, 0),)), runner(), runner())
    found = loss.loss((one, other), (one, other))
    expected = (0.5 * torch.tensor(2.0).log() + 0.5 * torch.tensor(2 / 3).log()) / 2 * 2
    assert float(found) == pytest.approx(float(expected), abs=1e-5)


def test_what_is_looked_at_is_what_is_asked_for() -> None:
    nothing = InnerLosses(None, None)
    passed = Passed(torch.zeros(1, 2), {}, ())
    assert nothing.loss(passed, passed) is None
    assert (nothing.of_student, nothing.maps) == (frozenset(), False)
    hidden = HiddenLoss(LayerLoss(weight=1.0, layers=((1, 0),)), runner(), runner(), CPU)
    asked = InnerLosses(hidden, None)
    assert (asked.of_student, asked.of_teacher, asked.maps) == (frozenset({1}), frozenset({0}), False)
